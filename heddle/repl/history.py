"""What was typed, kept between sessions in a file for the user alone. Lines that hold secrets are not
kept."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

VARIABLE: Final = "HEDDLE_SQL_HISTORY"
_WORDS: Final = r"\w*(?:password|passwd|pwd|secret|token|api_?key|credential)\w*"
_SECRET: Final = re.compile(
    r"://[^/\s]*@"  # a user in an address
    rf"|{_WORDS}\"?\s*(?:=>?|:)\s*\S"
    rf"|{_WORDS}\"?\s+'"
    rf"|^\s*\\param\s+\$?{_WORDS}\s",
    re.IGNORECASE,
)


def open_history(environ: Mapping[str, str]) -> History:
    """In the file that HEDDLE_SQL_HISTORY names, else below XDG_STATE_HOME; in memory where it says `off` and
    where the file cannot be the user's alone."""
    chosen = environ.get(VARIABLE)
    if chosen is not None and chosen.lower() in ("", "off"):
        return _Memory()
    path = Path(chosen).expanduser() if chosen else _default(environ)
    return _File(path) if _made_private(path) else _Memory()


def is_secret(text: str) -> bool:
    """Whether it may hold a secret; a line that begins with a space is not to be kept either."""
    return text.startswith(" ") or _SECRET.search(text) is not None


def _default(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME")
    folder = Path(state) if state else Path(environ.get("HOME", "~")).expanduser() / ".local" / "state"
    return folder / "heddle" / "sql_history"


def _made_private(path: Path) -> bool:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            return False
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    return True


class _File(FileHistory):
    def __init__(self, path: Path) -> None:
        super().__init__(str(path))

    def append_string(self, string: str) -> None:
        if not is_secret(string):
            super().append_string(string)


class _Memory(InMemoryHistory):
    def append_string(self, string: str) -> None:
        if not is_secret(string):
            super().append_string(string)
