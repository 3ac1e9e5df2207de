"""ClickHouse's engine in this process (chdb): runs a request and gives the pieces of its answer."""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import chdb
import pyarrow as pa
from chdb import ChdbError

from fhub.clickhouse.server.request import ExternalTable, Request

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection

VERSION = chdb.engine_version
READONLY = 164
SESSION_IS_LOCKED = 373
# Pieces of these formats, one behind the other, are one answer. Those of ArrowStream are made so here.
_STREAMED = frozenset(
    {
        "ArrowStream", "CSV", "JSONCompactEachRow", "JSONEachRow", "Native", "RowBinary", "TSV",
        "TabSeparated",
    }
)  # fmt: skip
_SELECTS = re.compile(r"\s*(?:SELECT|WITH)\b", re.IGNORECASE)
_READS = re.compile(r"\s*(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXPLAIN|EXISTS)\b", re.IGNORECASE)


class QueryError(Exception):
    """An error of ClickHouse, in its words."""

    def __init__(self, message: str) -> None:
        # chdb puts its own words before.
        start = message.find("Code: ")
        text = message[start:].strip() if start >= 0 else f"Code: 1002. DB::Exception: {message}"
        if "(version " not in text:
            text += f" (version {VERSION})"
        super().__init__(text)
        found = re.match(r"Code: (\d+)", text)
        self.code = int(found[1]) if found else 1002


@dataclass(slots=True)
class Summary:
    """What a query has read and written until a moment."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    total_rows_to_read: int = 0
    result_rows: int = 0
    progress: list[dict[str, int]] = field(default_factory=list)


class Engine:
    """The databases in a folder. Each request has a connection of its own, unless it names a session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The engine lives as long as one connection does.
        self._first = self._connect()
        self._sessions: dict[str, tuple[Connection, Lock]] = {}
        self._lock = Lock()

    def run(self, request: Request, summary: Summary) -> Generator[bytes]:
        """The pieces of the answer, at least one. Raises QueryError."""
        if request.read_only and not _READS.match(request.sql):
            raise QueryError(
                f"Code: {READONLY}. DB::Exception: Cannot execute query in readonly mode. For queries over "
                "HTTP, method GET implies readonly. You should use method POST for modifying queries. "
                "(READONLY)"
            )
        try:
            with self._connection(request) as connection:
                for table in request.external:
                    _load(connection, table)
                connection.set_progress_callback(lambda told: _note(summary, told))
                try:
                    yield from _answer(connection, request, summary)
                finally:
                    connection.set_progress_callback(None)
                    for table in request.external:
                        connection.query(f"DROP TEMPORARY TABLE `{table.name}`")
        # chdb raises both for what the engine says.
        except (ChdbError, RuntimeError) as error:
            raise QueryError(str(error)) from error

    @contextmanager
    def _connection(self, request: Request) -> Iterator[Connection]:
        if not request.session_id:
            connection = self._connect()
            try:
                _apply(connection, request)
                yield connection
            finally:
                connection.close()
            return
        with self._lock:
            if request.session_id not in self._sessions:
                self._sessions[request.session_id] = (self._connect(), Lock())
            connection, lock = self._sessions[request.session_id]
        if not lock.acquire(blocking=False):
            raise QueryError(
                f"Code: {SESSION_IS_LOCKED}. DB::Exception: Session {request.session_id} is locked by a "
                "concurrent client. (SESSION_IS_LOCKED)"
            )
        try:
            _apply(connection, request)
            yield connection
        finally:
            # Settings of an address are those of one query.
            for name in request.settings:
                connection.query(f"SET {name} = DEFAULT")
            lock.release()

    def _connect(self) -> Connection:
        connection: Connection = chdb.connect(str(self._folder))  # type: ignore[no-untyped-call]
        return connection


def _apply(connection: Connection, request: Request) -> None:
    if request.database:
        connection.query(f"USE `{request.database}`")
    for name, value in request.settings.items():
        connection.query(f"SET {name} = {_quoted(value)}")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _load(connection: Connection, table: ExternalTable) -> None:
    connection.query(f"CREATE TEMPORARY TABLE `{table.name}` ({table.columns})")
    with connection.send_insert(f"INSERT INTO `{table.name}`", table.format) as inserter:
        inserter.append(table.data)
        inserter.finish()


def _note(summary: Summary, told: dict[str, int]) -> None:
    summary.read_rows, summary.read_bytes = told["read_rows"], told["read_bytes"]
    summary.total_rows_to_read = told["total_rows_to_read"]
    summary.progress.append(told)


def _answer(connection: Connection, request: Request, summary: Summary) -> Iterator[bytes]:
    if request.inserted is not None:
        with connection.send_insert(request.sql, request.format) as inserter:
            if request.inserted:
                inserter.append(request.inserted)
            result = inserter.finish()
        summary.written_rows, summary.written_bytes = result.rows_written, result.bytes_written
        yield b""
        return
    if request.format in _STREAMED and _SELECTS.match(request.sql):
        pieces = _pieces(connection, request, summary)
        first = next(pieces, None)
        if first is not None:
            yield first
            yield from pieces
            return
    # An answer without rows, which may still have a head; or one that is no stream.
    whole = connection.query(request.sql, request.format, params=request.parameters)
    summary.read_rows = max(summary.read_rows, whole.storage_rows_read())
    summary.written_rows, summary.result_rows = whole.rows_written(), whole.rows_read()
    yield whole.bytes() or b""


def _pieces(connection: Connection, request: Request, summary: Summary) -> Iterator[bytes]:
    joined = _JoinedArrow() if request.format == "ArrowStream" else None
    with connection.send_query(request.sql, request.format, params=request.parameters) as stream:
        for piece in stream:
            summary.result_rows += piece.rows_read()
            data = piece.bytes()
            yield joined.take(data) if joined is not None else data
    if joined is not None and summary.result_rows:
        yield joined.end()


class _JoinedArrow:
    """Each piece that chdb gives is a stream of its own; a client reads one."""

    def __init__(self) -> None:
        self._made = io.BytesIO()
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def take(self, piece: bytes) -> bytes:
        with pa.ipc.open_stream(piece) as reader:
            if self._writer is None:
                self._writer = pa.ipc.new_stream(self._made, reader.schema)
            for batch in reader:
                self._writer.write_batch(batch)
        return self._taken()

    def end(self) -> bytes:
        if self._writer is not None:
            self._writer.close()
        return self._taken()

    def _taken(self) -> bytes:
        made = self._made.getvalue()
        self._made.seek(0)
        self._made.truncate()
        return made
