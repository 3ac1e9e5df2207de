"""DuckDB's types, and the Arrow type that each arrives as; DuckDB casts what Arrow has no exact type for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from heddle.core.record import record
from heddle.core.types import TIMESTAMP, parse_type, type_name

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

_SCALARS: Final = {
    **dict.fromkeys(
        ("tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint"),
        pa.int64(),
    ),
    "float": pa.float64(),
    "double": pa.float64(),
    "varchar": pa.string(),
    "blob": pa.binary(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamp_s": pa.timestamp("us"),
    "timestamp_ms": pa.timestamp("us"),
    "timestamp_ns": pa.timestamp("us"),
    "timestamp with time zone": TIMESTAMP,
}
_AS_INT: Final = ("hugeint", "uhugeint")
_AS_TEXT: Final = ("uuid", "enum", "null", "json")


@record(frozen=True, slots=True)
class Found:
    """A column: `cast` is the type that DuckDB is asked for, or "" where it gives what is wanted. `note`
    says what a reader of the column should know."""

    name: str
    arrow: pa.DataType
    cast: str = ""
    note: str = ""
    entries: bool = False

    @property
    def expression(self) -> str:
        quoted = identifier(self.name)
        if self.entries:
            return f"map_entries({quoted}) AS {quoted}"
        return f"CAST({quoted} AS {self.cast}) AS {quoted}" if self.cast else quoted


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def table_name(table: str) -> str:
    """`schema.table` or `catalog.schema.table`, quoted part by part."""
    return ".".join(identifier(part) for part in table.split("."))


def columns_of(
    names: Sequence[str], types: Sequence[DuckDBPyType], schema: Mapping[str, str] | None
) -> tuple[Found, ...]:
    """The columns of a statement. `schema` gives the types that a program declares. Raises `ValueError`."""
    found: list[Found] = []
    for name, type_ in zip(names, types, strict=True):
        if name in (f.name for f in found):
            raise ValueError(f"the statement gives two columns `{name}`; name one of them by AS")
        declared = (schema or {}).get(name)
        found.append(_declared(name, declared) if declared is not None else _found(name, type_))
    return tuple(found)


def _declared(name: str, text: str) -> Found:
    wanted, _ = parse_type(text)
    cast = _CASTS.get(type_name(wanted))
    if pa.types.is_decimal(wanted):
        cast = f"DECIMAL({wanted.precision}, {wanted.scale})"
    return Found(name, wanted, cast or "")


_CASTS: Final = {
    "int": "BIGINT",
    "float": "DOUBLE",
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "binary": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMPTZ",
}


def _found(name: str, type_: DuckDBPyType) -> Found:
    if type_.id == "map":
        (_, key), (_, value) = _children(type_)
        key_arrow, _, key_note = _plain(key)
        value_arrow, _, value_note = _plain(value)
        if not (key_note or value_note) and _exact(key) and _exact(value):
            entry = pa.struct([pa.field("key", key_arrow, False), pa.field("value", value_arrow)])
            return Found(name, pa.list_(entry), entries=True)
        return Found(name, pa.string(), "VARCHAR", f"{type_} arrives as text")
    arrow, text, note = _plain(type_)
    return Found(name, arrow, "" if _exact(type_) else text, note)


def _exact(type_: DuckDBPyType) -> bool:
    """Whether the type, and all types inside it, travel as they are."""
    if type_.id in ("list", "struct"):
        return all(_exact(inner) for _, inner in _children(type_))
    return type_.id == "decimal" or (type_.id in _SCALARS and str(type_).lower() != "json")


def _plain(type_: DuckDBPyType) -> tuple[pa.DataType, str, str]:
    """(Arrow's type, the type to cast to, a note)."""
    id = str(type_).lower() if str(type_).lower() in _AS_TEXT else type_.id
    if id in _SCALARS and id not in _AS_TEXT:
        return _SCALARS[id], str(type_), ""
    if id == "decimal":
        parts = dict(_children(type_))
        return pa.decimal128(parts["precision"], parts["scale"]), str(type_), ""
    if id in _AS_INT:
        return pa.int64(), "BIGINT", ""
    if id in ("list", "array"):
        arrow, text, note = _plain(dict(_children(type_))["child"])
        return pa.list_(arrow), f"{text}[]", note
    if id == "struct":
        inside = [(name, *_plain(inner)) for name, inner in _children(type_)]
        text = ", ".join(f"{identifier(name)} {text}" for name, _, text, _ in inside)
        note = next((note for *_, note in inside if note), "")
        return pa.struct([pa.field(name, arrow) for name, arrow, _, _ in inside]), f"STRUCT({text})", note
    return pa.string(), "VARCHAR", "" if id in _AS_TEXT else f"{type_} arrives as text"


def _children(type_: DuckDBPyType) -> list[tuple[str, Any]]:
    return list(type_.children)
