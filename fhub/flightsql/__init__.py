"""Servers that speak Flight SQL: `sql.query` reads, `sql.ingest` writes.

The statements' columns are what the server says; `heddle check` takes them from `heddle.lock`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from fhub.flightsql.connection import Connection, ConnectionConfig
from heddle.core.step import StepConfig, StepContext
from heddle.core.table import Table
from heddle.sdk import Plugin, RowText, Statement, Writer

plugin = Plugin(namespace="fhub/flightsql", doc="Flight SQL servers")

_CONNECTION = {"connection": "connection"}


class QueryConfig(StepConfig[ConnectionConfig]):
    """`@name` in `query` is a bound parameter: a column of what is piped in or joined, or of the workflow."""

    query: Statement
    schema: RowText | None = None


class IngestConfig(StepConfig[ConnectionConfig]):
    """`table` may be qualified by a schema: `sales.orders`."""

    table: str


@plugin.resource(name="connection")
def connection(config: ConnectionConfig) -> Connection:
    """A Flight SQL server."""
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


@plugin.writer(name="ingest", resource=_CONNECTION)
def ingest(config: IngestConfig, context: StepContext) -> Writer:
    """Adds rows to a table, in one transaction where the server has them."""
    from fhub.dbapi_writing import TableWriter

    database: Connection = config.resource
    return TableWriter(database, config.table, holds=database.holds())
