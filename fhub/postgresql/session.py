"""One connection to the server through ADBC, for one user at a time.

Statements run as the server gets them; a transaction is begun and ended by statements of its own. `cancel`
may be called by another thread. Whatever fails leaves as a `PostgresqlError`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fhub.postgresql.failures import ConnectionLost, PostgresqlError, statement_failure
from heddle.sdk import StepContext

if TYPE_CHECKING:
    from adbc_driver_manager import AdbcConnection, AdbcStatement

BATCH_BYTES: Final = 4 << 20
"""A batch is decoded while the one before it is on its way to the engine, so batches are not large."""
WATCH_S: Final = 0.05

_USE_COPY: Final = "adbc.postgresql.use_copy"
_BATCH_BYTES: Final = "adbc.postgresql.batch_size_hint_bytes"


class Session:
    """`server` and `password` are for messages: one to be named, one to be kept out."""

    def __init__(self, connection: AdbcConnection, server: str, password: str | None) -> None:
        self.connection = connection
        self._server = server
        self._password = password
        self._lock = threading.Lock()
        self._running: AdbcStatement | None = None
        self.broken = False
        """Whether nobody should use it any more: it was lost, or is in the midst of something."""
        self.jit = True
        """Whether the server may compile statements."""
        self.kept = False
        """Whether it was idle before, so that it may have been lost in the meantime."""

    def run(self, sql: str, parameters: pa.Table | None = None) -> None:
        """A statement without rows, once for each row of the parameters."""
        with self._statement(sql, parameters) as statement:
            statement.execute_update()

    def rows(self, sql: str, parameters: pa.Table | None = None, *, copy: bool = True) -> pa.Table:
        """`copy=False` is for statements that COPY does not take, such as EXPLAIN."""
        with self._statement(sql, parameters) as statement:
            if not copy:
                statement.set_options(**{_USE_COPY: "false"})
            handle, _ = statement.execute_query()
            return _reader(handle).read_all()

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """The rows of a SELECT while the server sends them. Until they have ended the session is `broken`."""
        self.broken = True
        with self._statement(sql) as statement:
            statement.set_options(**{_BATCH_BYTES: str(BATCH_BYTES)})
            handle, _ = statement.execute_query()
            reader = _reader(handle)
            try:
                yield from reader
            finally:
                reader.close()
        self.broken = False

    def parameter_types(self, sql: str) -> pa.Schema:
        """What the server takes for `$1`, `$2`, …; the statement is not executed."""
        with self._statement(sql) as statement:
            statement.prepare()
            return pa.schema(statement.get_parameter_schema())

    def columns(self, sql: str) -> pa.Schema:
        """The columns that the statement would give; it is not executed."""
        with self._statement(sql) as statement:
            return pa.schema(statement.execute_schema())

    def copy_in(self, table: pa.Table, name: str, schema: str | None) -> None:
        """Rows into a table's columns of the same names, whose types are those of the Arrow columns exactly;
        without a schema it is a temporary table."""
        options = {"adbc.ingest.target_table": name, "adbc.ingest.mode": "adbc.ingest.mode.append"}
        if schema is None:
            options["adbc.ingest.temporary"] = "true"
        else:
            options["adbc.ingest.target_db_schema"] = schema
        with self._statement(None, table) as statement:
            statement.set_options(**options)
            statement.execute_update()

    def runs(self, statement: AdbcStatement | None) -> None:
        """What `cancel` is to end from now on."""
        with self._lock:
            self._running = statement

    def cancel(self) -> None:
        """End the statement that is running, if one is."""
        from adbc_driver_manager import Error

        with self._lock:
            if self._running is not None:
                try:
                    self._running.cancel()
                except Error:  # it has just ended
                    return

    def close(self) -> None:
        self.broken = True
        self.connection.close()

    def _statement(self, sql: str | None, parameters: pa.Table | None = None) -> _Statement:
        return _Statement(self, sql, parameters)

    def failure(self, error: Exception) -> PostgresqlError:
        """What the driver raised, in plain words."""
        failure = statement_failure(error, self._server, self._password)
        self.broken = self.broken or isinstance(failure, ConnectionLost)
        return failure


class _Statement:
    """A statement of the driver while it runs; what it raises leaves as a `PostgresqlError`."""

    def __init__(self, session: Session, sql: str | None, parameters: pa.Table | None) -> None:
        self._session = session
        self._sql = sql
        self._parameters = parameters

    def __enter__(self) -> AdbcStatement:
        from adbc_driver_manager import AdbcStatement, Error

        try:
            self._statement = AdbcStatement(self._session.connection)
        except Error as error:
            raise self._session.failure(error) from None
        try:
            if self._sql is not None:
                self._statement.set_sql_query(self._sql)
            if self._parameters is not None:
                self._statement.bind_stream(self._parameters)
        except Error as error:
            self._statement.close()
            raise self._session.failure(error) from None
        self._session.runs(self._statement)
        return self._statement

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from adbc_driver_manager import Error

        self._session.runs(None)
        try:
            self._statement.close()
        except Error as closing:
            error = error or closing
        if isinstance(error, Error | OSError):
            raise self._session.failure(error) from None


def _reader(handle: object) -> pa.RecordBatchReader:
    """The driver's own reader: a plain one of Arrow's loses the SQLSTATE of what fails on the way."""
    from adbc_driver_manager import _reader

    return _reader.AdbcRecordBatchReader._import_from_c(handle.address)  # type: ignore[attr-defined]


@contextmanager
def cancelled_with(context: StepContext, session: Session) -> Iterator[None]:
    """While this lasts, what the session runs ends when the call is cancelled."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_S):
            if context.cancelled:
                session.cancel()

    watcher = threading.Thread(target=watch, name="heddle-postgresql-cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def one_row(values: Sequence[pa.Array]) -> pa.Table:
    """Parameters of a statement that runs once: `$1` is the first."""
    return pa.table(list(values), names=[f"${number}" for number in range(1, len(values) + 1)])
