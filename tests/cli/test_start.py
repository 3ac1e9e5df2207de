"""How the command starts: libraries come beside, and ^C ends it without a traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.harness import ROOT

LOADED_BESIDE = """
import sys
from heddle.cli import start
from tests.waiting import until
start.load_libraries()
wanted = {path.rpartition("/")[2] for path in start._library_paths()}
assert len(wanted) == len(start.LIBRARIES), wanted
def mapped():
    return {line.rstrip().rpartition("/")[2] for line in open("/proc/self/maps")}
until(lambda: wanted <= mapped(), "libraries are not loaded")
print(sorted({package for package, _ in start.LIBRARIES} & sys.modules.keys()))
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
    command = [sys.executable, "-c", LOADED_BESIDE]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_an_interrupt_while_it_starts() -> None:
    command = [sys.executable, "-c", INTERRUPTED_EARLY]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
