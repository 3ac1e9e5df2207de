"""The state of a file or folder, told without reading it: what changes whenever it is written, replaced,
added or removed. A state that was taken before a file was read, and still holds, is that of what was read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from time import time_ns
from typing import Final, TypeAlias

FileState: TypeAlias = tuple[int, int, int, int, int]
"""Device, inode, size in bytes, and the nanoseconds of the last writing and of the last change."""

FRESH_NS: Final = 100_000_000
"""A file that changed so shortly before it was looked at may change again and look the same: the clocks of
file systems tick every few milliseconds."""
FRESH_COARSE_NS: Final = 2_500_000_000
"""The same, where a clock ticks in seconds."""

States: TypeAlias = Mapping[str, FileState | None]
"""By path. None for what is not there."""


def state_of(path: str) -> FileState | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def last_changes_ns(states: States) -> Iterator[int]:
    return (state[-1] for state in states.values() if state is not None)


def will_show_changes(last_changes_ns: Iterable[int]) -> bool:
    """Whether files that changed last at these times would have another state after one more change."""
    now = time_ns()
    return all(now - at > (FRESH_NS if at % 1_000_000_000 else FRESH_COARSE_NS) for at in last_changes_ns)


def still_hold(states: States) -> bool:
    return all(state_of(path) == state for path, state in states.items())
