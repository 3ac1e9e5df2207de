"""The resource: sessions of one database, lent to steps and kept for the next one.

Reading sessions are read-only and are kept; a writer gets a session of its own. There is no upper limit, so
that no step waits for another one that waits for it: the server's is `max_connections`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import pyarrow as pa

from fhub.postgresql.failures import ConnectionLost, PostgresqlError, connect_failure
from fhub.postgresql.session import Session, cancelled_with, one_row
from fhub.postgresql.settings import ConnectionConfig
from heddle.sdk import Resource, StepContext

if TYPE_CHECKING:
    from adbc_driver_manager import AdbcConnection, AdbcDatabase

    from fhub.postgresql.describing import Description
    from fhub.postgresql.transactions import Transaction

IDLE_TRUSTED_S: Final = 1.0
"""A session that lay longer is asked whether it still stands before it is lent."""
MISSING: Final = "the connector for PostgreSQL needs its driver: pip install 'heddle[postgresql]'"
# Types that the driver does not know are looked up when one comes; so it asks the server for none beforehand.
_OPTIONS: Final = {"adbc.postgresql.type_resolver_mode": "builtin"}


class Connection(Resource):
    """Opens nothing before it is needed. Used by several threads at once."""

    def __init__(self, config: ConnectionConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._database: AdbcDatabase | None = None
        self._idle: list[tuple[Session, float]] = []
        self._sessions: WeakSet[Session] = WeakSet()
        self._closed = False
        self.descriptions: dict[str, Description] = {}
        """What is known of statements, by their text."""
        self.warned: set[str] = set()
        """What was said once and need not be said again."""
        self.transactions: dict[tuple[str, str], Transaction] = {}
        """Those that several writers share, by run and name."""
        self.transactions_lock = threading.Lock()

    @contextmanager
    def reading(self, *, jit: bool = True) -> Generator[Session, None, None]:
        """A read-only session. `jit=False` for statements that are short however costly they look."""
        session = self._taken(jit) or self._with_jit(self.opened(read_only=True), jit)
        try:
            yield session
        finally:
            self._give_back(session)

    def answer(self, statement: str, parameters: pa.Table, context: StepContext) -> pa.Table:
        """The rows of a short statement, asked again where a session that was kept turns out to be lost."""
        while True:
            with self.reading(jit=False) as session, cancelled_with(context, session):
                try:
                    return session.rows(statement, parameters)
                except ConnectionLost:
                    if not session.kept:
                        raise

    def opened(self, *, read_only: bool = False) -> Session:
        """A session of one's own, which is to be closed by whoever asked. Raises `PostgresqlError`."""
        session = Session(self._connected(), self.config.server, self.config.password)
        with self._lock:
            self._sessions.add(session)
        settings = self.config.session_settings()
        if read_only:
            settings["default_transaction_read_only"] = "on"
        parts = ", ".join(f"set_config(${i}, ${i + 1}, false)" for i in range(1, 2 * len(settings), 2))
        values = [pa.array([text]) for pair in settings.items() for text in pair]
        try:
            session.rows(f"SELECT {parts}", one_row(values))
        except PostgresqlError:
            session.close()
            raise
        return session

    def health(self) -> str | None:
        try:
            with self.reading() as session:
                session.rows("SELECT 1")
        except PostgresqlError as error:
            return str(error)
        return None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            sessions = list(self._sessions)
            self._idle.clear()
            database, self._database = self._database, None
        for session in sessions:
            session.close()
        if database is not None:
            database.close()

    def _connected(self) -> AdbcConnection:
        try:
            import adbc_driver_postgresql
            from adbc_driver_manager import AdbcConnection, Error
        except ImportError as error:
            raise PostgresqlError(MISSING) from error
        try:
            with self._lock:
                if self._closed:
                    raise PostgresqlError("the connection was closed, because the run has ended")
                if self._database is None:
                    self._database = adbc_driver_postgresql.connect(self.config.conninfo(), _OPTIONS)
                database = self._database
            return AdbcConnection(database)
        except Error as error:
            raise connect_failure(error, self.config.server, self.config.password) from None

    def _taken(self, jit: bool) -> Session | None:
        """One that stands and is idle."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                session, since = self._idle.pop()
            try:
                if time.monotonic() - since > IDLE_TRUSTED_S:
                    session.rows("SELECT 1")
                return self._with_jit(session, jit)
            except PostgresqlError:
                session.close()

    def _with_jit(self, session: Session, jit: bool) -> Session:
        if session.jit != jit:
            session.run(f"SET jit = {'on' if jit else 'off'}")
            session.jit = jit
        return session

    def _give_back(self, session: Session) -> None:
        if not session.broken:
            with self._lock:
                if not self._closed and len(self._idle) < self.config.pool_size:
                    session.kept = True
                    self._idle.append((session, time.monotonic()))
                    return
        session.close()
