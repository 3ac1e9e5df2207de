"""Databases with the tables of `pushdown_programs`, as programs reach them."""

from __future__ import annotations

import sqlite3
import urllib.request
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import duckdb
import pyarrow as pa

from fhub.sqlite.columns import as_values
from tests.services.clickhouse import ClickHouse
from tests.services.postgresql import Postgresql
from tests.services.service import HOST


class Database(ABC):
    """`head` are the lines of a program that bind the resource `db`, and the module as `sql`."""

    @property
    @abstractmethod
    def head(self) -> str: ...

    @abstractmethod
    def run(self, *statements: str) -> None: ...

    @abstractmethod
    def load(self, name: str, rows: pa.Table) -> None:
        """Make a table with these rows, in place of one of the name."""

    def source(self, call: str) -> str:
        """A call of a step of the module: `table { table: "things" }`."""
        return f"<connection=db> sql.{call}"


class PostgresqlDatabase(Database):
    """With a language's collation, under which texts are neither equal nor sorted by their bytes."""

    _TYPES = (
        "(id bigint NOT NULL PRIMARY KEY, k bigint, small integer, big bigint, f double precision, "
        "g double precision, amount double precision, price numeric(10,2), t text, kind varchar(20), "
        "flag boolean, day date, at timestamptz)"
    )

    def __init__(self, server: Postgresql) -> None:
        self.server = server
        self.name = "pushed"
        locale = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'"
        self._run("postgres", f"DROP DATABASE IF EXISTS {self.name}")
        self._run("postgres", f"CREATE DATABASE {self.name} TEMPLATE template0 ENCODING 'UTF8' {locale}")

    @property
    def head(self) -> str:
        settings = f'host: "{HOST}", port: {self.server.port}, database: "{self.name}"'
        return f'import "fhub/postgresql" sql\nresource db = sql.connection {{ {settings} }}\n'

    def run(self, *statements: str) -> None:
        self._run(self.name, *statements)

    def load(self, name: str, rows: pa.Table) -> None:
        from adbc_driver_postgresql import dbapi

        self.run(f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} {self._TYPES}")
        self.run(f"CREATE INDEX ON {name} (t)")
        uri = self.server.uri(self.name)
        with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(name, rows, mode="append")

    def fetch(self, *statements: str) -> str:
        """The lines that the last statement gives."""
        from adbc_driver_postgresql import dbapi

        uri = self.server.uri(self.name)
        with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
            for statement in statements:
                cursor.execute(statement)
            return "\n".join(str(row[0]) for row in cursor.fetchall())

    def _run(self, database: str, *statements: str) -> None:
        from adbc_driver_postgresql import dbapi

        uri = self.server.uri(database)
        with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


class ClickHouseDatabase(Database):
    _TYPES = (
        "(id Int64, k Nullable(Int8), small Nullable(Int32), big Nullable(Int64), f Nullable(Float64), "
        "g Nullable(Float64), amount Nullable(Float64), price Nullable(Decimal(10, 2)), t Nullable(String), "
        "kind LowCardinality(Nullable(String)), flag Nullable(Bool), day Nullable(Date32), "
        "at Nullable(DateTime64(6, 'UTC'))) ENGINE = MergeTree ORDER BY id"
    )

    def __init__(self, server: ClickHouse) -> None:
        self.server = server
        self.name = server.create_database()

    @property
    def head(self) -> str:
        settings = (
            f'host: "{HOST}", port: {self.server.port}, database: "{self.name}", '
            f'password: env("CLICKHOUSE_PASSWORD")'
        )
        return f'import "fhub/clickhouse" sql\nresource db = sql.connection {{ {settings} }}\n'

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.server.execute(statement)

    def load(self, name: str, rows: pa.Table) -> None:
        table = f"{self.name}.{name}"
        self.run(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} {self._TYPES}")
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        query = urlencode({"query": f"INSERT INTO {table} FORMAT ArrowStream"})
        headers = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": self.server.password}
        body = sink.getvalue().to_pybytes()
        request = urllib.request.Request(f"{self.server.url}/?{query}", body, headers)
        with urllib.request.urlopen(request) as answer:
            answer.read()


class DuckDbDatabase(Database):
    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def head(self) -> str:
        return f'import "fhub/duckdb" sql\nresource db = sql.connection {{ path: "{self.path}" }}\n'

    def run(self, *statements: str) -> None:
        with duckdb.connect(str(self.path)) as connection:
            for statement in statements:
                connection.execute(statement)

    def load(self, name: str, rows: pa.Table) -> None:
        with duckdb.connect(str(self.path)) as connection:
            connection.register("rows", rows)
            connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM rows")


class SqliteDatabase(Database):
    _TYPES = (
        "(id BIGINT, k INT, small INT, big BIGINT, f REAL, g REAL, amount DOUBLE, price DECIMAL(10, 2), "
        "t TEXT, kind VARCHAR(20) COLLATE NOCASE, flag BOOLEAN, day DATE, at TIMESTAMP)"
    )

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def head(self) -> str:
        return f'import "fhub/sqlite" sql\nresource db = sql.connection {{ path: "{self.path}" }}\n'

    def run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def load(self, name: str, rows: pa.Table) -> None:
        self.run(f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} {self._TYPES}")
        values = zip(*(as_values(column) for column in rows.columns), strict=True)
        marks = ", ".join("?" for _ in rows.columns)
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", values)
