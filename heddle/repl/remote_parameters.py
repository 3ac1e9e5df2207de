"""What tables of an endpoint take from statements, which is in its table `system.table_parameters`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from heddle.core.types import TypeSyntaxError, parse_type
from heddle.database.model import SYSTEM_SCHEMA, TableInfo, TableName, TableParameter

TABLE: Final = "table_parameters"
PARAMETERS: Final = (
    'SELECT catalog, "schema", "table", parameter, type, required '
    f'FROM {SYSTEM_SCHEMA}.{TABLE} ORDER BY catalog, "schema", "table", position'
)


def tells_parameters(tables: Iterable[TableInfo]) -> bool:
    return any((info.name.schema, info.name.name) == (SYSTEM_SCHEMA, TABLE) for info in tables)


def with_parameters(tables: Iterable[TableInfo], rows: Sequence[Mapping[str, Any]]) -> tuple[TableInfo, ...]:
    """`rows` are what `PARAMETERS` gives."""
    found: dict[TableName, list[TableParameter]] = {}
    for row in rows:
        name = TableName(row["catalog"], row["schema"], row["table"])
        parameter = TableParameter(row["parameter"], _type(row["type"]), required=row["required"])
        found.setdefault(name, []).append(parameter)
    return tuple(replace(info, parameters=tuple(found.get(info.name, ()))) for info in tables)


def _type(text: str) -> pa.DataType:
    """One that is not known here is not shown."""
    try:
        return parse_type(text)[0]
    except TypeSyntaxError:
        return pa.null()
