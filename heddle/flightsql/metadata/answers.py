"""One function from a metadata command to its table, and one to its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from google.protobuf.message import Message

from heddle.database.model import SCRATCH_SCHEMA, TableInfo, Viewer
from heddle.flightsql.metadata import keys, schemas, tables
from heddle.flightsql.metadata.sql_info import Offered, sql_info
from heddle.flightsql.metadata.type_info import type_info
from heddle.flightsql.wire import flight_sql_pb2 as sql

if TYPE_CHECKING:
    from heddle.database.database import Database


def schema_of(command: Message) -> pa.Schema:
    """Of one of `commands.METADATA`."""
    match command:
        case sql.CommandGetTables(include_schema=True):
            return schemas.TABLES_WITH_SCHEMA
        case _:
            return _SCHEMAS[type(command)]


def answer(command: Message, database: Database, viewer: Viewer, offered: Offered) -> pa.Table:
    """The table has what the viewer may see."""
    match command:
        case sql.CommandGetSqlInfo():
            return sql_info(command.info, offered)
        case sql.CommandGetXdbcTypeInfo():
            return type_info(command)
        case sql.CommandGetTableTypes():
            return tables.table_types()
        case _:
            return _of_tables(command, database, database.tables(viewer), offered)


def places(database: Database, known: Sequence[TableInfo], offered: Offered) -> frozenset[tuple[str, str]]:
    """Catalogs with their schemas; clients may make tables in the scratch schema."""
    own = () if offered.read_only else ((database.catalog, SCRATCH_SCHEMA),)
    return frozenset({(table.name.catalog, table.name.schema) for table in known} | set(own))


def _of_tables(
    command: Message, database: Database, known: Sequence[TableInfo], offered: Offered
) -> pa.Table:
    match command:
        case sql.CommandGetCatalogs():
            return tables.catalogs(database.catalog, known)
        case sql.CommandGetDbSchemas():
            return tables.db_schemas(command, places(database, known, offered))
        case sql.CommandGetTables():
            return tables.tables(command, known)
        case sql.CommandGetPrimaryKeys():
            return keys.primary_keys(command, known)
        case sql.CommandGetExportedKeys():
            return keys.exported_keys(command, known)
        case sql.CommandGetImportedKeys():
            return keys.imported_keys(command, known)
        case sql.CommandGetCrossReference():
            return keys.cross_reference(command, known)
        case _:
            raise AssertionError(f"{type(command).__name__} is no metadata command")


_SCHEMAS: Final[Mapping[type[Message], pa.Schema]] = {
    sql.CommandGetSqlInfo: schemas.SQL_INFO,
    sql.CommandGetXdbcTypeInfo: schemas.XDBC_TYPE_INFO,
    sql.CommandGetCatalogs: schemas.CATALOGS,
    sql.CommandGetDbSchemas: schemas.DB_SCHEMAS,
    sql.CommandGetTables: schemas.TABLES,
    sql.CommandGetTableTypes: schemas.TABLE_TYPES,
    sql.CommandGetPrimaryKeys: schemas.PRIMARY_KEYS,
    sql.CommandGetExportedKeys: schemas.FOREIGN_KEYS,
    sql.CommandGetImportedKeys: schemas.FOREIGN_KEYS,
    sql.CommandGetCrossReference: schemas.FOREIGN_KEYS,
}
