"""Queries in DuckDB's dialect: DuckDB itself runs them, over the rows that a viewer sees of the tables that
they name.

These rows come from queries in DataFusion's dialect, one for each table, with the columns that the text may
mean. So policies, plans of views and limits are what they are for all queries, and what a word means is what
DuckDB says.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import duckdb
import pyarrow as pa

from heddle.core.casting import plain_type
from heddle.core.planning import quoted
from heddle.core.private_folder import scratch_folder
from heddle.core.record import record
from heddle.database.answers import Answer
from heddle.database.duckdb_instance import Interrupting, opened
from heddle.database.duckdb_reading import DuckStatement, DuckTable, read_duckdb
from heddle.database.duckdb_scans import Scan
from heddle.database.errors import QueryError, QueryErrorKind
from heddle.database.planning import EXPLAINED, rows_answer
from heddle.database.statements import NamedTable, Place

if TYPE_CHECKING:
    from heddle.database.catalog import Catalog, Seen
    from heddle.database.model import Settings, Viewer
    from heddle.database.planning import Asked, Planner
    from heddle.physical.cancel import CancelToken

BATCH_ROWS: Final = 65_536
DUCKDB_SHARE: Final = 0.5
"""Of the memory of a query; the rest is for the plans that give the rows."""
SCHEMAS_MAX: Final = 1_000
"""Queries whose columns are kept."""
_NAMES: Final = (
    "two tables of the statement have one name in DuckDB, which does not tell capital letters apart"
)
_KINDS: Final[tuple[tuple[type[Exception], QueryErrorKind], ...]] = (
    (duckdb.OutOfMemoryException, "exhausted"),
    (duckdb.InterruptException, "cancelled"),
    (duckdb.PermissionException, "denied"),
    (duckdb.ParserException, "invalid"),
    (duckdb.SyntaxException, "invalid"),
    (duckdb.BinderException, "invalid"),
    (duckdb.CatalogException, "invalid"),
)


class DuckDialect:
    """Makes queries of texts. `asked` gives a query in DataFusion's dialect."""

    def __init__(
        self,
        catalog: Catalog,
        asked: Callable[[str, Viewer, Settings, str | None], Asked],
        planner: Planner,
        memory_bytes: int,
    ) -> None:
        """`memory_bytes` is for a query that is given no limit."""
        self._catalog = catalog
        self._asked = asked
        self._planner = planner
        self._memory_bytes = memory_bytes
        self._schemas: OrderedDict[object, pa.Schema] = OrderedDict()
        self._lock = threading.Lock()

    def schema(self, query: DuckQuery) -> pa.Schema:
        """The columns of a query, where parameters are null. Raises `QueryError`."""
        with self._lock:
            known = self._schemas.get(query.key)
        if known is not None:
            return known
        schema = query.schema()
        with self._lock:
            self._schemas[query.key] = schema
            if len(self._schemas) > SCHEMAS_MAX:
                self._schemas.popitem(last=False)
        return schema

    def query(self, text: str, viewer: Viewer, settings: Settings, transaction: str | None) -> DuckQuery:
        """Raises `QueryError`."""
        read = read_duckdb(text)
        scanned: list[DuckScanned] = []
        for table in read.tables:
            named = NamedTable(table.parts, Place(0, 0), None)
            try:
                seen = self._catalog.find(named, viewer, settings, transaction)
            except QueryError:
                if len(table.parts) == 1 and table.parts[0].lower() in read.cte_names:
                    continue
                raise
            scanned.append(self._scanned(table, seen, read, viewer, settings, transaction))
        memory_bytes = settings.memory_bytes or self._memory_bytes
        return DuckQuery(read, scanned, int(memory_bytes * DUCKDB_SHARE))

    def _scanned(
        self,
        table: DuckTable,
        seen: Seen,
        read: DuckStatement,
        viewer: Viewer,
        settings: Settings,
        transaction: str | None,
    ) -> DuckScanned:
        name = seen.info.name
        columns = ", ".join(map(quoted, read.columns(tuple(seen.info.schema.names))))
        full = ".".join(map(quoted, (name.catalog, name.schema, name.name)))
        asked = self._asked(
            f"SELECT {columns} FROM {full}", viewer, replace(settings, rows_max=None), transaction
        )
        return DuckScanned(
            table,
            seen,
            self._planner.typed(asked).schema,
            lambda: self._planner.answer(asked, (), explains=False),
            lambda: self._planner.answer(asked, (), explains=True),
        )


@record(frozen=True, slots=True)
class DuckScanned:
    """A table of a text, as its viewer sees it. `ask` asks in DataFusion's dialect for its rows, which have
    the `schema`; `explain` for the plan of that."""

    table: DuckTable
    seen: Seen
    schema: pa.Schema
    ask: Callable[[], Answer]
    explain: Callable[[], Answer]


class DuckQuery:
    """One query, which may run more than once. `memory_bytes` is for DuckDB alone. Thread-safe."""

    def __init__(self, read: DuckStatement, scanned: Sequence[DuckScanned], memory_bytes: int) -> None:
        self.read = read
        self._scanned = scanned
        self._memory_bytes = memory_bytes

    @property
    def key(self) -> object:
        """Queries with the same key have the same columns."""
        return self.read.text, tuple((each.table, each.schema) for each in self._scanned)

    @property
    def seen(self) -> tuple[Seen, ...]:
        return tuple(each.seen for each in self._scanned)

    def schema(self) -> pa.Schema:
        """Its columns, where parameters are null. Raises `QueryError`."""
        with ExitStack() as held:
            return self._opened(held, dict.fromkeys(self.read.parameters)).schema

    def answer(self, values: Sequence[object], rows_max: int | None) -> Answer:
        """Raises `QueryError`."""
        given = dict(zip(self.read.parameters, map(_plain_value, values), strict=True))
        restricted = any(each.seen.rules is not None for each in self._scanned)
        with ExitStack() as held:
            running = self._opened(held, given)
            if self.read.kind == "explain":
                return self._explained(running)
            return Answer(
                uuid4().hex,
                running.schema,
                running.rows,
                held.pop_all(),
                rows_max=rows_max,
                concealed=restricted,
            )

    def _opened(self, held: ExitStack, values: Mapping[str, object]) -> _Running:
        folder = scratch_folder(f"duckdb-{uuid4().hex[:12]}", Path(tempfile.gettempdir()))
        spill = held.enter_context(folder)
        scans = [held.enter_context(closing(Scan(each.schema, each.ask))) for each in self._scanned]
        connection = opened(memory_bytes=self._memory_bytes, cores=os.cpu_count() or 1, spill=spill)
        held.callback(connection.close)  # before the scans, which nothing reads then
        try:
            text = _with_tables(connection, self.read, [each.table for each in self._scanned], scans)
            return _Running(connection, text, values, scans)
        except duckdb.Error as error:
            raise query_error(error) from error

    def _explained(self, running: _Running) -> Answer:
        texts = [("duckdb", running.plan())]
        for each in self._scanned:
            name = each.seen.info.name
            with closing(each.explain()) as answer:
                plans = [str(row["plan"]) for batch in answer.batches() for row in batch.to_pylist()]
            texts += [(f"{name.schema}.{name.name}", plan) for plan in plans]
        rows = [{"plan_type": type_, "plan": plan} for type_, plan in texts]
        return rows_answer(pa.Table.from_pylist(rows, schema=EXPLAINED))


class _Running:
    """A query in an instance of its own. `schema` is that of its rows under the values."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        text: str,
        values: Mapping[str, object],
        scans: Sequence[Scan],
    ) -> None:
        self._connection = connection
        self._text = text
        self._values = _bound(values)
        self._scans = scans
        self.schema = self._described()

    def plan(self) -> str:
        """DuckDB's plan. Raises `QueryError`."""
        try:
            found = self._connection.execute(f"EXPLAIN {self._text}", self._values).fetchall()
        except duckdb.Error as error:
            raise query_error(error) from error
        return "\n".join(str(text) for _, text in found)

    def rows(self, cancel: CancelToken) -> Iterator[pa.RecordBatch]:
        """Raises `QueryError`."""
        interrupting = Interrupting(self._connection)

        def stop() -> None:
            for scan in self._scans:
                scan.cancel(QueryError("cancelled", "the query was cancelled"))
            interrupting.begin()

        forget = cancel.on_cancel(stop)
        try:
            result = self._connection.sql(self._text, params=self._values)
            for batch in result.to_arrow_reader(BATCH_ROWS):
                yield _as_plain(batch, self.schema)
        except duckdb.Error as error:
            raise self._failure(error) from error
        finally:
            forget()
            interrupting.end()

    def _described(self) -> pa.Schema:
        found = self._connection.execute(f"DESCRIBE {self._text}", self._values).fetchall()
        types = [str(type_) for _, type_, *_ in found]
        nulls = ", ".join("NULL" if type_ == '"NULL"' else f"CAST(NULL AS {type_})" for type_ in types)
        schema = self._connection.sql(f"SELECT {nulls}").to_arrow_table().schema
        return pa.schema([pa.field(str(row[0]), _type(f.type)) for row, f in zip(found, schema, strict=True)])

    def _failure(self, error: duckdb.Error) -> QueryError:
        for scan in self._scans:
            if scan.failure is not None:
                return scan.failure
        return query_error(error)


def query_error(error: duckdb.Error) -> QueryError:
    """DuckDB's message without its class and what it shows of the text."""
    kinds: list[QueryErrorKind] = [kind for type_, kind in _KINDS if isinstance(error, type_)]
    first = str(error).splitlines()[0] if str(error) else "it failed"
    return QueryError(kinds[0] if kinds else "failed", first.partition(" Error: ")[2] or first)


def _with_tables(
    connection: duckdb.DuckDBPyConnection,
    read: DuckStatement,
    tables: Sequence[DuckTable],
    scans: Sequence[Scan],
) -> str:
    """The text over tables that give what is scanned. They have the names that the text has for them, but for
    those of which DuckDB has its own. Raises `QueryError`."""
    relations: dict[DuckTable, str] = {}
    places: set[str] = set()
    for table, scan in zip(tables, scans, strict=True):
        own = f"scan_{uuid4().hex}"
        connection.register(own, scan)
        relation = f"temp.main.{quoted(own)}"
        if table.is_reserved:
            relations[table] = relation
            continue
        *above, name = table.parts
        for i in range(1, len(above) + 1):
            place = ".".join(map(quoted, above[:i]))
            if place.lower() in places:
                continue
            places.add(place.lower())
            catalog = i == 1 and len(above) == 2
            connection.execute(f"ATTACH ':memory:' AS {place}" if catalog else f"CREATE SCHEMA {place}")
        full = ".".join(map(quoted, (*above, name)))
        if full.lower() in places:
            raise QueryError(
                "invalid", _NAMES, help="name them in DataFusion's dialect, with the language `sql`"
            )
        places.add(full.lower())
        connection.execute(f"CREATE VIEW {full} AS FROM {relation}")
    return read.sql(relations)


def _bound(values: Mapping[str, object]) -> list[object] | dict[str, object] | None:
    if not values:
        return None
    if all(name[1:].isdecimal() for name in values):
        return list(values.values())
    return {name[1:]: value for name, value in values.items()}


def _plain_value(value: object) -> object:
    """Python's times end with microseconds, and so do the values that DuckDB's client takes."""
    if not isinstance(value, pa.Scalar):
        return value
    held = _in_microseconds(value.type)
    try:
        return (value if value.type == held else value.cast(held)).as_py()
    except ValueError as error:  # Arrow's, and that of a nested value
        raise QueryError(
            "invalid",
            f"a parameter of type {value.type} has parts of a microsecond",
            help="give it in microseconds, or ask in DataFusion's dialect, with the language `sql`",
        ) from error


def _in_microseconds(type_: pa.DataType) -> pa.DataType:
    """The type itself, when it has no nanoseconds."""
    if pa.types.is_timestamp(type_) and type_.unit == "ns":
        return pa.timestamp("us", type_.tz)
    if pa.types.is_duration(type_) and type_.unit == "ns":
        return pa.duration("us")
    return pa.time64("us") if type_ == pa.time64("ns") else type_


def _type(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    return plain_type(type_)


def _as_plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        column if column.type.equals(field.type) else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
