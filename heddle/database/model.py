"""The catalog's words: tables, who looks at them, and the settings under which a statement is read.

A catalog is a namespace, a schema in it a workflow, a table in that an output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final, Literal, TypeAlias

import pyarrow as pa

from heddle.core.record import record

TableKind: TypeAlias = Literal["VIEW", "TABLE", "SYSTEM TABLE"]
"""`VIEW`: computed for each query from the workflow's plan. `TABLE`: kept rows, of a materialized output or
of the scratch schema. The names are those that Flight SQL and JDBC know."""

SYSTEM_SCHEMA: Final = "system"
SCRATCH_SCHEMA: Final = "scratch"
"""Where clients keep tables of their own."""
REMARKS: Final = b"remarks"
"""Metadata of a field: the comment of the column."""


@record(frozen=True, slots=True)
class TableName:
    """A table's full name. Names are compared as written."""

    catalog: str
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.catalog}.{self.schema}.{self.name}"


def primary_key_name(table: TableName) -> str:
    """What the constraint is called; foreign keys have names of their own."""
    return f"{table.name}_pkey"


@record(frozen=True, slots=True)
class ForeignKey:
    """`name` is unique in its schema. `referenced_columns` are the other table's primary key, in an
    order of their own."""

    name: str
    columns: tuple[str, ...]
    referenced: TableName
    referenced_columns: tuple[str, ...]


@record(frozen=True, slots=True)
class TableParameter:
    """What a table takes: `output(since => '2026-01-01')`. One that is not `required` may be left out: it has
    a value, which is not told."""

    name: str
    type: pa.DataType
    required: bool


@record(frozen=True, slots=True)
class TableInfo:
    """`schema` has the columns with their nullability. `parameters` are in the order of a call. Keys are
    declared, and rows are not checked against them. `writable`: rows can be put in."""

    name: TableName
    kind: TableKind
    schema: pa.Schema
    remarks: str | None = None
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    parameters: tuple[TableParameter, ...] = ()
    writable: bool = False


@record(frozen=True, slots=True)
class Viewer:
    """Who asks. `roles` decide what is seen; `admin` sees everything and may end statements of others."""

    name: str
    roles: tuple[str, ...] = ()
    admin: bool = False


LOCAL: Final = Viewer("local", admin=True)
"""The user of this machine, who owns the files."""

SqlLanguage: TypeAlias = Literal["sql", "duckdb"]
"""`sql` is in DataFusion's dialect, `duckdb` in DuckDB's."""
Language: TypeAlias = Literal["sql", "prql", "duckdb"]


@record(frozen=True, slots=True)
class Settings:
    """How a statement is read and run: where names without a schema are looked up (None: the only workflow
    that has such an output), its language, and its limits (None: the server's)."""

    catalog: str | None = None
    schema: str | None = None
    language: Language = "sql"
    timeout_s: float | None = None
    rows_max: int | None = None
    memory_bytes: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


DEFAULT_SETTINGS: Final = Settings()

IngestMode: TypeAlias = Literal["create", "append", "replace", "create_append"]
