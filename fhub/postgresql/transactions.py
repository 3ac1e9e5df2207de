"""The transaction that a writer writes in: begun with its first rows, and ended with the run.

Writers of one run that name the same transaction share one: it commits when the first of them is told to,
since by then everything has been written, and what one of them undoes is undone for all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from fhub.postgresql.connection import Connection
from fhub.postgresql.failures import ConnectionLost, PostgresqlError, PostgresqlUnavailable
from fhub.postgresql.session import Session, cancelled_with
from heddle.sdk import StepContext


class Transaction:
    """Used by one writer at a time, or by several that share it."""

    def __init__(self, connection: Connection, key: tuple[str, str] | None = None) -> None:
        self._connection = connection
        self._key = key
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._written = False
        self._failed: str | None = None
        self._committed = False

    def write(self, work: Callable[[Session], None], context: StepContext) -> None:
        """Give the session to `work` for one batch. A failure before anything else was written leaves no
        trace, so that the batch may come again; a later one ends the transaction."""
        with self._lock:
            self._check_alive()
            session = self._begun()
            try:
                with cancelled_with(context, session):
                    work(session)
            except BaseException as error:
                self._undo(session)
                if self._written or self._key is not None:
                    self._failed = str(error)
                    if isinstance(error, ConnectionLost):
                        raise PostgresqlError(
                            f"{error}; what the run had written before was undone, so it has to start anew",
                            error.sqlstate,
                        ) from None
                    if isinstance(error, PostgresqlUnavailable):
                        raise PostgresqlError(str(error), error.sqlstate) from None
                raise
            self._written = True

    def commit(self) -> None:
        with self._lock:
            if self._committed:
                return
            self._check_alive()
            session, self._session = self._session, None
            self._forget()
            if session is None:
                return
            try:
                session.run("COMMIT")
                self._committed = True
            except ConnectionLost as error:
                raise PostgresqlError(
                    f"{error}; whether the transaction was committed is not known", error.sqlstate
                ) from None
            finally:
                if not self._committed:
                    self._failed = "its COMMIT failed"
                session.close()

    def abort(self) -> None:
        with self._lock:
            if self._committed:
                return
            self._failed = self._failed or "a writer that shares the transaction was undone"
            self._forget()
            if self._session is not None:
                self._undo(self._session)

    def _begun(self) -> Session:
        if self._session is None:
            session = self._connection.opened()
            try:
                session.run("BEGIN")
            except PostgresqlError:
                session.close()
                raise
            self._session = session
        return self._session

    def _undo(self, session: Session) -> None:
        """The server rolls back when the connection ends."""
        self._session = None
        session.close()

    def _check_alive(self) -> None:
        if self._committed:
            raise PostgresqlError("the transaction has been committed; nothing can be written in it any more")
        if self._failed is not None:
            raise PostgresqlError(f"the transaction was undone before: {self._failed}")

    def _forget(self) -> None:
        if self._key is not None:
            with self._connection.transactions_lock:
                if self._connection.transactions.get(self._key) is self:
                    del self._connection.transactions[self._key]


def transaction_of(connection: Connection, name: str | None, context: StepContext) -> Transaction:
    """A transaction of one's own, or the one that the run's writers share under this name."""
    if name is None:
        return Transaction(connection)
    key = (context.run_id, name)
    with connection.transactions_lock:
        if key not in connection.transactions:
            connection.transactions[key] = Transaction(connection, key)
        return connection.transactions[key]
