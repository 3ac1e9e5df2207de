"""Transactions over kept tables: what each has changed, to whom it belongs, and when it was used last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import Final
from uuid import uuid4

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.kept_manifest import KeptTable

TRANSACTIONS_MAX: Final = 1_000


@record(slots=True, eq=False)
class Transaction:
    """`staged` are the tables that it has changed, by name; None for one that it dropped. `using` counts the
    statements of it that are under way."""

    id: str
    owner: str
    used_at: float
    staged: dict[str, KeptTable | None] = field(default_factory=dict)
    using: int = 0
    changing: threading.RLock = field(default_factory=threading.RLock)
    """One statement of it at a time changes tables."""


class Transactions:
    """Those that go on. `clock` gives seconds."""

    def __init__(self, idle_max_s: float, clock: Callable[[], float]) -> None:
        self._idle_max_s = idle_max_s
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, Transaction] = {}

    def begin(self, owner: str) -> str:
        transaction = Transaction(uuid4().hex, owner, self._clock())
        with self._lock:
            if len(self._open) >= TRANSACTIONS_MAX:
                raise QueryError(
                    "exhausted",
                    f"{TRANSACTIONS_MAX} transactions are open",
                    help="end those that are not needed",
                )
            self._open[transaction.id] = transaction
        return transaction.id

    def has(self, id: str) -> bool:
        return id in self._open

    def of(self, id: str) -> Transaction:
        """Raises `QueryError` when it has ended."""
        with self._lock:
            transaction = self._open.get(id)
            if transaction is None:
                raise _ended()
            transaction.used_at = self._clock()
        return transaction

    def check(self, id: str | None, owner: str | None = None) -> None:
        """Raises `QueryError` when it has ended or is not the owner's, which look the same from outside."""
        if id is not None and self.of(id).owner != (owner or self.of(id).owner):
            raise _ended()

    @contextmanager
    def held(self, id: str | None) -> Iterator[None]:
        """While a statement of it is under way it is not forgotten."""
        if id is None:
            yield
            return
        transaction = self.of(id)
        with self._lock:
            transaction.using += 1
        try:
            yield
        finally:
            with self._lock:
                transaction.using -= 1
                transaction.used_at = self._clock()

    @contextmanager
    def alone(self, id: str | None) -> Iterator[None]:
        """No other statement of it changes tables meanwhile."""
        if id is None:
            yield
            return
        with self.of(id).changing:
            yield

    def take(self, id: str) -> Transaction:
        """Raises `QueryError` when it has ended."""
        with self._lock:
            transaction = self._open.pop(id, None)
        if transaction is None:
            raise _ended()
        return transaction

    def take_forgotten(self) -> list[Transaction]:
        """Those that nothing used for too long."""
        since = self._clock() - self._idle_max_s
        with self._lock:
            ids = [t.id for t in self._open.values() if not t.using and t.used_at < since]
            return [self._open.pop(id) for id in ids]

    def take_all(self) -> list[Transaction]:
        with self._lock:
            transactions = list(self._open.values())
            self._open.clear()
        return transactions


def _ended() -> QueryError:
    return QueryError(
        "not_found",
        "there is no such transaction",
        help="it has ended, or was not used for so long that it was rolled back: begin another one",
    )
