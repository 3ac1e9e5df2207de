"""Keys of a table at an endpoint: ADBC's driver tells none, the catalog of the standard does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from heddle.database.model import ForeignKey, TableInfo, TableName

KEYS_OF_TABLE: Final = """\
SELECT c.constraint_name, c.constraint_type, k.column_name,
  o.table_catalog, o.table_schema, o.table_name, o.column_name AS referenced_column
FROM information_schema.table_constraints c
JOIN information_schema.key_column_usage k
  ON k.constraint_catalog = c.constraint_catalog AND k.constraint_schema = c.constraint_schema
  AND k.constraint_name = c.constraint_name
  AND k.table_schema = c.table_schema AND k.table_name = c.table_name
LEFT JOIN information_schema.referential_constraints r
  ON r.constraint_catalog = c.constraint_catalog AND r.constraint_schema = c.constraint_schema
  AND r.constraint_name = c.constraint_name
LEFT JOIN information_schema.key_column_usage o
  ON o.constraint_catalog = r.unique_constraint_catalog AND o.constraint_schema = r.unique_constraint_schema
  AND o.constraint_name = r.unique_constraint_name
  AND o.ordinal_position = k.position_in_unique_constraint
WHERE c.table_catalog = ? AND c.table_schema = ? AND c.table_name = ?
  AND c.constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY')
ORDER BY c.constraint_name, k.ordinal_position"""


def with_keys(info: TableInfo, rows: Iterable[Mapping[str, Any]]) -> TableInfo:
    """The table with the keys that the rows of `KEYS_OF_TABLE` tell."""
    primary: list[str] = []
    foreign: dict[str, ForeignKey] = {}
    for row in rows:
        column, name = row["column_name"], row["constraint_name"]
        if row["constraint_type"] == "PRIMARY KEY":
            primary.append(column)
        elif row["referenced_column"] is not None:
            table = TableName(row["table_catalog"] or "", row["table_schema"] or "", row["table_name"])
            key = foreign.get(name, ForeignKey(name, (), table, ()))
            foreign[name] = ForeignKey(
                name, (*key.columns, column), table, (*key.referenced_columns, row["referenced_column"])
            )
    return replace(info, primary_key=tuple(primary), foreign_keys=tuple(foreign.values()))
