"""How a process uses memory beside what a run's budget says."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PAGES = (4 << 20) // os.sysconf("SC_PAGE_SIZE")
MESSAGES = 50
COUNT_FAULTS = f"""
import resource
from heddle.physical.runtime import keep_message_memory, prepare_runtime
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
prepare_runtime()
keep_message_memory()
before = faults()
for _ in range({MESSAGES}):
    growing = bytearray()
    for _ in range(64):
        growing += b"x" * (64 << 10)
    message = bytes(growing)
    del growing, message
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the options are those of glibc")
def test_messages_one_after_the_other_take_the_same_memory() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS], env=environ, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < MESSAGES * PAGES / 4
