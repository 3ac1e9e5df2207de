"""Catalogs, schemas, tables and their kinds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, get_args

import pyarrow as pa

from heddle.database.model import TableInfo, TableKind
from heddle.flightsql.columns import table_columns
from heddle.flightsql.frames import schema_message
from heddle.flightsql.metadata import schemas
from heddle.flightsql.metadata.patterns import exact, like
from heddle.flightsql.wire import flight_sql_pb2 as sql

TABLE_TYPES: Final = tuple(sorted(get_args(TableKind)))


def catalogs(default: str, tables: Iterable[TableInfo]) -> pa.Table:
    names = sorted({default, *(table.name.catalog for table in tables)})
    return pa.table([names], schema=schemas.CATALOGS)


def db_schemas(command: sql.CommandGetDbSchemas, places: Iterable[tuple[str, str]]) -> pa.Table:
    """`places` are all catalogs with their schemas."""
    accepts_catalog = exact(command.catalog if command.HasField("catalog") else None)
    accepts = like(_pattern(command))
    found = sorted(name for name in places if accepts_catalog(name[0]) and accepts(name[1]))
    return pa.table([[c for c, _ in found], [s for _, s in found]], schema=schemas.DB_SCHEMAS)


def table_types() -> pa.Table:
    return pa.table([list(TABLE_TYPES)], schema=schemas.TABLE_TYPES)


def tables(command: sql.CommandGetTables, known: Sequence[TableInfo]) -> pa.Table:
    accepts_catalog = exact(command.catalog if command.HasField("catalog") else None)
    accepts_schema = like(_pattern(command))
    has_name = command.HasField("table_name_filter_pattern")
    accepts_name = like(command.table_name_filter_pattern if has_name else None)
    kinds = frozenset(command.table_types or TABLE_TYPES)
    found = [
        table
        for table in known
        if table.kind in kinds
        and accepts_catalog(table.name.catalog)
        and accepts_schema(table.name.schema)
        and accepts_name(table.name.name)
    ]
    found.sort(key=lambda table: (table.name.catalog, table.name.schema, table.name.name, table.kind))
    columns: list[list[object]] = [
        [table.name.catalog for table in found],
        [table.name.schema for table in found],
        [table.name.name for table in found],
        [table.kind for table in found],
    ]
    if not command.include_schema:
        return pa.table(columns, schema=schemas.TABLES)
    columns.append([schema_message(table_columns(table)) for table in found])
    return pa.table(columns, schema=schemas.TABLES_WITH_SCHEMA)


def _pattern(command: sql.CommandGetDbSchemas | sql.CommandGetTables) -> str | None:
    return command.db_schema_filter_pattern if command.HasField("db_schema_filter_pattern") else None
