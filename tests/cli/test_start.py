"""How the command starts: libraries come beside, and ^C ends it without a traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED_BESIDE = """
import sys, time
from heddle.cli import start
start.load_libraries()
wanted = {path.rpartition("/")[2] for path in start._library_paths()}
assert len(wanted) == len(start.LIBRARIES), wanted
ends = time.monotonic() + 60
while time.monotonic() < ends:
    mapped = {line.rstrip().rpartition("/")[2] for line in open("/proc/self/maps")}
    if wanted <= mapped:
        break
    time.sleep(0.01)
print(sorted(wanted - mapped), sorted({"pyarrow", "datafusion", "prqlc"} & sys.modules.keys()))
import datafusion, prqlc, pyarrow
"""

INTERRUPTED_EARLY = """
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "heddle.cli.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
sys.argv = ["heddle", "run", "some.he"]
from heddle.cli.start import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads what Linux says of a process")
def test_libraries_are_loaded_beside() -> None:
    found = subprocess.run([sys.executable, "-c", LOADED_BESIDE], capture_output=True, text=True, check=True)
    assert found.stdout == "[] []\n"


def test_an_interrupt_while_it_starts() -> None:
    command = [sys.executable, "-c", INTERRUPTED_EARLY]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
