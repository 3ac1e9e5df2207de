"""Calls of the connector's steps as a plugin's process makes them, against a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from fhub import clickhouse
from fhub.clickhouse.connection import Connection, ConnectionConfig
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.core.types import OPEN_ROW, RowType
from heddle.sdk.testing import StepResult, run_step
from tests.services.clickhouse import ClickHouse

Rows = list[dict[str, Any]]


@dataclass
class Steps:
    """A database of its own on the server; `url` is where the connector finds it."""

    server: ClickHouse
    database: str
    url: str = ""

    def settings(self, **others: Any) -> dict[str, Any]:
        address = urlsplit(self.url or self.server.url)
        return {
            "host": address.hostname,
            "port": address.port,
            "secure": address.scheme == "https",
            "password": self.server.password,
            "database": self.database,
            **others,
        }

    def connection(self, **others: Any) -> Connection:
        return Connection(ConnectionConfig(**self.settings(**others)))

    def run(self, name: str, config: dict[str, Any], rows: Any, context: Mapping[str, Any]) -> StepResult:
        connection = config.pop("connection", {})
        return run_step(
            clickhouse.plugin,
            name,
            rows,
            config=config,
            resources={"connection": self.settings(**connection)},
            context=context,
        )

    def query(self, sql: str, rows: Rows | pa.Table | None = None, **others: Any) -> pa.Table:
        """`parameters` go to the context, all others are settings of the step."""
        parameters = others.pop("parameters", {})
        return self.run("query", {"query": sql, **others}, rows, {"parameters": parameters}).table

    def described(self, sql: str, input: RowType = OPEN_ROW, **others: Any) -> pa.Schema:
        connection = self.connection()
        config = clickhouse.QueryConfig(query=sql, resource=connection, **others)
        try:
            return clickhouse.query_row(config, input)
        finally:
            connection.close()

    def insert(self, *tables: pa.Table, table: str = "t", key: str = "run/1", **others: Any) -> None:
        """All tables in one INSERT, committed."""
        connection = self.connection(**others.pop("connection", {}))
        context = StepContext(idempotency_key=key)
        config = clickhouse.InsertConfig(table=table, resource=connection, **others)
        writer = clickhouse.insert(config, context)
        try:
            for rows in tables:
                writer.write(Table.from_arrow(rows), context)
            writer.commit()
        except Exception:
            writer.abort()
            raise
        finally:
            connection.close()

    def execute(self, sql: str) -> str:
        return self.server.execute(sql.replace("$", f"{self.database}."))
