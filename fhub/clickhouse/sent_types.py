"""Arrow columns as a table's columns have them, before they are sent.

ClickHouse takes any number for a UInt8 and keeps its last byte, and cuts what a Decimal or a DateTime has no
room for. So values are made to fit here, where one that does not is an error.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Final

import pyarrow as pa

from fhub.clickhouse.column_types import Parts, bare, decimal_of, elements_of, parts_of
from heddle.core import kernels as pc
from heddle.core.types import type_name

_NUMBERS: Final = {
    "Int8": pa.int8(),
    "Int16": pa.int16(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "UInt8": pa.uint8(),
    "UInt16": pa.uint16(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "BFloat16": pa.float32(),
}
_DAYS: Final = {
    "Date": (datetime.date(1970, 1, 1), datetime.date(2149, 6, 6)),
    "Date32": (datetime.date(1900, 1, 1), datetime.date(2299, 12, 31)),
}
_SECONDS_MAX: Final = (1 << 32) - 1
_YEARS: Final = (-2_208_988_800, 10_413_791_999)
"""The first and the last second of DateTime64."""
_UNITS: Final = ("s", "ms", "us", "ns")
_t = pa.types


class Unfit(ValueError):
    """Values that a column has no room for."""


def as_column(values: pa.ChunkedArray, type_: str) -> pa.ChunkedArray:
    """The values as they are sent to a column of the type `type_`. Raises `Unfit`."""
    plain, nullable = bare(type_)
    if values.null_count and not nullable:
        raise Unfit(f"{values.null_count} of its values are null, but the table's column is {type_}")
    try:
        return pa.chunked_array(
            [_sent(chunk, plain) for chunk in values.chunks] or [_sent(_empty(values), plain)]
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise Unfit(f"{type_name(values.type)} does not go into {type_}: {error}") from error


def _empty(values: pa.ChunkedArray) -> pa.Array:
    return pa.array([], values.type)


def _sent(values: pa.Array, type_: str) -> pa.Array:
    plain, _ = bare(type_)
    parts = parts_of(plain)
    name = parts.name
    if _t.is_null(values.type):
        return values.cast(pa.string())
    if name in _NUMBERS:
        return _number(values, name)
    if name in _DAYS:
        return _day(values, name)
    if name in _MAKERS:
        return _MAKERS[name](values, parts)
    if name.startswith(("Int", "UInt")) and (_t.is_integer(values.type) or _is_text(values)):
        return values
    if name.startswith(("Int", "UInt")) and _t.is_decimal(values.type) and values.type.scale == 0:
        return values.cast(pa.string())
    if name in ("FixedString", "UUID") or name.startswith(("IPv", "Enum")):
        return _wanted(values, plain, _is_text(values) or _is_bytes(values))
    return _wanted(values, plain, _is_text(values))


def _number(values: pa.Array, name: str) -> pa.Array:
    target = _NUMBERS[name]
    number = _t.is_integer(values.type) or _t.is_floating(values.type) or _t.is_boolean(values.type)
    if _t.is_decimal(values.type) and _t.is_integer(target):
        number = True
    _wanted(values, name, number)
    if _t.is_floating(values.type) and _t.is_integer(target):
        raise Unfit(f"a float does not go into {name}; round it in the query")
    made = values.cast(target)
    if name == "Float32" and _t.is_float64(values.type) and _grew(values, made):
        raise Unfit("a value is larger than a Float32 can be")
    return made


def _grew(values: pa.Array, made: pa.Array) -> bool:
    """Whether a finite number became infinite."""
    return bool(pc.any(pc.and_(pc.is_inf(made), pc.invert(pc.is_inf(values))), min_count=0).as_py())


def _day(values: pa.Array, name: str) -> pa.Array:
    _wanted(values, name, _t.is_date(values.type))
    days = values.cast(pa.date32())
    first, last = _DAYS[name]
    _check_range(
        days, pa.scalar(first, pa.date32()), pa.scalar(last, pa.date32()), f"{name} ({first} to {last})"
    )
    return days


def _second(values: pa.Array, parts: Parts) -> pa.Array:
    seconds = _moments(values, "DateTime", "s")
    low, high = pa.scalar(0), pa.scalar(_SECONDS_MAX)
    _check_range(seconds.cast(pa.int64()), low, high, "DateTime (1970-01-01 to 2106-02-07)")
    return seconds


def _moment(values: pa.Array, parts: Parts) -> pa.Array:
    digits = int(parts.arguments[0])
    unit = _UNITS[(digits + 2) // 3]
    made = _moments(values, f"DateTime64({digits})", unit)
    number = made.cast(pa.int64())
    finest = 10 ** (3 * _UNITS.index(unit) - digits)
    if finest > 1:
        whole = pc.multiply(pc.divide(number, finest), finest)
        if pc.any(pc.not_equal(whole, number), min_count=0).as_py():
            raise Unfit(f"a value has more than the {digits} digits of a second that the column has")
    per_second = 10 ** (3 * _UNITS.index(unit))
    if unit != "ns":
        low, high = pa.scalar(_YEARS[0] * per_second), pa.scalar((_YEARS[1] + 1) * per_second - 1)
        _check_range(number, low, high, "DateTime64 (1900 to 2299)")
    return made


def _moments(values: pa.Array, name: str, unit: str) -> pa.Array:
    _wanted(values, name, _t.is_timestamp(values.type))
    try:
        return values.cast(pa.timestamp(unit, "UTC"))
    except pa.ArrowInvalid as error:
        raise Unfit(f"a value is finer than {name} is; round it in the query") from error


def _decimal(values: pa.Array, parts: Parts) -> pa.Array:
    _wanted(values, "Decimal", _t.is_decimal(values.type) or _t.is_integer(values.type))
    target = decimal_of(parts)
    if _t.is_integer(values.type):
        values = values.cast(pa.decimal256(76, target.scale))
    return values.cast(target)


def _string(values: pa.Array, parts: Parts) -> pa.Array:
    return _wanted(values, "String", _is_text(values) or _is_bytes(values))


def _bool(values: pa.Array, parts: Parts) -> pa.Array:
    return _wanted(values, "Bool", _t.is_boolean(values.type))


def _array(values: pa.Array, parts: Parts) -> pa.Array:
    _wanted(values, "Array", _is_list(values))
    inside = parts.arguments[0]
    _check_inner_nulls(values.flatten(), inside)
    return _rebuilt(values, _sent(values.flatten(), inside), bare(inside)[1])


def _rebuilt(values: pa.Array, items: pa.Array, nullable: bool) -> pa.Array:
    type_ = pa.list_(pa.field("item", items.type, nullable))
    mask = values.is_null() if values.null_count else None
    return pa.ListArray.from_arrays(_offsets(values), items, type=type_, mask=mask)


def _offsets(values: pa.Array) -> pa.Array:
    """Of the lists in their flattened items; a null has none."""
    lengths = pc.fill_null(pc.list_value_length(values), 0).cast(pa.int32())
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])


def _tuple(values: pa.Array, parts: Parts) -> pa.Array:
    _wanted(values, "Tuple", _t.is_struct(values.type))
    elements = elements_of(parts)
    names = [field.name for field in values.type]
    if sorted(names) != sorted(element.name for element in elements):
        wanted = ", ".join(element.name for element in elements)
        raise Unfit(f"a struct with the fields {', '.join(names)} does not go into a Tuple with {wanted}")
    made = []
    for element in elements:
        column = pc.struct_field(values, element.name)
        _check_inner_nulls(column.filter(values.is_valid()), element.type)
        made.append(_sent(column, element.type))
    fields = [pa.field(e.name, c.type, bare(e.type)[1]) for e, c in zip(elements, made, strict=True)]
    mask = values.is_null() if values.null_count else None
    return pa.StructArray.from_arrays(made, fields=fields, mask=mask)


def _map(values: pa.Array, parts: Parts) -> pa.Array:
    """A map, or what one arrives as: a list of keys with their values."""
    key, value = parts.arguments
    if _t.is_map(values.type):
        values = values.take(pa.array(range(len(values))))  # a slice has all keys of the whole
        keys, items, offsets = values.keys, values.items, values.offsets
    else:
        inner = values.flatten() if _is_list(values) else None
        if inner is None or not _t.is_struct(inner.type) or [f.name for f in inner.type] != ["key", "value"]:
            raise Unfit(f"{type_name(values.type)} does not go into a Map; give list<{{key: …, value: …}}>")
        keys, items, offsets = (
            pc.struct_field(inner, "key"),
            pc.struct_field(inner, "value"),
            _offsets(values),
        )
    _check_inner_nulls(keys, key)
    _check_inner_nulls(items, value)
    return pa.MapArray.from_arrays(offsets, _sent(keys, key), _sent(items, value))


def _check_inner_nulls(values: pa.Array, type_: str) -> None:
    if values.null_count and not bare(type_)[1]:
        raise Unfit(f"a value holds a null inside, where the table's column has {type_}")


def _check_range(values: pa.Array, low: pa.Scalar, high: pa.Scalar, shown: str) -> None:
    outside = pc.or_(pc.less(values, low), pc.greater(values, high))
    if pc.any(outside, min_count=0).as_py():
        raise Unfit(f"a value is out of the range of {shown}")


def _wanted(values: pa.Array, name: str, fits: bool) -> pa.Array:
    if not fits:
        raise Unfit(f"{type_name(values.type)} does not go into {name}; cast it in the query")
    return values


def _is_text(values: pa.Array) -> bool:
    type_ = values.type
    if _t.is_dictionary(type_):
        type_ = type_.value_type
    return bool(_t.is_string(type_) or _t.is_large_string(type_))


def _is_bytes(values: pa.Array) -> bool:
    type_ = values.type
    return bool(_t.is_binary(type_) or _t.is_large_binary(type_) or _t.is_fixed_size_binary(type_))


def _is_list(values: pa.Array) -> bool:
    return bool(_t.is_list(values.type) or _t.is_large_list(values.type))


_MAKERS: Final[dict[str, Callable[[pa.Array, Parts], pa.Array]]] = {
    "DateTime": _second,
    "DateTime64": _moment,
    "Decimal": _decimal,
    "String": _string,
    "Bool": _bool,
    "Array": _array,
    "Tuple": _tuple,
    "Map": _map,
}
