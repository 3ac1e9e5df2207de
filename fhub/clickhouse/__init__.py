"""ClickHouse over HTTP: `ch.query` and `ch.table` read, `ch.insert` writes.

The statements' columns are what the server says; `heddle check` takes them from `heddle.lock`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from fhub.clickhouse.connection import Connection, ConnectionConfig
from fhub.embedded import embedded_folder
from heddle.core.step import StepConfig, StepContext
from heddle.core.table import Table
from heddle.core.types import RowType
from heddle.sdk import Plugin, RowText, Statement, Writer

plugin = Plugin(namespace="fhub/clickhouse", doc="ClickHouse")

_CONNECTION = {"connection": "connection"}


class QueryConfig(StepConfig[ConnectionConfig]):
    """`@name` in `query` is a bound parameter: a column of what is piped in or joined, or of the workflow."""

    query: Statement
    schema: RowText | None = None


class TableConfig(StepConfig[ConnectionConfig]):
    """`table` may be qualified: `metrics.risk`."""

    table: str
    columns: list[str] | None = None
    schema: RowText | None = None


class InsertConfig(StepConfig[ConnectionConfig]):
    """`deduplication_token` makes a repeated insert of the same rows count once; without it each run, and
    each turn of one, has a token of its own."""

    table: str
    deduplication_token: str | None = None


@plugin.resource(name="connection")
def connection(config: ConnectionConfig) -> Connection:
    """A server and a database on it."""
    folder = embedded_folder(config.host, config.base)
    if folder is None:
        return Connection(config)
    from fhub.clickhouse.embedded import EmbeddedConnection

    return EmbeddedConnection(config, folder)


def query_row(config: QueryConfig, input: RowType) -> pa.Schema:
    from fhub.clickhouse.reading import described_columns

    return described_columns(config.resource, config.query, config.schema, input)


def query_rows(config: QueryConfig) -> int | None:
    from fhub.clickhouse.reading import estimated_rows

    return estimated_rows(config.resource, config.query)


@plugin.step(
    name="query",
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    lookup=True,
    sql="clickhouse",
    infer=query_row,
    estimate=query_rows,
)
def query(input: Table | None, config: QueryConfig, context: StepContext) -> Iterator[Table]:
    """The rows of a SELECT."""
    from fhub.clickhouse.reading import look_up, read

    if input is None:
        return read(config.resource, config.query, config.schema, context)
    return look_up(config.resource, config.query, config.schema, input.to_arrow(), context)


def table_row(config: TableConfig) -> pa.Schema:
    from fhub.clickhouse.reading import described_columns, table_statement

    statement = table_statement(config.table, config.columns)
    return described_columns(config.resource, statement, config.schema)


def table_count(config: TableConfig) -> int | None:
    from fhub.clickhouse.reading import table_rows

    return table_rows(config.resource, config.table)


@plugin.step(
    name="table",
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    sql="clickhouse",
    infer=table_row,
    estimate=table_count,
)
def table(config: TableConfig, context: StepContext) -> Iterator[Table]:
    """The rows of a table."""
    from fhub.clickhouse.reading import read, table_statement

    return read(config.resource, table_statement(config.table, config.columns), config.schema, context)


@plugin.writer(name="insert", resource=_CONNECTION)
def insert(config: InsertConfig, context: StepContext) -> Writer:
    """Adds rows to a table."""
    from fhub.clickhouse.inserting import Insert

    return Insert(config.resource, config.table, config.deduplication_token, context)
