"""PostgreSQL: `pg.query` and `pg.table` read; `pg.insert`, `pg.copy`, `pg.upsert`, `pg.execute` and
`pg.outbox` write.

A statement's columns are what the server says of it without executing it. Rows are streamed by COPY, both
ways; what a run writes is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fhub.postgresql.settings import (
    ConnectionConfig,
    ExecuteConfig,
    InsertConfig,
    OutboxConfig,
    QueryConfig,
    TableConfig,
    UpsertConfig,
)
from heddle.sdk import Plugin, Resource, StepContext, Table, Writer

if TYPE_CHECKING:
    import pyarrow as pa

plugin = Plugin(namespace="fhub/postgresql", doc="PostgreSQL")

_CONNECTION = {"connection": "connection"}


@plugin.resource(name="connection")
def open_connection(config: ConnectionConfig) -> Resource:
    """A database, and the connections to it that steps share."""
    from fhub.embedded import embedded_folder

    folder = embedded_folder(config.host, config.base)
    if folder is not None:
        from fhub.postgresql.embedded import EmbeddedConnection

        return EmbeddedConnection(config, folder)
    from fhub.postgresql.connection import Connection

    return Connection(config)


def _query_row(config: QueryConfig) -> pa.Schema:
    from fhub.postgresql.describing import described
    from fhub.postgresql.reading import declared

    schema = declared(config.schema)
    return described(config.resource, config.query).schema() if schema is None else schema


def _query_rows(config: QueryConfig) -> int | None:
    from fhub.postgresql.estimating import statement_rows

    return statement_rows(config.resource, config.query)


@plugin.step(
    name="query",
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    infer=_query_row,
    estimate=_query_rows,
    sql="postgres",
    lookup=True,
)
def query(config: QueryConfig, input: Table | None, context: StepContext) -> Iterator[Table]:
    """The rows of a SELECT."""
    from fhub.postgresql.reading import declared, read

    schema = declared(config.schema)
    if input is None:
        yield from read(config.resource, config.query, schema, context)
    else:
        from fhub.postgresql.lookups import look_up

        yield look_up(config.resource, config.query, input.to_arrow(), schema, context)


def _table_row(config: TableConfig) -> pa.Schema:
    from fhub.postgresql.reading import declared
    from fhub.postgresql.tables import table_schema

    schema = declared(config.schema)
    return table_schema(config.resource, config.table, config.columns) if schema is None else schema


def _table_rows(config: TableConfig) -> int | None:
    from fhub.postgresql.estimating import table_rows

    return table_rows(config.resource, config.table)


@plugin.step(
    name="table",
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    infer=_table_row,
    estimate=_table_rows,
    sql="postgres",
)
def table(config: TableConfig, context: StepContext) -> Iterator[Table]:
    """The rows of a table or view."""
    from fhub.postgresql.reading import declared
    from fhub.postgresql.tables import read_table

    schema = declared(config.schema)
    yield from read_table(config.resource, config.table, config.columns, config.partitions, schema, context)


@plugin.writer(name="insert", resource=_CONNECTION)
def insert(config: InsertConfig, context: StepContext) -> Writer:
    """Adds rows to a table, in one transaction."""
    from fhub.postgresql.transactions import transaction_of
    from fhub.postgresql.writing import Inserter

    return Inserter(transaction_of(config.resource, config.transaction, context), config.table)


@plugin.writer(name="copy", resource=_CONNECTION)
def copy(config: InsertConfig, context: StepContext) -> Writer:
    """Adds rows to a table by COPY, in one transaction: the same as `insert`."""
    return insert(config, context)


@plugin.writer(name="upsert", resource=_CONNECTION, idempotent=True)
def upsert(config: UpsertConfig, context: StepContext) -> Writer:
    """Adds rows to a table, or replaces those with the same key."""
    from fhub.postgresql.transactions import transaction_of
    from fhub.postgresql.writing import Upserter

    transaction = transaction_of(config.resource, config.transaction, context)
    return Upserter(transaction, config.table, config.key)


@plugin.writer(name="execute", resource=_CONNECTION)
def execute(config: ExecuteConfig, context: StepContext) -> Writer:
    """Runs a statement for each row, all in one transaction."""
    from fhub.postgresql.executing import Executor
    from fhub.postgresql.transactions import transaction_of

    return Executor(transaction_of(config.resource, config.transaction, context), config.query)


@plugin.writer(name="outbox", resource=_CONNECTION)
def outbox(config: OutboxConfig, context: StepContext) -> Writer:
    """Writes an event for each row into a table, from which another process publishes them."""
    from fhub.postgresql.events import Outbox
    from fhub.postgresql.transactions import transaction_of

    return Outbox(
        transaction_of(config.resource, config.transaction, context),
        config.table,
        config.topic,
        config.key,
        config.columns,
        config.create,
    )
