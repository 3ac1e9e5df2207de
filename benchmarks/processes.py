"""Run a command to its end and see how much memory it had: the peaks of its process and of those below it.

The peaks are the kernel's own (VmHWM), read again and again while the processes run. Reads `/proc`, so it
needs Linux.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOK_S = 0.01
"""A process can gain this much time's memory unseen before it ends."""


@dataclass(frozen=True, slots=True)
class Ended:
    """`peak_bytes` is the sum of the processes' peaks. `failure` is None when the exit code was 0."""

    seconds: float
    peak_bytes: int
    failure: str | None


def run(command: Sequence[str], seconds_max: float) -> Ended:
    """A command that takes longer than `seconds_max` is killed, and has failed."""
    peaks: dict[int, int] = {}
    with tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr) as process:
            while process.poll() is None and time.perf_counter() - started < seconds_max:
                for pid in tree(process.pid):
                    peaks[pid] = max(peaks.get(pid, 0), peak_bytes(pid))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_S)
            in_time = process.poll() is not None
            if not in_time:
                process.kill()
        seconds = time.perf_counter() - started
        stderr.seek(0)
        said = [line.strip() for line in stderr.read().decode().splitlines() if line.strip()]
    failure = None
    if not in_time:
        failure = f"not done after {seconds_max:g} s"
    elif process.returncode:
        failure = said[0] if said else f"exit code {process.returncode}"
    return Ended(seconds, sum(peaks.values()), failure)


def tree(pid: int) -> list[int]:
    """The process and all below it that run now."""
    found = [pid]
    for process in found:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            for thread in Path(f"/proc/{process}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def peak_bytes(pid: int) -> int:
    """The most resident memory that the process had; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
