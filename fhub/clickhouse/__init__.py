"""ClickHouse over HTTP: `ch.query` and `ch.table` read, `ch.insert` writes.

The statements' columns are what the server says; `heddle check` takes them from `heddle.lock`.
"""

from __future__ import annotations

from heddle.core.resource import ResourceConfig
from heddle.core.step import StepConfig
from heddle.sdk import Plugin, RowText, Secret, Statement

plugin = Plugin(namespace="fhub/clickhouse", doc="ClickHouse")


class ConnectionConfig(ResourceConfig):
    """`port` is the HTTP interface's: 8123, or 8443 with `secure`."""

    host: str = "localhost"
    port: int = 8123
    secure: bool = False
    database: str = "default"
    user: str = "default"
    password: Secret[str] | None = None
    connect_timeout: int = 10
    settings: dict[str, str] = {}  # noqa: RUF012 - a default; every instance gets its own copy


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
    """`deduplication_token` makes a repeated insert of the same batch count once."""

    table: str
    deduplication_token: str | None = None


_CONNECTION = {"connection": "connection"}

plugin.declare_resource("connection", config=ConnectionConfig, doc="A server and a database on it.")
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
    doc="The rows of a table.",
)
plugin.declare(
    "insert",
    config=InsertConfig,
    output=None,
    resource=_CONNECTION,
    rows="flat",
    effect=True,
    doc="Adds rows to a table.",
)
