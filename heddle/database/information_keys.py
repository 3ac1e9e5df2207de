"""The views of the standard's catalog about keys: constraints, their columns, what foreign keys refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

import pyarrow as pa

from heddle.database.model import TableInfo, TableName, primary_key_name

KeyRows: TypeAlias = Callable[[Iterable[TableInfo]], Iterator[tuple[object, ...]]]

_TEXT: Final = pa.string()
_COUNT: Final = pa.int64()
_CONSTRAINT: Final = [
    ("constraint_catalog", _TEXT),
    ("constraint_schema", _TEXT),
    ("constraint_name", _TEXT),
]
_TABLE: Final = [("table_catalog", _TEXT), ("table_schema", _TEXT), ("table_name", _TEXT)]
TABLE_CONSTRAINTS: Final = pa.schema(
    [
        *_CONSTRAINT,
        *_TABLE,
        ("constraint_type", _TEXT),
        ("is_deferrable", _TEXT),
        ("initially_deferred", _TEXT),
        ("enforced", _TEXT),
    ]
)
KEY_COLUMN_USAGE: Final = pa.schema(
    [
        *_CONSTRAINT,
        *_TABLE,
        ("column_name", _TEXT),
        ("ordinal_position", _COUNT),
        ("position_in_unique_constraint", _COUNT),
    ]
)
REFERENTIAL_CONSTRAINTS: Final = pa.schema(
    [
        *_CONSTRAINT,
        ("unique_constraint_catalog", _TEXT),
        ("unique_constraint_schema", _TEXT),
        ("unique_constraint_name", _TEXT),
        ("match_option", _TEXT),
        ("update_rule", _TEXT),
        ("delete_rule", _TEXT),
    ]
)


def _constraints(seen: Iterable[TableInfo]) -> Iterator[tuple[object, ...]]:
    for info in seen:
        names = [(primary_key_name(info.name), "PRIMARY KEY")] if info.primary_key else []
        for name, kind in [*names, *((key.name, "FOREIGN KEY") for key in info.foreign_keys)]:
            yield (*_named(info.name, name), *_table(info.name), kind, "NO", "NO", "NO")


def _columns(seen: Iterable[TableInfo]) -> Iterator[tuple[object, ...]]:
    tables = {info.name: info for info in seen}
    for info in tables.values():
        whole = (*_named(info.name, primary_key_name(info.name)), *_table(info.name))
        for position, column in enumerate(info.primary_key, 1):
            yield (*whole, column, position, None)
        for key in info.foreign_keys:
            whole = (*_named(info.name, key.name), *_table(info.name))
            known = tables[key.referenced].primary_key
            pairs = zip(key.columns, key.referenced_columns, strict=True)
            for position, (column, referenced) in enumerate(pairs, 1):
                yield (*whole, column, position, known.index(referenced) + 1)


def _references(seen: Iterable[TableInfo]) -> Iterator[tuple[object, ...]]:
    for info in seen:
        for key in info.foreign_keys:
            unique = _named(key.referenced, primary_key_name(key.referenced))
            yield (*_named(info.name, key.name), *unique, "NONE", "NO ACTION", "NO ACTION")


def _named(table: TableName, constraint: str) -> tuple[str, str, str]:
    return table.catalog, table.schema, constraint


def _table(table: TableName) -> tuple[str, str, str]:
    return table.catalog, table.schema, table.name


KEY_TABLES: Final[tuple[tuple[str, pa.Schema, KeyRows], ...]] = (
    ("table_constraints", TABLE_CONSTRAINTS, _constraints),
    ("key_column_usage", KEY_COLUMN_USAGE, _columns),
    ("referential_constraints", REFERENTIAL_CONSTRAINTS, _references),
)
"""The tables of a viewer, whose foreign keys refer to tables among them, become rows."""
