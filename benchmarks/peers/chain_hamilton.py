"""A chain of functions as a dataflow of Hamilton: for every line on stdin it runs it and prints the seconds.

`python chain_hamilton.py LENGTH`: each function adds one to the number that the one before gave.
"""

import sys
import time

from hamilton import driver
from hamilton.ad_hoc_utils import create_temporary_module

length = int(sys.argv[1])
scope: dict = {}
exec("def step_0() -> int:\n    return 0\n", scope)
for i in range(1, length + 1):
    exec(f"def step_{i}(step_{i - 1}: int) -> int:\n    return step_{i - 1} + 1\n", scope)
steps = create_temporary_module(*(scope[f"step_{i}"] for i in range(length + 1)), module_name="chain")
last = f"step_{length}"
dataflow = driver.Builder().with_modules(steps).build()
for _ in sys.stdin:
    started = time.perf_counter()
    found = dataflow.execute([last])[last]
    taken = time.perf_counter() - started
    if found != length:
        raise SystemExit(f"the chain gave {found} instead of {length}")
    print(taken, flush=True)
