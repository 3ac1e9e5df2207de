"""PostgreSQL: `pg.query` and `pg.table` read, `pg.insert`, `pg.upsert`, `pg.copy` and `pg.execute` write.

The statements' columns are what the database says; `heddle check` takes them from `heddle.lock`.
"""

from __future__ import annotations

from typing import Literal

from heddle.core.resource import ResourceConfig
from heddle.core.step import StepConfig
from heddle.sdk import Plugin, RowText, Secret, Statement

plugin = Plugin(namespace="fhub/postgresql", doc="PostgreSQL")


class ConnectionConfig(ResourceConfig):
    """`host` may be a folder for a Unix socket; the other names are libpq's own."""

    host: str = "localhost"
    port: int = 5432
    database: str = "postgres"
    user: str = "postgres"
    password: Secret[str] | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    sslrootcert: str | None = None
    application_name: str = "heddle"
    connect_timeout: int = 10
    statement_timeout: str | None = None
    pool_size: int = 4


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
    """`key`: the columns of the unique constraint that tells a row apart."""

    table: str
    key: list[str]


class ExecuteConfig(StepConfig[ConnectionConfig]):
    """`query` runs once for each row of the input, with the row's columns as `@name`."""

    query: Statement


_CONNECTION = {"connection": "connection"}

plugin.declare_resource("connection", config=ConnectionConfig, doc="A pool of connections to one database.")
plugin.declare(
    "query",
    config=QueryConfig,
    input_mode="optional",
    output_from_config=True,
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    doc="The rows of a SELECT.",
)
plugin.declare(
    "table",
    config=TableConfig,
    input_mode="none",
    output_from_config=True,
    resource=_CONNECTION,
    rows="flat",
    effect=False,
    idempotent=True,
    doc="The rows of a table or view.",
)
plugin.declare(
    "insert",
    config=InsertConfig,
    output=None,
    resource=_CONNECTION,
    rows="flat",
    effect=True,
    doc="Adds rows to a table, in one transaction.",
)
plugin.declare(
    "upsert",
    config=UpsertConfig,
    output=None,
    resource=_CONNECTION,
    rows="flat",
    effect=True,
    idempotent=True,
    doc="Adds rows to a table, or replaces those with the same key.",
)
plugin.declare(
    "copy",
    config=InsertConfig,
    output=None,
    resource=_CONNECTION,
    rows="flat",
    effect=True,
    doc="Adds many rows to a table by COPY, in one transaction.",
)
plugin.declare(
    "execute",
    config=ExecuteConfig,
    output=None,
    resource=_CONNECTION,
    rows="flat",
    effect=True,
    doc="Runs a statement that gives no rows.",
)
