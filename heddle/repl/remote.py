"""Statements at a Flight SQL endpoint, by ADBC's driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pyarrow as pa

from heddle.database.errors import QueryError
from heddle.database.model import REMARKS, IngestMode, SqlLanguage, TableInfo, TableKind, TableName
from heddle.errors import ServiceUnavailable, UsageError
from heddle.repl.remote_errors import Told, told
from heddle.repl.remote_keys import KEYS_OF_TABLE, with_keys
from heddle.repl.remote_parameters import PARAMETERS, tells_parameters, with_parameters
from heddle.repl.targets import SCHEMES

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

LANGUAGE_OPTION: Final = "adbc.flight.sql.session.option.language"
_PROTOCOL: Final = "ARROW:FLIGHT:SQL:"
_KINDS: Final[dict[str, TableKind]] = {"VIEW": "VIEW", "SYSTEM TABLE": "SYSTEM TABLE"}


def connect(address: str, options: Mapping[str, str], secrets: Sequence[str]) -> RemoteConnection:
    """`options` are the driver's, `secrets` what no message may hold. Raises `UsageError` and
    `QueryError`."""
    label = checked_address(address)
    try:
        import adbc_driver_flightsql.dbapi
    except ModuleNotFoundError as error:
        raise UsageError(
            "an endpoint needs ADBC's driver, which is not installed", help="pip install 'heddle[flightsql]'"
        ) from error
    telling = Told(address, tuple(secrets))
    try:
        with told(telling):
            connection = adbc_driver_flightsql.dbapi.connect(
                address, db_kwargs=dict(options), autocommit=True
            )
        opened = RemoteConnection(connection, label, telling)
        try:
            opened.greet()
        except QueryError:
            opened.close()
            raise
    except QueryError as error:
        if error.kind != "unavailable":
            raise
        raise ServiceUnavailable(error.message, help=error.help) from error
    return opened


def checked_address(address: str) -> str:
    """What the prompt calls it. Raises `UsageError` for an address of another kind, or one with a user in
    it."""
    parts = urlsplit(address)
    if not address.startswith(SCHEMES) or not (parts.netloc or parts.path):
        raise UsageError(
            f"`{address.partition('://')[0]}://` is no address of an endpoint",
            help="it is grpc://HOST:PORT, or grpc+tls://HOST:PORT",
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "a user and a password do not belong into an address",
            help="--user names the user; the password is asked for, or is in HEDDLE_SQL_PASSWORD",
        )
    return parts.netloc or parts.path


class RemoteConnection:
    def __init__(self, connection: Any, label: str, telling: Told) -> None:
        """`connect` makes it."""
        self._connection = connection
        self._telling = telling
        self._cursors: list[Cursor] = []
        self._language: SqlLanguage = "sql"
        self.label = label
        self.catalog: str | None = None

    def greet(self) -> None:
        """Ask something small, so that it is known that the endpoint is there and lets us in."""
        with told(self._telling):
            self._connection.adbc_get_objects(depth="catalogs").read_all()

    def tables(self) -> tuple[TableInfo, ...]:
        with told(self._telling):
            rows = self._connection.adbc_get_objects(depth="all").read_all().to_pylist()
        found = [
            _table_info(catalog["catalog_name"] or "", schema["db_schema_name"] or "", table)
            for catalog in rows
            for schema in catalog["catalog_db_schemas"] or ()
            for table in schema["db_schema_tables"] or ()
        ]
        found.sort(key=lambda i: (i.name.catalog, i.name.schema, i.name.name))
        return self._with_parameters(found)

    def describe(self, name: TableName, *, keys: bool = False) -> TableInfo:
        with told(self._telling):
            known = self._connection.adbc_get_objects(
                depth="all",
                catalog_filter=name.catalog or None,
                db_schema_filter=name.schema or None,
                table_name_filter=name.name,
            )
            rows = known.read_all().to_pylist()
            schema = self._connection.adbc_get_table_schema(
                name.name, catalog_filter=name.catalog or None, db_schema_filter=name.schema or None
            )
        tables = [t for c in rows for s in c["catalog_db_schemas"] or () for t in s["db_schema_tables"] or ()]
        info = _table_info(name.catalog, name.schema, next(t for t in tables if t["table_name"] == name.name))
        described = TableInfo(name, info.kind, _with_remarks(schema))
        if not keys:
            return described
        of_table = self._asked(KEYS_OF_TABLE, name.catalog, name.schema, name.name)
        taken = with_parameters([described], self._asked(PARAMETERS))
        return with_keys(taken[0], of_table)

    def _with_parameters(self, tables: Sequence[TableInfo]) -> tuple[TableInfo, ...]:
        if not tells_parameters(tables):
            return tuple(tables)
        return with_parameters(tables, self._asked(PARAMETERS))

    def _asked(self, text: str, *values: str) -> list[dict[str, Any]]:
        """Rows of the endpoint's own catalog; none where it has no such table."""
        self._speak("sql")
        cursor = self._connection.cursor()
        self._cursors.append(cursor)
        try:
            with told(self._telling):
                cursor.execute(text, values or None)
                found: list[dict[str, Any]] = cursor.fetch_arrow_table().to_pylist()
            return found
        except QueryError as error:
            if error.kind in ("cancelled", "unavailable"):
                raise
            return []
        finally:
            self._closed(cursor)

    def prepare(self, text: str, language: SqlLanguage = "sql") -> RemoteStatement:
        self._speak(language)
        cursor = self._connection.cursor()
        self._cursors.append(cursor)
        try:
            with told(self._telling):
                parameters = cursor.adbc_prepare(text)
        except QueryError:
            self._closed(cursor)
            raise
        return RemoteStatement(self, cursor, text, parameters or pa.schema([]))

    def _speak(self, language: SqlLanguage) -> None:
        """Tell the endpoint what statements are in, where it does not know."""
        if language == self._language:
            return
        with told(self._telling):
            self._connection.adbc_connection.set_options(**{LANGUAGE_OPTION: language})
        self._language = language

    def ingest(self, target: TableName, rows: pa.RecordBatchReader, mode: IngestMode) -> int | None:
        cursor = self._connection.cursor()
        self._cursors.append(cursor)
        try:
            with told(self._telling):
                count = cursor.adbc_ingest(
                    target.name,
                    rows,
                    mode,
                    catalog_name=target.catalog or None,
                    db_schema_name=target.schema or None,
                )
        finally:
            self._closed(cursor)
        return count if count >= 0 else None

    def cancel(self) -> None:
        for cursor in tuple(self._cursors):
            self.cancel_cursor(cursor)

    def cancel_cursor(self, cursor: Cursor) -> None:
        with told(self._telling):
            cursor.adbc_cancel()

    def close(self) -> None:
        """What still runs is cancelled, and closes itself at its end: nobody else may close what is read."""
        running = tuple(self._cursors)
        with suppress(QueryError):
            for cursor in running:
                self.cancel_cursor(cursor)
        if not running:
            with suppress(QueryError), told(self._telling):
                self._connection.close()

    def _closed(self, cursor: Cursor) -> None:
        """What a server says to the closing changes nothing any more."""
        if cursor in self._cursors:
            self._cursors.remove(cursor)
            with suppress(QueryError), told(self._telling):
                cursor.close()


class RemoteStatement:
    """Runs once."""

    def __init__(
        self, connection: RemoteConnection, cursor: Cursor, text: str, parameters: pa.Schema
    ) -> None:
        self.parameters = parameters
        self._connection = connection
        self._cursor = cursor
        self._text = text

    def run(self, values: Sequence[object] = ()) -> RemoteAnswer:
        bound = _bound(self.parameters, values) if values else None
        answer = RemoteAnswer(self._connection, self._cursor)
        try:
            with told(self._connection._telling):
                self._cursor.execute(self._text, bound)
                answer.reader = self._cursor.fetch_record_batch()
            answer.schema = _plain(answer.reader.schema)
            if not answer.schema.names and self._cursor.rowcount >= 0:
                answer.rows_updated = self._cursor.rowcount
        except QueryError:
            answer.close()
            raise
        return answer


class RemoteAnswer:
    def __init__(self, connection: RemoteConnection, cursor: Cursor) -> None:
        self.schema: pa.Schema = pa.schema([])
        self.rows_updated: int | None = None
        self.reader: pa.RecordBatchReader | None = None
        self._connection = connection
        self._cursor = cursor

    def batches(self) -> Iterator[pa.RecordBatch]:
        if self.reader is None:
            return
        while True:
            with told(self._connection._telling):
                try:
                    batch = self.reader.read_next_batch()
                except StopIteration:
                    return
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def cancel(self) -> None:
        self._connection.cancel_cursor(self._cursor)

    def close(self) -> None:
        self._connection._closed(self._cursor)


def _bound(parameters: pa.Schema, values: Sequence[object]) -> pa.RecordBatch:
    """One row, with the types that the server knows."""
    columns = []
    for value in values:
        scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
        columns.append(pa.array([scalar], scalar.type))
    return pa.RecordBatch.from_arrays(columns, names=parameters.names)


def _table_info(catalog: str, schema: str, table: Mapping[str, Any]) -> TableInfo:
    columns = sorted(table["table_columns"] or (), key=lambda column: column["ordinal_position"] or 0)
    return TableInfo(
        TableName(catalog, schema, table["table_name"]),
        _KINDS.get(table["table_type"], "TABLE"),
        pa.schema([pa.field(column["column_name"], pa.null()) for column in columns]),
    )


def _with_remarks(schema: pa.Schema) -> pa.Schema:
    """Remarks of columns under the name that the catalog has for them."""
    remarks = [(field.metadata or {}).get(f"{_PROTOCOL}REMARKS".encode()) for field in schema]
    fields = zip(_plain(schema), remarks, strict=True)
    return pa.schema([field.with_metadata({REMARKS: text}) if text else field for field, text in fields])


def _plain(schema: pa.Schema) -> pa.Schema:
    """Without what the protocol says of columns."""
    protocol = _PROTOCOL.encode()
    kept = [
        {k: v for k, v in (field.metadata or {}).items() if not k.startswith(protocol)} for field in schema
    ]
    return pa.schema(
        [field.with_metadata(own) for field, own in zip(schema, kept, strict=True)], schema.metadata
    )
