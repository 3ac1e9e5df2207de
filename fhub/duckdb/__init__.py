"""DuckDB files: `duck.query` and `duck.table` read, `duck.insert` and `duck.upsert` write.

The statements' columns are what DuckDB says; `heddle check` takes them from `heddle.lock`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from fhub.duckdb.connection import Connection, ConnectionConfig
from heddle.core.step import StepConfig, StepContext
from heddle.core.table import Table
from heddle.core.types import RowType
from heddle.sdk import Plugin, RowText, Statement, Writer

plugin = Plugin(namespace="fhub/duckdb", doc="DuckDB files")

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
    """`key`: the columns that tell a row apart."""

    table: str
    key: list[str]


@plugin.resource(name="connection")
def connection(config: ConnectionConfig) -> Connection:
    """A DuckDB file."""
    return Connection(config)


def query_row(config: QueryConfig, input: RowType) -> pa.Schema:
    from fhub.duckdb.reading import described

    return described(config.resource, config.query, config.schema, input)


def query_count(config: QueryConfig) -> int | None:
    from fhub.duckdb.reading import estimated_rows

    return estimated_rows(config.resource, config.query)


@plugin.step(
    name="query",
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    lookup=True,
    sql="duckdb",
    infer=query_row,
    estimate=query_count,
)
def query(input: Table | None, config: QueryConfig, context: StepContext) -> Iterator[Table]:
    """The rows of a SELECT."""
    from fhub.duckdb.reading import look_up, read

    if input is None:
        return read(config.resource, config.query, config.schema, context)
    return look_up(config.resource, config.query, config.schema, input.to_arrow(), context)


def table_row(config: TableConfig) -> pa.Schema:
    from fhub.duckdb.reading import described, table_statement

    return described(config.resource, table_statement(config.table, config.columns), config.schema)


def table_count(config: TableConfig) -> int | None:
    from fhub.duckdb.reading import estimated_rows, table_statement

    return estimated_rows(config.resource, table_statement(config.table, None))


@plugin.step(
    name="table",
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    sql="duckdb",
    infer=table_row,
    estimate=table_count,
)
def table(config: TableConfig, context: StepContext) -> Iterator[Table]:
    """The rows of a table or view."""
    from fhub.duckdb.reading import read, table_statement

    return read(config.resource, table_statement(config.table, config.columns), config.schema, context)


@plugin.writer(name="insert", resource=_CONNECTION)
def insert(config: InsertConfig, context: StepContext) -> Writer:
    """Adds rows to a table, in one transaction."""
    from fhub.duckdb.writing import TableWriter

    return TableWriter(config.resource, config.table, ())


@plugin.writer(name="upsert", resource=_CONNECTION, idempotent=True)
def upsert(config: UpsertConfig, context: StepContext) -> Writer:
    """Adds rows to a table, or replaces those with the same key, in one transaction."""
    from fhub.duckdb.writing import TableWriter

    return TableWriter(config.resource, config.table, tuple(config.key))
