"""Values of parameters as SQL of DataFusion, each with its type. A text is quoted so that nothing ends it."""

from __future__ import annotations

import math
import re
from typing import Final

import pyarrow as pa

from heddle.database.errors import QueryError

_t = pa.types
_INT64_MAX: Final = (1 << 63) - 1
_UNITS: Final = {"s": "Second", "ms": "Millisecond", "us": "Microsecond", "ns": "Nanosecond"}


def literal(value: object) -> str:
    """The SQL of a Python value, or of an Arrow scalar. Raises `QueryError` for what has no SQL."""
    try:
        scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise QueryError("invalid", f"a {type(value).__name__} cannot be the value of a parameter") from error
    return _literal(scalar)


def quoted_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal(scalar: pa.Scalar) -> str:
    type_ = scalar.type
    if isinstance(scalar, pa.DictionaryScalar):
        return _literal(scalar.value)
    if isinstance(scalar, pa.UnionScalar):
        return _literal(scalar.value) if scalar.value is not None else "NULL"
    if isinstance(scalar, pa.ExtensionScalar):
        return _literal(scalar.value) if scalar.value is not None else "NULL"
    if not scalar.is_valid:
        return "NULL" if _t.is_null(type_) else _cast("NULL", type_)
    if _t.is_boolean(type_):
        return "TRUE" if scalar.as_py() else "FALSE"
    if _t.is_integer(type_):
        number = scalar.as_py()
        if number > _INT64_MAX or number < -_INT64_MAX:
            return _cast(quoted_text(str(number)), type_)
        return str(number) if number >= 0 else f"({number})"
    if _t.is_floating(type_):
        return _float(scalar)
    if _t.is_string(type_) or _t.is_large_string(type_) or _t.is_string_view(type_):
        return quoted_text(scalar.as_py())
    if _t.is_binary(type_) or _t.is_large_binary(type_) or _t.is_binary_view(type_):
        return _cast(f"X'{scalar.as_py().hex()}'", pa.binary())
    if _t.is_fixed_size_binary(type_):
        return _cast(f"X'{scalar.as_py().hex()}'", type_)
    if _t.is_decimal(type_):
        return _cast(quoted_text(format(scalar.as_py(), "f")), type_)
    if _t.is_date(type_):
        return _cast(quoted_text(scalar.as_py().isoformat()), type_)
    if _t.is_timestamp(type_) or _t.is_time(type_) or _t.is_duration(type_):
        return _cast(str(scalar.cast(pa.int64() if type_.bit_width == 64 else pa.int32()).as_py()), type_)
    if _t.is_list(type_) or _t.is_large_list(type_) or _t.is_fixed_size_list(type_):
        items = ", ".join(_literal(item) for item in scalar.values)
        return _cast(f"make_array({items})", pa.list_(type_.value_type))
    raise QueryError("unsupported", f"a parameter cannot be of type {type_}")


def _float(scalar: pa.Scalar) -> str:
    number = float(scalar.as_py())
    if math.isfinite(number):
        text = f"{number!r}" if "e" in repr(number) else f"{number!r}e0"
        text = text if number >= 0 and not text.startswith("-") else f"({text})"
        return text if _t.is_float64(scalar.type) else _cast(text, scalar.type)
    name = "NaN" if math.isnan(number) else "inf" if number > 0 else "-inf"
    return _cast(quoted_text(name), scalar.type)


def _cast(sql: str, type_: pa.DataType) -> str:
    return f"arrow_cast({sql}, {quoted_text(arrow_name(type_))})"


def arrow_name(type_: pa.DataType) -> str:
    """The type as `arrow_cast` names it."""
    if _t.is_timestamp(type_):
        zone = f'Some("{type_.tz}")' if type_.tz else "None"
        return f"Timestamp({_UNITS[type_.unit]}, {zone})"
    if _t.is_time(type_):
        return f"Time{type_.bit_width}({_UNITS[type_.unit]})"
    if _t.is_duration(type_):
        return f"Duration({_UNITS[type_.unit]})"
    if _t.is_decimal(type_):
        return f"Decimal{type_.bit_width}({type_.precision}, {type_.scale})"
    if _t.is_fixed_size_binary(type_):
        return f"FixedSizeBinary({type_.byte_width})"
    if _t.is_list(type_):
        return f"List({arrow_name(type_.value_type)})"
    name = _NAMES.get(str(type_))
    if name is None:
        raise QueryError("unsupported", f"a parameter cannot be of type {type_}")
    return name


_NAMES: Final = {
    "bool": "Boolean",
    "int8": "Int8",
    "int16": "Int16",
    "int32": "Int32",
    "int64": "Int64",
    "uint8": "UInt8",
    "uint16": "UInt16",
    "uint32": "UInt32",
    "uint64": "UInt64",
    "halffloat": "Float16",
    "float": "Float32",
    "double": "Float64",
    "string": "Utf8",
    "large_string": "LargeUtf8",
    "string_view": "Utf8",
    "binary": "Binary",
    "large_binary": "LargeBinary",
    "binary_view": "Binary",
    "date32[day]": "Date32",
    "date64[ms]": "Date64",
    "null": "Null",
}

_BY_NAME: Final = {
    name: type_
    for type_ in (
        pa.bool_(),
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.uint8(),
        pa.uint16(),
        pa.uint32(),
        pa.uint64(),
        pa.float16(),
        pa.float32(),
        pa.float64(),
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.large_binary(),
        pa.date32(),
        pa.date64(),
    )
    for name in (_NAMES[str(type_)],)
}
_PARTS: Final = re.compile(
    r"(?P<kind>Timestamp|Time32|Time64|Duration|Decimal128|Decimal256)\((?P<inside>.*)\)"
)


def arrow_type(name: str) -> pa.DataType:
    """The type that `arrow_cast` calls so; `null` for one that it does not know."""
    if name in ("Utf8View", "BinaryView"):
        return pa.string() if name == "Utf8View" else pa.binary()
    found = _PARTS.fullmatch(name)
    if found is None:
        return _BY_NAME.get(name, pa.null())
    unit, _, rest = (part.strip() for part in found["inside"].partition(","))
    units = {long: short for short, long in _UNITS.items()}
    match found["kind"]:
        case "Timestamp" if unit in units:
            zone = re.fullmatch(r'Some\("([^"]+)"\)', rest)
            return pa.timestamp(units[unit], zone[1] if zone else None)
        case "Time32" if unit in units:
            return pa.time32(units[unit])
        case "Time64" if unit in units:
            return pa.time64(units[unit])
        case "Duration" if unit in units:
            return pa.duration(units[unit])
        case "Decimal128":
            return pa.decimal128(int(unit), int(rest))
        case "Decimal256":
            return pa.decimal256(int(unit), int(rest))
    return pa.null()
