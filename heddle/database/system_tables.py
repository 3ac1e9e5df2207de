"""The schema `system`: tables about the server itself.

A `SystemTable` is a name, a schema and a function that gives its rows for a viewer. `SystemTables` holds
those of one server; who keeps something worth asking for adds a table.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.model import REMARKS, SYSTEM_SCHEMA, TableInfo, TableName, Viewer


@record(frozen=True, slots=True)
class SystemTable:
    """`rows` gives what the viewer may see, under `schema`. It is called once for each query, from any
    thread. `admin_only`: others may not ask it."""

    name: str
    schema: pa.Schema
    rows: Callable[[Viewer], pa.Table]
    remarks: str | None = None
    admin_only: bool = False


class SystemTables:
    """The system tables of a catalog. Safe for threads."""

    def __init__(self, catalog: str) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._tables: dict[str, SystemTable] = {}
        self._infos: tuple[TableInfo, ...] = ()

    def add(self, *tables: SystemTable) -> None:
        """A table takes the place of one with the same name."""
        with self._lock:
            self._tables = {**self._tables, **{table.name: table for table in tables}}
            self._infos = tuple(self._info(self._tables[name]) for name in sorted(self._tables))

    def infos(self) -> tuple[TableInfo, ...]:
        """By name; the same tuple as long as no table is added."""
        return self._infos

    def _info(self, table: SystemTable) -> TableInfo:
        name = TableName(self._catalog, SYSTEM_SCHEMA, table.name)
        return TableInfo(name, "SYSTEM TABLE", table.schema, table.remarks)

    def rows(self, name: str, viewer: Viewer) -> pa.Table:
        """Raises `QueryError`."""
        table = self._tables.get(name)
        if table is None:
            raise QueryError("not_found", f"there is no table `{SYSTEM_SCHEMA}.{name}`")
        if table.admin_only and not viewer.admin:
            raise QueryError("denied", f"`{SYSTEM_SCHEMA}.{name}` is for admins")
        rows = table.rows(viewer)
        assert rows.schema.equals(table.schema), f"system.{name} gives the columns that it says"
        return rows


def column(name: str, type_: pa.DataType, remarks: str, *, nullable: bool = True) -> pa.Field:
    """A column of a system table, with its comment."""
    return pa.field(name, type_, nullable, {REMARKS: remarks.encode()})


def table_of_rows(schema: pa.Schema, rows: Iterable[Sequence[object]]) -> pa.Table:
    """Rows of a few values each, as tables about a server have them."""
    values = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(list(of), field.type) for of, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
