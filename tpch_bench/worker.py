"""A process that runs one side: warm, as commands arrive, or cold, once.

`python -m tpch_bench.worker MODULE SIDE SCALE` opens the side that MODULE's `SIDES` names so, and reads
one JSON list a line, `[task, file]`; for each it runs the task and answers with one JSON object:
the seconds, the CPU seconds and the peak of resident memory of this process and its children.
With a task and a file as further arguments it runs that and exits. Reads `/proc`, so it needs Linux.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from tpch_bench.data import tables

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def main() -> None:
    module, side, scale, *once = sys.argv[1:]
    with importlib.import_module(module).SIDES[side](tables(float(scale))) as work:
        if once:
            task, answer = once
            work(task, Path(answer))
            return
        for line in sys.stdin:
            task, answer = json.loads(line)
            reset_peak_memory()
            cpu, started = cpu_s(), time.perf_counter()
            work(task, Path(answer))
            wall_s = time.perf_counter() - started
            told = {"wall_s": wall_s, "cpu_s": cpu_s() - cpu, "peak_bytes": peak_memory_bytes()}
            print(json.dumps(told), flush=True)


def children() -> list[int]:
    """The processes below this one that run now: those of a Heddle program's plugins."""
    found = [os.getpid()]
    for process in found:
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(FileNotFoundError):  # the thread has ended
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found[1:]


def cpu_s() -> float:
    ticks = 0
    for child in children():
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # user and system time, without the name's two fields
    return time.process_time() + ticks / CLOCK_TICKS_PER_S


def reset_peak_memory() -> None:
    for process in (os.getpid(), *children()):
        Path(f"/proc/{process}/clear_refs").write_text("5")


def peak_memory_bytes() -> int:
    """The sum of the processes' peaks; pages that they share are counted in each."""
    total = 0
    for process in (os.getpid(), *children()):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) * 1024
    return total


if __name__ == "__main__":
    main()
