"""`lite.query` and `lite.table`: statements described, run and looked up, their rows as Arrow tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from fhub.sqlite.columns import as_arrow, as_values, described, identifier, table_name
from fhub.sqlite.connection import Connection
from fhub.sqlite.failures import SqliteError
from heddle.core.statements import parameter_names, with_placeholders
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk import LOOKUP_KEY

if TYPE_CHECKING:
    from heddle.core.config import ConfigValue

BATCH_ROWS: Final = 50_000


def table_statement(table: str, columns: list[str] | None) -> str:
    listed = ", ".join(identifier(column) for column in columns) if columns is not None else "*"
    return f"SELECT {listed} FROM {table_name(table)}"


def statement_columns(connection: Connection, statement: str, schema: Mapping[str, str] | None) -> pa.Schema:
    """The columns of a statement whose parameters have no values yet. Nothing is run."""
    with connection.reading(StepContext()) as database:
        return _columns(connection, database, statement, schema)


def read(
    connection: Connection, statement: str, schema: Mapping[str, str] | None, context: StepContext
) -> Iterator[Table]:
    """The rows of a statement."""
    values = _values(statement, context.parameters)
    done = 0
    with connection.reading(context) as database:
        columns = _columns(connection, database, statement, schema)
        cursor = database.execute(_bound(statement), values)
        while rows := cursor.fetchmany(BATCH_ROWS):
            done += len(rows)
            yield Table.from_arrow(_table(rows, columns))
            context.progress(done)
        if not done:
            yield Table.from_arrow(columns.empty_table())


def look_up(
    connection: Connection,
    statement: str,
    schema: Mapping[str, str] | None,
    tuples: pa.Table,
    context: StepContext,
) -> Iterator[Table]:
    """The rows of a statement for all tuples of its parameters, with the number of the tuple: a statement
    that is prepared once, in one transaction. It runs for each tuple, which in SQLite is no round trip."""
    names = [name for name in parameter_names(statement) if name in tuples.column_names]
    others = {name: value for name, value in context.parameters.items() if name not in names}
    values = _values(statement, others, tuple(names))
    keys = zip(*(as_values(tuples.column(name)) for name in names), strict=True)
    sql = _bound(statement)
    with connection.reading(context) as database:
        columns = _columns(connection, database, statement, schema)
        whole = columns.append(pa.field(LOOKUP_KEY, pa.int64(), nullable=False))
        database.execute("BEGIN")
        rows: list[tuple[Any, ...]] = []
        numbers: list[int] = []
        given = False
        for number, key in enumerate(keys):
            found = database.execute(sql, values | dict(zip(names, key, strict=True))).fetchall()
            rows += found
            numbers += [number] * len(found)
            if len(rows) >= BATCH_ROWS:
                yield Table.from_arrow(_table(rows, columns).append_column(whole[-1], [numbers]))
                rows, numbers, given = [], [], True
                context.progress(number + 1, tuples.num_rows)
        if rows or not given:
            yield Table.from_arrow(
                _table(rows, columns).append_column(whole[-1], pa.array(numbers, pa.int64()))
            )


def table_count(connection: Connection, table: str) -> int | None:
    """About how many rows a table has: its highest row id."""
    with suppress(SqliteError), connection.reading(StepContext()) as database:
        found = database.execute(f"SELECT max(rowid) FROM {table_name(table)}").fetchone()[0]
        return found if isinstance(found, int) else 0
    return None


def _columns(
    connection: Connection,
    database: sqlite3.Connection,
    statement: str,
    schema: Mapping[str, str] | None,
) -> pa.Schema:
    """The columns of a statement, which are asked for once while the tables stay as they are."""
    version = database.execute("PRAGMA schema_version").fetchone()[0]
    key = (version, statement, tuple((schema or {}).items()))
    found = connection.described.get(key)
    if found is None:
        found = described(database, _without_values(statement), schema)
        connection.described.put(key, found)
    return found


def _bound(statement: str) -> str:
    return with_placeholders(statement, lambda name: f":{name}")


def _without_values(statement: str) -> str:
    return with_placeholders(statement, lambda name: "NULL").rstrip().rstrip(";")


def _values(
    statement: str, parameters: Mapping[str, ConfigValue], elsewhere: tuple[str, ...] = ()
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in parameter_names(statement):
        if name in elsewhere:
            continue
        if name not in parameters:
            raise SqliteError(f"`@{name}` has no value")
        value = parameters[name]
        if isinstance(value, list | dict):
            raise SqliteError(f"`@{name}` is a {type(value).__name__}; SQLite takes single values")
        values[name] = value
    return values


def _table(rows: list[tuple[Any, ...]], columns: pa.Schema) -> pa.Table:
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [as_arrow(column, field) for column, field in zip(values, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=columns)
