"""The views of the catalog that the standard has, and many tools ask: schemata, tables, columns, keys.

Each viewer finds in them what the viewer sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import pyarrow as pa

from heddle.core.types import type_name
from heddle.database.information_keys import KEY_TABLES, KeyRows
from heddle.database.model import REMARKS, TableInfo, TableName, Viewer
from heddle.database.sources import SystemSource, Table

INFORMATION_SCHEMA: Final = "information_schema"
SeenBy = Callable[[Viewer], Sequence[TableInfo]]


def information_tables(catalog: str, seen_by: SeenBy) -> Iterator[tuple[TableName, Table]]:
    for name, schema, rows in (
        ("schemata", SCHEMATA, _schemata),
        ("tables", TABLES, _tables),
        ("columns", COLUMNS, _columns),
        *((name, schema, partial(_keys, schema, rows)) for name, schema, rows in KEY_TABLES),
    ):
        full = TableName(catalog, INFORMATION_SCHEMA, name)
        info = TableInfo(full, "SYSTEM TABLE", schema)
        yield full, SystemSource(info, lambda viewer, rows=rows: rows(seen_by(viewer)))  # type: ignore[misc]


SCHEMATA: Final = pa.schema([("catalog_name", pa.string()), ("schema_name", pa.string())])
_NAMES: Final = [("table_catalog", pa.string()), ("table_schema", pa.string()), ("table_name", pa.string())]
TABLES: Final = pa.schema(
    [
        *_NAMES,
        ("table_type", pa.string()),
        ("is_insertable_into", pa.string()),
        ("table_comment", pa.string()),
    ]
)
COLUMNS: Final = pa.schema(
    [
        *_NAMES,
        ("column_name", pa.string()),
        ("ordinal_position", pa.int64()),
        ("is_nullable", pa.string()),
        ("data_type", pa.string()),
        ("column_comment", pa.string()),
    ]
)


def _schemata(seen: Sequence[TableInfo]) -> pa.Table:
    names = sorted({(info.name.catalog, info.name.schema) for info in seen})
    return _table(SCHEMATA, names)


def _tables(seen: Sequence[TableInfo]) -> pa.Table:
    kinds = {"TABLE": "BASE TABLE"}
    return _table(
        TABLES,
        [
            (*_name(info), kinds.get(info.kind, info.kind), "YES" if info.writable else "NO", info.remarks)
            for info in seen
        ],
    )


def _columns(seen: Sequence[TableInfo]) -> pa.Table:
    return _table(
        COLUMNS,
        [
            (
                *_name(info),
                field.name,
                position,
                "YES" if field.nullable else "NO",
                type_name(field.type),
                _comment(field),
            )
            for info in seen
            for position, field in enumerate(info.schema, 1)
        ],
    )


def _keys(schema: pa.Schema, rows: KeyRows, seen: Sequence[TableInfo]) -> pa.Table:
    return _table(schema, list(rows(seen)))


def _comment(field: pa.Field) -> str | None:
    found = (field.metadata or {}).get(REMARKS)
    return None if found is None else found.decode()


def _name(info: TableInfo) -> tuple[str, str, str]:
    return info.name.catalog, info.name.schema, info.name.name


def _table(schema: pa.Schema, rows: Sequence[tuple[object, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
