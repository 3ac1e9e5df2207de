"""Any database with an ADBC driver or a DB-API module: `db.query` and `db.table` read, `db.insert` writes.

The statements' columns are what the driver says; `heddle check` takes them from `heddle.lock`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from fhub.database.connection import Connection, ConnectionConfig
from heddle.core.step import StepConfig, StepContext
from heddle.core.table import Table
from heddle.sdk import Plugin, RowText, Statement, Writer

plugin = Plugin(namespace="fhub/database", doc="Databases by ADBC or DB-API")

_CONNECTION = {"connection": "connection"}


class QueryConfig(StepConfig[ConnectionConfig]):
    """`@name` in `query` is a bound parameter: a column of what is piped in or joined, or of the workflow."""

    query: Statement
    schema: RowText | None = None


class TableConfig(StepConfig[ConnectionConfig]):
    """`table` may be qualified by a schema: `sales.orders`."""

    table: str
    columns: list[str] | None = None
    schema: RowText | None = None


class InsertConfig(StepConfig[ConnectionConfig]):
    """`table` may be qualified by a schema: `sales.orders`."""

    table: str


@plugin.resource(name="connection")
def connection(config: ConnectionConfig) -> Connection:
    """A database."""
    return Connection(config)


def query_row(config: QueryConfig) -> pa.Schema:
    from fhub.dbapi_reading import described

    return described(config.resource, config.query, config.schema)


@plugin.step(
    name="query",
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    lookup=True,
    infer=query_row,
)
def query(input: Table | None, config: QueryConfig, context: StepContext) -> Iterator[Table]:
    """The rows of a SELECT."""
    from fhub.dbapi_reading import look_up, read

    database: Connection = config.resource
    if input is None:
        return read(database, config.query, config.schema, context)
    tuples, tuples_max = input.to_arrow(), database.config.lookup_tuples
    return look_up(database, config.query, config.schema, tuples, context, tuples_max)


def table_row(config: TableConfig) -> pa.Schema:
    from fhub.dbapi_reading import described, table_statement

    statement = table_statement(config.resource, config.table, config.columns)
    return described(config.resource, statement, config.schema)


@plugin.step(name="table", resource=_CONNECTION, rows="flat", effect=False, idempotent=True, infer=table_row)
def table(config: TableConfig, context: StepContext) -> Iterator[Table]:
    """The rows of a table or view."""
    from fhub.dbapi_reading import read, table_statement

    statement = table_statement(config.resource, config.table, config.columns)
    return read(config.resource, statement, config.schema, context)


@plugin.writer(name="insert", resource=_CONNECTION)
def insert(config: InsertConfig, context: StepContext) -> Writer:
    """Adds rows to a table, in one transaction."""
    from fhub.dbapi_writing import TableWriter

    return TableWriter(config.resource, config.table)
