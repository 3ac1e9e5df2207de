"""Who is changing which table: one statement or transaction at a time.

A statement waits for another statement. A transaction holds what it has changed until its end, which may be
long, so nobody waits for one: the first to change a table wins, and the others are told at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from heddle.database.errors import QueryError

WAIT_MAX_S: Final = 30.0


class TableLocks:
    """`is_transaction` tells of an owner whether it is one that still goes on."""

    def __init__(self, is_transaction: Callable[[str], bool], *, wait_max_s: float = WAIT_MAX_S) -> None:
        self._is_transaction = is_transaction
        self._wait_max_s = wait_max_s
        self._freed = threading.Condition()
        self._owners: dict[str, str] = {}

    def take(self, names: Collection[str], owner: str) -> None:
        """All of them or none; what the owner has already stays its own. Raises `QueryError`."""
        deadline = time.monotonic() + self._wait_max_s
        with self._freed:
            while (blocked := self._blocked(names, owner)) is not None:
                if self._is_transaction(self._owners[blocked]):
                    raise conflict(f"`{blocked}` is being changed by another transaction")
                if not self._freed.wait(deadline - time.monotonic()):
                    raise conflict(f"`{blocked}` is being changed by another statement")
            for name in names:
                self._owners[name] = owner

    def free(self, owner: str) -> None:
        with self._freed:
            for name in [name for name, of in self._owners.items() if of == owner]:
                del self._owners[name]
            self._freed.notify_all()

    def _blocked(self, names: Collection[str], owner: str) -> str | None:
        return next((name for name in names if self._owners.get(name, owner) != owner), None)


def conflict(what: str) -> QueryError:
    return QueryError("conflict", what, help="try again when it has ended")
