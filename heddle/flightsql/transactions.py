"""Transactions that clients began, and which of them a prepared statement belongs to.

Drivers keep a prepared statement over the end of its transaction, and mean the connection's next one.
"""

from __future__ import annotations

import threading
from typing import Final

TRANSACTIONS_MAX: Final = 10_000


class OpenTransactions:
    """By id, with the connection that began each. Those that the database has rolled back because nobody used
    them stay here, so that their statements fail. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: dict[str, str] = {}

    def add(self, transaction: str, connection: str) -> None:
        with self._lock:
            self._connections[transaction] = connection
            while len(self._connections) > TRANSACTIONS_MAX:
                del self._connections[next(iter(self._connections))]

    def remove(self, transaction: str) -> None:
        with self._lock:
            self._connections.pop(transaction, None)

    def remove_all(self, connections: set[str]) -> list[str]:
        """Those of a client that leaves."""
        with self._lock:
            found = [id for id, connection in self._connections.items() if connection in connections]
            for id in found:
                del self._connections[id]
            return found

    def current(self, transaction: str | None, connection: str) -> str | None:
        """The transaction that a statement runs in which was prepared in `transaction` on a connection."""
        if transaction is None:
            return None
        with self._lock:
            if transaction in self._connections:
                return transaction
            own = [id for id, other in self._connections.items() if other == connection]
            return own[-1] if own else None
