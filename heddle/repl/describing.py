"""`\\d`, `\\dt`, `\\ds`: what the connection has, as tables that go where answers go."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from heddle.core.types import type_name
from heddle.database.errors import QueryError
from heddle.database.model import REMARKS, TableInfo, TableName
from heddle.diagnostics import did_you_mean
from heddle.repl.names import name_parts

if TYPE_CHECKING:
    from heddle.repl.session import Session


def list_tables(session: Session, pattern: str) -> None:
    """Those of the system only where the pattern asks for them."""
    wanted = pattern.lower()
    found = [
        info
        for info in session.tables(fresh=True)
        if _fits(info.name, wanted) and (wanted or info.kind != "SYSTEM TABLE")
    ]
    session.show_table(
        {
            "schema": [info.name.schema for info in found],
            "table": [info.name.name for info in found],
            "kind": [info.kind.lower() for info in found],
            "remarks": [info.remarks or "" for info in found],
        }
    )


def list_schemas(session: Session) -> None:
    counts: dict[tuple[str, str], int] = {}
    for info in session.tables(fresh=True):
        key = info.name.catalog, info.name.schema
        counts[key] = counts.get(key, 0) + 1
    session.show_table(
        {
            "catalog": [catalog for catalog, _ in counts],
            "schema": [schema for _, schema in counts],
            "tables": list(counts.values()),
        }
    )


def describe(session: Session, text: str) -> None:
    """Raises `QueryError`."""
    info = session.describe(find_table(session, text).name, keys=True)
    session.show_table(
        {
            "column": info.schema.names,
            "type": [type_name(field.type, field.nullable) for field in info.schema],
            "key": [_keys(info, name) for name in info.schema.names],
            "remarks": [(field.metadata or {}).get(REMARKS, b"").decode() for field in info.schema],
        }
    )
    if session.output.shown_format == "table" and session.output.file is None:
        session.console.lines(_about(info))


def find_table(session: Session, text: str) -> TableInfo:
    """By its name, or the last parts of its full name. Raises `QueryError`."""
    parts = name_parts(text)
    tables = session.tables(fresh=True)
    found = [info for info in tables if _ends_with(info.name, parts)]
    if not found:
        found = [i for i in tables if _ends_with(i.name, parts, fold=True)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"`{info.name.schema}.{info.name.name}`" for info in found)
        raise QueryError("not_found", f"`{text}` may be {names}", help="name the schema too")
    near = did_you_mean(parts[-1] if parts else text, [info.name.name for info in tables])
    raise QueryError(
        "not_found",
        f"there is no table `{text}`",
        help=f"did you mean `{near}`?" if near else "`\\dt` lists the tables",
    )


def _keys(info: TableInfo, column: str) -> str:
    """The kinds of keys that the column is in."""
    primary = ["primary"] if column in info.primary_key else []
    foreign = ["foreign"] if any(column in key.columns for key in info.foreign_keys) else []
    return ", ".join(primary + foreign)


def _about(info: TableInfo) -> list[str]:
    lines = [f"{info.kind.lower()} {info.name}" + (": rows can be put in" if info.writable else "")]
    if info.remarks:
        lines.append(info.remarks)
    for parameter in info.parameters:
        given = "must be given" if parameter.required else "may be left out"
        lines.append(f"parameter {parameter.name}: {type_name(parameter.type)}, {given}")
    if len(info.primary_key) > 1:
        lines.append(f"primary key {', '.join(info.primary_key)}")
    for key in info.foreign_keys:
        columns, referenced = ", ".join(key.columns), ", ".join(key.referenced_columns)
        verb = "refers" if len(key.columns) == 1 else "refer"
        lines.append(f"{columns} {verb} to {key.referenced.schema}.{key.referenced.name} ({referenced})")
    return lines


def _ends_with(name: TableName, parts: tuple[str, ...], *, fold: bool = False) -> bool:
    full: tuple[str, ...] = (name.catalog, name.schema, name.name)
    if fold:
        full, parts = tuple(part.lower() for part in full), tuple(part.lower() for part in parts)
    return bool(parts) and full[-len(parts) :] == parts


def _fits(name: TableName, pattern: str) -> bool:
    if not pattern:
        return True
    table, full = name.name.lower(), f"{name.schema}.{name.name}".lower()
    return fnmatchcase(table, pattern) or fnmatchcase(full, pattern)
