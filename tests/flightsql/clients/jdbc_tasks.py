"""What tests have the JDBC driver do. Each function runs in the JVM's process, with a connection of its own,
and gives plain values."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from tests.flightsql.clients.jdbc import JdbcError, connected, rows_of

Rows = list[dict[str, str | None]]
Settings = Mapping[str, str]
PATIENCE_S = 60.0


def query(url: str, settings: Settings, text: str, parameters: Sequence[object] = ()) -> Rows:
    """With parameters it is a prepared statement, as tools send it."""
    with connected(url, settings) as connection:
        if not parameters:
            with closing(connection.createStatement()) as statement:
                return rows_of(statement.executeQuery(text))
        with closing(connection.prepareStatement(text)) as statement:
            for place, value in enumerate(parameters, 1):
                _bind(statement, place, value)
            return rows_of(statement.executeQuery())


def columns(url: str, settings: Settings, text: str) -> list[tuple[str, str, int]]:
    """Of an answer: name, type in SQL, and its number in java.sql.Types."""
    with connected(url, settings) as connection, closing(connection.prepareStatement(text)) as statement:
        described = statement.getMetaData()
        return [
            (
                described.getColumnLabel(place),
                described.getColumnTypeName(place),
                int(described.getColumnType(place)),
            )
            for place in range(1, described.getColumnCount() + 1)
        ]


def metadata(url: str, settings: Settings, schema: str, table: str) -> dict[str, Rows]:
    """What DBeaver and Tableau list when they open a connection and a table."""
    with connected(url, settings) as connection:
        asked = connection.getMetaData()
        found = {
            "catalogs": asked.getCatalogs(),
            "schemas": asked.getSchemas(),
            "table_types": asked.getTableTypes(),
            "tables": asked.getTables(None, schema, "%", None),
            "views": asked.getTables(None, schema, "%", ["VIEW"]),
            "columns": asked.getColumns(None, schema, table, "%"),
            "primary_keys": asked.getPrimaryKeys(None, schema, table),
            "imported_keys": asked.getImportedKeys(None, schema, table),
            "exported_keys": asked.getExportedKeys(None, schema, table),
            "cross_reference": asked.getCrossReference(None, schema, table, None, schema, table),
        }
        return {name: rows_of(result) for name, result in found.items()}


def keys(url: str, settings: Settings, schema: str, parent: str, child: str) -> dict[str, Rows]:
    """Keys of two tables, from either side."""
    with connected(url, settings) as connection:
        asked = connection.getMetaData()
        found = {
            "primary": asked.getPrimaryKeys(None, schema, parent),
            "imported": asked.getImportedKeys(None, schema, child),
            "exported": asked.getExportedKeys(None, schema, parent),
            "crossed": asked.getCrossReference(None, schema, parent, None, schema, child),
        }
        return {name: rows_of(result) for name, result in found.items()}


def properties(url: str, settings: Settings) -> dict[str, str]:
    """Every property of the server that takes no argument, by its getter's name; a failure as its message."""
    import jpype

    kinds = {"int", "long", "boolean", "java.lang.String", "java.sql.RowIdLifetime"}
    found = {}
    with connected(url, settings) as connection:
        asked = connection.getMetaData()
        for method in jpype.JClass("java.sql.DatabaseMetaData").class_.getMethods():
            if method.getParameterCount() or method.getReturnType().getName() not in kinds:
                continue
            try:
                found[str(method.getName())] = str(getattr(asked, method.getName())())
            except jpype.JException as error:
                found[str(method.getName())] = f"failed: {error}"
    return found


def update(url: str, settings: Settings, *texts: str) -> list[int]:
    """How many rows each statement changes."""
    with connected(url, settings) as connection, closing(connection.createStatement()) as statement:
        return [int(statement.executeUpdate(text)) for text in texts]


def insert_many(url: str, settings: Settings, text: str, rows: Sequence[Sequence[object]]) -> list[int]:
    with connected(url, settings) as connection, closing(connection.prepareStatement(text)) as statement:
        for row in rows:
            for place, value in enumerate(row, 1):
                _bind(statement, place, value)
            statement.addBatch()
        return [int(count) for count in statement.executeBatch()]


def cancel(url: str, settings: Settings, text: str) -> str:
    """Reads an answer that takes long, cancels it from another thread, and gives what reading says."""
    with connected(url, settings) as connection, closing(connection.createStatement()) as statement:
        said: list[str] = []
        reading = threading.Thread(target=_read, args=(statement, text, said))
        reading.start()
        deadline = time.monotonic() + PATIENCE_S
        while reading.is_alive() and time.monotonic() < deadline:
            statement.cancel()
            reading.join(0.1)
        return said[0] if said else "it went on"


def _read(statement: Any, text: str, said: list[str]) -> None:
    import jpype

    try:
        said.append(f"{len(rows_of(statement.executeQuery(text)))} rows")
    except jpype.JException as error:
        said.append(f"failed: {error}")


def _bind(statement: Any, place: int, value: object) -> None:
    import jpype

    match value:
        case None:
            statement.setNull(place, jpype.JClass("java.sql.Types").VARCHAR)
        case bool():
            statement.setBoolean(place, value)
        case int():
            statement.setLong(place, value)
        case float():
            statement.setDouble(place, value)
        case str():
            statement.setString(place, value)
        case _:
            raise JdbcError(f"no way to bind {value!r}")
