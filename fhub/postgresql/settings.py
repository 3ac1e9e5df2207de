"""The settings of PostgreSQL's resource and steps, named as libpq and PostgreSQL name them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from heddle.sdk import LookupCacheConfig, RowText, Secret, Statement, StepConfig


class ConnectionConfig(LookupCacheConfig):
    """`host` may be a folder for a Unix socket; the names are libpq's own. Times such as
    `statement_timeout` are written as PostgreSQL takes them: `"30s"`, `"5min"`.

    `pool_size` connections are kept open for the next step; more are opened while more are in use.

    `host` may be `"embedded:FOLDER"`; `setup` is then a file of SQL that runs when the folder is made.
    """

    host: str = "localhost"
    port: int = 5432
    database: str = "postgres"
    user: str = "postgres"
    password: Secret[str] | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    application_name: str = "heddle"
    connect_timeout: int = 10
    statement_timeout: str | None = None
    idle_in_transaction_session_timeout: str | None = None
    pool_size: int = 4
    setup: str | None = None

    @property
    def server(self) -> str:
        """The server in messages."""
        return f"PostgreSQL at {self.host}:{self.port}/{self.database}"

    def conninfo(self) -> str:
        """libpq's connection string, with the password in it."""
        values = {
            "host": self.host,
            "port": str(self.port),
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
            "sslmode": self.sslmode,
            "sslrootcert": self._path(self.sslrootcert),
            "sslcert": self._path(self.sslcert),
            "sslkey": self._path(self.sslkey),
            "application_name": self.application_name,
            "connect_timeout": str(self.connect_timeout),
            "client_encoding": "UTF8",
        }
        return " ".join(f"{name}={_quoted(value)}" for name, value in values.items() if value is not None)

    def _path(self, text: str | None) -> str | None:
        """`system` is libpq's word for the authorities that the system trusts."""
        return text if text is None or text == "system" else str(self.base / Path(text).expanduser())

    def session_settings(self) -> dict[str, str]:
        """What each session sets first, so that texts of dates and intervals are the same everywhere."""
        settings = {"TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "iso_8601"}
        if self.statement_timeout is not None:
            settings["statement_timeout"] = self.statement_timeout
        if self.idle_in_transaction_session_timeout is not None:
            settings["idle_in_transaction_session_timeout"] = self.idle_in_transaction_session_timeout
        return settings


class QueryConfig(StepConfig[ConnectionConfig]):
    """`@name` in `query` is a bound parameter: a column of what is piped in or joined, or of the workflow.
    `schema` names the columns and types that the program relies on, instead of asking the server."""

    query: Statement
    schema: RowText | None = None


class TableConfig(StepConfig[ConnectionConfig]):
    """`table` may be qualified: `sales.orders`. With `partitions`, so many connections read a part each, all
    of one snapshot."""

    table: str
    columns: list[str] | None = None
    schema: RowText | None = None
    partitions: int = 1


class InsertConfig(StepConfig[ConnectionConfig]):
    """Writers of one connection that name the same `transaction` commit or fail together."""

    table: str
    transaction: str | None = None


class UpsertConfig(StepConfig[ConnectionConfig]):
    """`key`: the columns of the unique constraint that tells a row apart. Of several rows with one key the
    last one stays."""

    table: str
    key: list[str]
    transaction: str | None = None


class ExecuteConfig(StepConfig[ConnectionConfig]):
    """`query` runs once for each row of the input, with the row's columns as `@name`."""

    query: Statement
    transaction: str | None = None


class OutboxConfig(StepConfig[ConnectionConfig]):
    """`key` is the column whose text becomes the event's key; `columns` are those of the payload, all without
    it. `create` makes the table when it is not there."""

    topic: str
    table: str = "outbox"
    key: str | None = None
    columns: list[str] | None = None
    create: bool = False
    transaction: str | None = None


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
