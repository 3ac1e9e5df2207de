"""`ch.insert`: the rows of a run, or of a turn of it, in one INSERT that is sent when the run has succeeded.

ClickHouse has no transaction over several requests, so rows wait here until `commit`: in memory at first, in
a file without a name when they are many.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from typing import IO, Final

import pyarrow as pa

from fhub.clickhouse.clauses import StatementError
from fhub.clickhouse.column_types import identifier
from fhub.clickhouse.connection import Connection, Request
from fhub.clickhouse.reading import table_name
from fhub.clickhouse.sent_types import Unfit, as_column
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk import Writer

SPOOL_BYTES_MAX: Final = 64 << 20
"""More rows than fit here wait in a file."""
GZIP_LEVEL: Final = 3
_NOT_WRITABLE: Final = frozenset({"MATERIALIZED", "ALIAS"})


class Insert(Writer):
    """`token` makes ClickHouse take a repeated INSERT as one, in tables that deduplicate."""

    def __init__(self, connection: Connection, table: str, token: str | None, context: StepContext) -> None:
        self._connection = connection
        self._table = table
        self._token = token or context.idempotency_key
        self._context = context
        self._spool: IO[bytes] | None = None
        self._gzip: gzip.GzipFile | None = None
        self._stream: pa.ipc.RecordBatchStreamWriter | None = None
        self._types: dict[str, str] = {}
        self._schema: pa.Schema | None = None
        self._rows = 0

    def write(self, table: Table, context: StepContext) -> None:
        rows = table.to_arrow()
        self._context = context
        self._token = self._token or context.idempotency_key
        if not self._types:
            self._types = _columns(self._connection, self._table, context)
        made = self._converted(rows)
        if self._stream is None:
            self._begin(made.schema)
        assert self._stream is not None
        if not made.schema.equals(self._schema):
            raise StatementError(f"rows for {self._table} came with different columns: {made.schema.names}")
        if rows.num_rows:
            self._stream.write_table(made)
            self._rows += rows.num_rows

    def commit(self) -> None:
        spool, schema = self._spool, self._schema
        if self._stream is None or spool is None or schema is None:
            return
        self._stream.close()
        if self._gzip is not None:
            self._gzip.close()
        try:
            if self._rows:
                self._send(spool, schema)
        finally:
            spool.close()

    def abort(self) -> None:
        """Nothing was sent."""
        if self._spool is not None:
            self._spool.close()

    def _begin(self, schema: pa.Schema) -> None:
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES_MAX)  # noqa: SIM115 - it stays open
        self._spool = spool
        codec = self._connection.config.compression
        options = pa.ipc.IpcWriteOptions(compression=codec if codec in ("lz4", "zstd") else None)
        self._schema = schema
        columns = ", ".join(identifier(name) for name in schema.names)
        out: IO[bytes] | gzip.GzipFile = spool
        if codec == "gzip":
            out = self._gzip = gzip.GzipFile(fileobj=spool, mode="wb", compresslevel=GZIP_LEVEL, mtime=0)
        out.write(f"INSERT INTO {table_name(self._table)} ({columns}) FORMAT ArrowStream\n".encode())
        self._stream = pa.ipc.new_stream(pa.PythonFile(out, "w"), schema, options=options)

    def _send(self, spool: IO[bytes], schema: pa.Schema) -> None:
        arguments = {"input_format_null_as_default": "0", "wait_end_of_query": "1"}
        if self._token is not None:
            arguments["insert_deduplication_token"] = f"{self._token}/{self._table}"
        encoding = "gzip" if self._gzip is not None else None
        request = Request("", arguments, spool, "application/octet-stream", encoding)
        with self._connection.open(request, self._context) as answer:
            answer.text()
            written_rows = answer.count("written_rows")
        if written_rows is not None:
            self._context.metric("written_rows", written_rows, "rows")
        self._context.progress(self._rows, self._rows)

    def _converted(self, rows: pa.Table) -> pa.Table:
        unknown = [name for name in rows.column_names if name not in self._types]
        if unknown:
            raise StatementError(
                f"the table {self._table} has no column `{unknown[0]}` to write to; it has "
                f"{', '.join(self._types)}"
            )
        columns = []
        for name in rows.column_names:
            try:
                columns.append(as_column(rows.column(name), self._types[name]))
            except Unfit as error:
                raise StatementError(f"column `{name}` of {self._table}: {error}") from error
        return pa.table(dict(zip(rows.column_names, columns, strict=True)))


def _columns(connection: Connection, table: str, context: StepContext) -> dict[str, str]:
    """The types of the columns that can be written to."""
    sql = f"DESCRIBE TABLE {table_name(table)}"
    answer = connection.text(sql, {"default_format": "JSONCompactEachRow"}, context)
    found = (json.loads(line) for line in answer.splitlines())
    return {name: type_ for name, type_, kind, *_ in found if kind not in _NOT_WRITABLE}
