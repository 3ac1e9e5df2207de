"""SQLite files: `lite.query` and `lite.table` read, `lite.insert` and `lite.upsert` write.

The statements' columns are what their tables declare; `heddle check` takes them from `heddle.lock`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from fhub.sqlite.connection import Connection, ConnectionConfig
from heddle.core.step import StepConfig, StepContext
from heddle.core.table import Table
from heddle.sdk import Plugin, RowText, Statement, Writer

plugin = Plugin(namespace="fhub/sqlite", doc="SQLite files")

_CONNECTION = {"connection": "connection"}


class QueryConfig(StepConfig[ConnectionConfig]):
    """`@name` in `query` is a bound parameter: a column of what is piped in or joined, or of the workflow."""

    query: Statement
    schema: RowText | None = None


class TableConfig(StepConfig[ConnectionConfig]):
    """`table` may be qualified: `sales.orders`."""

    table: str
    columns: list[str] | None = None
    schema: RowText | None = None


class InsertConfig(StepConfig[ConnectionConfig]):
    table: str


class UpsertConfig(StepConfig[ConnectionConfig]):
    """`key`: the columns of a unique index that tell a row apart."""

    table: str
    key: list[str]


@plugin.resource(name="connection")
def connection(config: ConnectionConfig) -> Connection:
    """An SQLite file."""
    return Connection(config)


def query_row(config: QueryConfig) -> pa.Schema:
    from fhub.sqlite.reading import statement_columns

    return statement_columns(config.resource, config.query, config.schema)


@plugin.step(
    name="query",
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    lookup=True,
    sql="sqlite",
    infer=query_row,
)
def query(input: Table | None, config: QueryConfig, context: StepContext) -> Iterator[Table]:
    """The rows of a SELECT."""
    from fhub.sqlite.reading import look_up, read

    if input is None:
        return read(config.resource, config.query, config.schema, context)
    return look_up(config.resource, config.query, config.schema, input.to_arrow(), context)


def table_row(config: TableConfig) -> pa.Schema:
    from fhub.sqlite.reading import statement_columns, table_statement

    return statement_columns(config.resource, table_statement(config.table, config.columns), config.schema)


def table_rows(config: TableConfig) -> int | None:
    from fhub.sqlite.reading import table_count

    return table_count(config.resource, config.table)


@plugin.step(
    name="table",
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    sql="sqlite",
    infer=table_row,
    estimate=table_rows,
)
def table(config: TableConfig, context: StepContext) -> Iterator[Table]:
    """The rows of a table or view."""
    from fhub.sqlite.reading import read, table_statement

    return read(config.resource, table_statement(config.table, config.columns), config.schema, context)


@plugin.writer(name="insert", resource=_CONNECTION)
def insert(config: InsertConfig, context: StepContext) -> Writer:
    """Adds rows to a table, in one transaction."""
    from fhub.sqlite.writing import TableWriter

    return TableWriter(config.resource, config.table, (), context.run_id)


@plugin.writer(name="upsert", resource=_CONNECTION, idempotent=True)
def upsert(config: UpsertConfig, context: StepContext) -> Writer:
    """Adds rows to a table, or replaces those with the same key, in one transaction."""
    from fhub.sqlite.writing import TableWriter

    return TableWriter(config.resource, config.table, tuple(config.key), context.run_id)
