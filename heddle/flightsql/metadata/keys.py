"""Primary keys, and foreign keys seen from either of their tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa

from heddle.core.record import record
from heddle.database.model import ForeignKey, TableInfo, TableName, primary_key_name
from heddle.flightsql.metadata import schemas
from heddle.flightsql.metadata.patterns import exact
from heddle.flightsql.wire import flight_sql_pb2 as sql

NO_ACTION: Final = 3
"""The rule of keys that are declared and not enforced."""


@record(frozen=True, slots=True)
class _Table:
    """Which table a command means; None stands for any."""

    catalog: str | None
    schema: str | None
    name: str

    def is_named(self, name: TableName) -> bool:
        return (
            self.name == name.name and exact(self.catalog)(name.catalog) and exact(self.schema)(name.schema)
        )


def primary_keys(command: sql.CommandGetPrimaryKeys, tables: Iterable[TableInfo]) -> pa.Table:
    asked = _asked(command)
    rows = [
        (
            *(table.name.catalog, table.name.schema, table.name.name, column),
            *(primary_key_name(table.name), number),
        )
        for table in tables
        if asked.is_named(table.name)
        for number, column in enumerate(table.primary_key, 1)
    ]
    return _table(rows, schemas.PRIMARY_KEYS, (0, 1, 2, 4, 5))


def imported_keys(command: sql.CommandGetImportedKeys, tables: Iterable[TableInfo]) -> pa.Table:
    """The keys of a table that refer to others."""
    asked = _asked(command)
    return _foreign((own for own in _all_keys(tables) if asked.is_named(own[0].name)), (0, 1, 2, 10, 8))


def exported_keys(command: sql.CommandGetExportedKeys, tables: Iterable[TableInfo]) -> pa.Table:
    """The keys of other tables that refer to a table."""
    asked = _asked(command)
    return _foreign((key for key in _all_keys(tables) if asked.is_named(key[1].referenced)), (4, 5, 6, 9, 8))


def cross_reference(command: sql.CommandGetCrossReference, tables: Iterable[TableInfo]) -> pa.Table:
    referenced = _Table(
        command.pk_catalog if command.HasField("pk_catalog") else None,
        command.pk_db_schema if command.HasField("pk_db_schema") else None,
        command.pk_table,
    )
    referring = _Table(
        command.fk_catalog if command.HasField("fk_catalog") else None,
        command.fk_db_schema if command.HasField("fk_db_schema") else None,
        command.fk_table,
    )
    found = (
        (table, key)
        for table, key in _all_keys(tables)
        if referring.is_named(table.name) and referenced.is_named(key.referenced)
    )
    return _foreign(found, (0, 1, 2, 10, 8))


def _asked(
    command: sql.CommandGetPrimaryKeys | sql.CommandGetImportedKeys | sql.CommandGetExportedKeys,
) -> _Table:
    return _Table(
        command.catalog if command.HasField("catalog") else None,
        command.db_schema if command.HasField("db_schema") else None,
        command.table,
    )


def _all_keys(tables: Iterable[TableInfo]) -> Iterator[tuple[TableInfo, ForeignKey]]:
    return ((table, key) for table in tables for key in table.foreign_keys)


def _foreign(found: Iterable[tuple[TableInfo, ForeignKey]], order: tuple[int, ...]) -> pa.Table:
    rows = [
        (
            *(key.referenced.catalog, key.referenced.schema, key.referenced.name, referenced),
            *(table.name.catalog, table.name.schema, table.name.name, column),
            *(number, key.name, primary_key_name(key.referenced), NO_ACTION, NO_ACTION),
        )
        for table, key in found
        for number, (column, referenced) in enumerate(
            zip(key.columns, key.referenced_columns, strict=True), 1
        )
    ]
    return _table(rows, schemas.FOREIGN_KEYS, order)


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema, order: tuple[int, ...]) -> pa.Table:
    ordered = sorted(rows, key=lambda row: tuple((row[at] is not None, row[at]) for at in order))
    columns = [[row[at] for row in ordered] for at in range(len(schema))]
    return pa.table(columns, schema=schema)
