"""What SQLite says when something fails, in one error of our own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TRANSIENT: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
_CURES: Final = {
    "ON CONFLICT clause does not match": "; make a unique index over the columns in `key`",
    "Could not decode to UTF-8": "; select CAST(… AS BLOB) of it",
    "file is not a database": "; see `path`",
}


class SqliteError(Exception):
    """`transient`: another attempt may succeed, as when the file is locked."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


@contextmanager
def told(path: str) -> Iterator[None]:
    """SQLite's errors within the block, with the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        said = str(error)
        if name == "SQLITE_INTERRUPT":
            raise SqliteError(f"SQLite ({path}): the query was stopped", transient=True) from error
        cure = next((text for mark, text in _CURES.items() if mark in said), "")
        transient = name.startswith(_TRANSIENT)
        raise SqliteError(f"SQLite ({path}): {said}{cure}", transient=transient) from error
