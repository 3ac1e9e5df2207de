"""Values -> what a request binds them with: typed placeholders for single ones, an external table for many.

A value never becomes part of a statement's text: `@id` becomes `{id:Int64}`, and the value travels beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from fhub.clickhouse.clauses import StatementError
from fhub.clickhouse.column_types import declared_wire, identifier
from fhub.clickhouse.lookup import ROW
from heddle.core.config import ConfigValue
from heddle.core.record import record

GUESSES: Final = ("NULL", "1", "''")
"""What stands for a parameter whose value is not known while a statement is described, in this order."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_INT64: Final = range(-(1 << 63), 1 << 63)


@record(frozen=True, slots=True)
class Bound:
    """The parameters of one request: ClickHouse's type of each, and its text in the address. A null has
    neither: it stands in the statement."""

    types: Mapping[str, str]
    texts: Mapping[str, str]

    def placeholder(self, name: str) -> str:
        if name not in self.types:
            raise StatementError(f"`@{name}` has no value")
        if not self.types[name]:
            return "NULL"
        return "{" + f"{name}:{self.types[name]}" + "}"

    @property
    def arguments(self) -> dict[str, str]:
        return {f"param_{name}": text for name, text in self.texts.items()}


def bound(values: Mapping[str, ConfigValue]) -> Bound:
    """Raises `StatementError` for a value that cannot be a parameter."""
    types: dict[str, str] = {}
    texts: dict[str, str] = {}
    for name, value in values.items():
        types[name] = "" if value is None else _type(name, value)
        if value is not None:
            texts[name] = _text(value)
    return Bound(types, texts)


def external(tuples: pa.Table) -> tuple[pa.Table, Mapping[str, str]]:
    """A lookup's tuples with their row numbers, and ClickHouse's type of each parameter."""
    types: dict[str, str] = {}
    for column in tuples.schema:
        wire = declared_wire(column.type)
        if wire is None:
            raise StatementError(f"`@{column.name}` is {column.type}, which cannot be a parameter")
        types[column.name] = wire
    numbers = pa.array(range(tuples.num_rows), pa.int64())
    return tuples.append_column(ROW, numbers), types


def structure(types: Mapping[str, str]) -> str:
    columns = [f"{identifier(name)} {type_}" for name, type_ in types.items()]
    return ", ".join([*columns, f"{ROW} Int64"])


def _type(name: str, value: ConfigValue) -> str:
    match value:
        case bool():
            return "Bool"
        case int():
            return "Int64" if value in _INT64 else "UInt64" if 0 <= value < 1 << 64 else "Int256"
        case float():
            return "Float64"
        case str():
            return "String"
        case list():
            inside = {_type(name, item) for item in value if item is not None} or {"String"}
            if inside == {"Int64", "Float64"}:
                inside = {"Float64"}
            if len(inside) > 1:
                raise StatementError(f"the items of the list `@{name}` have different types")
            (item,) = inside
            return f"Array(Nullable({item}))" if None in value else f"Array({item})"
        case dict() | None:
            raise StatementError(f"`@{name}` is a {type(value).__name__}, which cannot be a parameter")


def _text(value: ConfigValue) -> str:
    """As ClickHouse reads it in an address: escaped as a field of a TSV file."""
    match value:
        case str():
            return value.translate(_ESCAPES)
        case list():
            return "[" + ",".join(_item(item) for item in value) + "]"
        case _:
            return _item(value)


def _item(value: ConfigValue) -> str:
    """As it stands inside an array."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case str():
            return "'" + value.translate(_ESCAPES).replace("'", "\\'") + "'"
        case list():
            return "[" + ",".join(_item(item) for item in value) + "]"
        case _:
            return repr(value)
