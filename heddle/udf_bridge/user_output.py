"""Where `print` in a step goes: to stderr, because stdout is for data.

While a transport is open, `sys.stdout` is a stand-in; the engine writes its data to the stream behind it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import TextIO


class UserOutput(io.TextIOBase):
    """Stands in for `sys.stdout` and writes to `sys.stderr`. `behind` is the stream it stands in for,
    `users` counts the open transports."""

    def __init__(self, behind: TextIO) -> None:
        super().__init__()
        self.behind = behind
        self.users = 1

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]  # typeshed wants bytes lines
        sys.stderr.writelines(lines)

    def flush(self) -> None:
        sys.stderr.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return sys.stderr.isatty()

    def fileno(self) -> int:
        return sys.stderr.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the attribute of TextIOBase is read-only anyway
        return sys.stderr.encoding


def divert_stdout() -> UserOutput:
    """Send what user code prints to stderr until `restore_stdout`; may be nested."""
    if isinstance(sys.stdout, UserOutput):
        sys.stdout.users += 1
        return sys.stdout
    stand_in = UserOutput(sys.stdout)
    sys.stdout = stand_in
    return stand_in


def restore_stdout(stand_in: UserOutput) -> None:
    stand_in.users -= 1
    if stand_in.users == 0 and sys.stdout is stand_in:
        sys.stdout = stand_in.behind
