"""Avro's types as Arrow's, and Arrow's as Avro's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa

from fhub.cells import json_text
from fhub.kafka.failures import KafkaProblem
from heddle.core.record import record
from heddle.core.types import TIMESTAMP, type_name

_t = pa.types


def _same(value: Any) -> Any:
    return value


@record(frozen=True, slots=True)
class Reading:
    """`value` makes of what fastavro gives what Arrow takes for `type`; a null stays one."""

    type: pa.DataType
    nullable: bool = False
    value: Callable[[Any], Any] = _same


_PLAIN: Final[Mapping[str, pa.DataType]] = {
    "boolean": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
    "fixed": pa.binary(),
    "enum": pa.string(),
}
_LOGICAL: Final[Mapping[str, pa.DataType]] = {
    "date": pa.date32(),
    "time-millis": pa.time64("us"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": TIMESTAMP,
    "timestamp-micros": TIMESTAMP,
    "local-timestamp-millis": pa.timestamp("us"),
    "local-timestamp-micros": pa.timestamp("us"),
}


def reading_of(schema: Any, named: dict[str, Any] | None = None, inside: tuple[str, ...] = ()) -> Reading:
    """Raises `KafkaProblem` for a type that contains itself."""
    named = {} if named is None else named
    if isinstance(schema, list):
        return _union(schema, named, inside)
    if isinstance(schema, str):
        if schema == "null":
            return Reading(pa.null(), True)
        if schema in _PLAIN:
            return Reading(_PLAIN[schema])
        if schema in inside:
            raise KafkaProblem(f"the Avro type `{schema}` contains itself, which no column can")
        return reading_of(named[schema], named, inside)
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return reading_of(kind, named, inside)
    name = schema.get("name", "")
    if name:
        named[name] = schema
    logical = schema.get("logicalType")
    if logical == "decimal":
        return Reading(_decimal(schema["precision"], schema.get("scale", 0)))
    if logical == "uuid":
        return Reading(pa.string(), value=_text)
    if logical in _LOGICAL:
        return Reading(_LOGICAL[logical])
    match kind:
        case "array":
            return _array(reading_of(schema["items"], named, inside))
        case "map":
            return _map(reading_of(schema["values"], named, inside))
        case "record":
            fields = {f["name"]: reading_of(f["type"], named, (*inside, name)) for f in schema["fields"]}
            return _record(fields)
        case _:
            return reading_of(kind, named, inside)


def _union(schemas: list[Any], named: dict[str, Any], inside: tuple[str, ...]) -> Reading:
    others = [reading_of(each, named, inside) for each in schemas if each != "null"]
    nullable = "null" in schemas
    if len(others) == 1:
        return Reading(others[0].type, nullable, _unless_null(others[0].value))
    if not others:
        return Reading(pa.null(), True)
    # A column has one type: what may be this or that is its JSON text.
    return Reading(pa.string(), nullable, _unless_null(json_text))


def _array(items: Reading) -> Reading:
    type_ = pa.list_(pa.field("item", items.type, nullable=items.nullable))
    if items.value is _same:
        return Reading(type_)
    return Reading(type_, value=lambda values: [items.value(value) for value in values])


def _map(values: Reading) -> Reading:
    type_ = pa.map_(pa.string(), pa.field("value", values.type, nullable=values.nullable))
    return Reading(type_, value=lambda items: [(key, values.value(item)) for key, item in items.items()])


def _record(fields: Mapping[str, Reading]) -> Reading:
    type_ = pa.struct([pa.field(name, f.type, nullable=f.nullable) for name, f in fields.items()])
    changed = {name: f.value for name, f in fields.items() if f.value is not _same}
    if not changed:
        return Reading(type_)
    return Reading(
        type_, value=lambda row: {**row, **{name: change(row[name]) for name, change in changed.items()}}
    )


def _unless_null(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    if change is _same:
        return _same
    return lambda value: None if value is None else change(value)


def _text(value: Any) -> str:
    return str(value)


def _decimal(precision: int, scale: int) -> pa.DataType:
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def avro_schema(columns: pa.Schema) -> dict[str, Any]:
    """A record for rows of these columns. Raises `KafkaProblem` for what Avro has no name or type for."""
    return {"type": "record", "name": "Row", "fields": _fields(list(columns), "Row")}


def _fields(fields: list[pa.Field], path: str) -> list[dict[str, Any]]:
    found = []
    for field in fields:
        if not (field.name.isascii() and field.name.isidentifier()):
            raise KafkaProblem(f"`{field.name}` is no name that Avro takes; rename the column")
        type_ = _avro_type(field.type, f"{path}_{field.name}")
        found.append(
            {"name": field.name, "type": ["null", type_], "default": None}
            if field.nullable
            else {"name": field.name, "type": type_}
        )
    return found


def _avro_type(type_: pa.DataType, path: str) -> Any:
    if _t.is_boolean(type_):
        return "boolean"
    if _t.is_integer(type_):
        return "long"
    if _t.is_floating(type_):
        return "double"
    if _t.is_string(type_) or _t.is_large_string(type_) or _t.is_string_view(type_):
        return "string"
    if _t.is_binary(type_) or _t.is_large_binary(type_):
        return "bytes"
    if _t.is_decimal(type_):
        return {"type": "bytes", "logicalType": "decimal", "precision": type_.precision, "scale": type_.scale}
    if _t.is_timestamp(type_):
        local = "local-" if type_.tz is None else ""
        return {"type": "long", "logicalType": f"{local}timestamp-micros"}
    if _t.is_date(type_):
        return {"type": "int", "logicalType": "date"}
    if _t.is_time(type_):
        return {"type": "long", "logicalType": "time-micros"}
    if _t.is_map(type_):
        return {"type": "map", "values": _nullable(type_.item_field, path)}
    if _t.is_list(type_):
        return {"type": "array", "items": _nullable(type_.value_field, path)}
    if _t.is_struct(type_):
        return {"type": "record", "name": path, "fields": _fields(list(type_), path)}
    raise KafkaProblem(f"Avro has no type for {type_name(type_)}")


def _nullable(field: pa.Field, path: str) -> Any:
    type_ = _avro_type(field.type, path)
    return ["null", type_] if field.nullable else type_
