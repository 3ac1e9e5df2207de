"""What DuckDB says when something fails, in one error of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TRANSIENT: Final = ("Conflict", "conflict", "Could not set lock", "is locked")


class DuckdbError(Exception):
    """`transient`: another attempt may succeed, as with a conflict of two transactions."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


@contextmanager
def told(path: str) -> Iterator[None]:
    """DuckDB's errors within the block, in its first words and with the file's name."""
    import duckdb

    try:
        yield
    except duckdb.InterruptException as error:
        raise DuckdbError(f"DuckDB ({path}): the query was stopped", transient=True) from error
    except duckdb.Error as error:
        said = str(error).split("\n\nLINE ")[0].strip()
        if "Could not set lock" in said:
            said = f"another process has the file open for writing ({said.partition(': ')[2]})"
        transient = any(mark in str(error) for mark in _TRANSIENT)
        raise DuckdbError(f"DuckDB ({path}): {said}", transient=transient) from error
