"""Values of columns as texts, and JSON values as columns.

Texts are those of `heddle.core.json_text`: timestamps as `2024-05-01T10:00:00Z`, decimals with all their
digits, binary values as base64, durations as `PT1.5S`. `read_rows` takes the same forms, and nothing that
would lose something: `"12"` is no int, and `12.5` is none either.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from heddle.core.json_text import json_texts
from heddle.core.types import parse_type, type_name

_t = pa.types
_DURATION: Final = r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d{1,6}0*)?)S)?)?"
_FINER: Final = r"\.\d{6}\d*[1-9]"
_INT_MAX: Final = (1 << 63) - 1
SHOWN_CHARS_MAX: Final = 80
PLAIN_DIGITS_MAX: Final = 100
"""A decimal with a larger exponent is written with it."""


class Misfit(ValueError):
    """A JSON value that is not what a column wants; the message says where, what and why."""


def cell_texts(column: pa.ChunkedArray) -> list[str | None]:
    """The values for the midst of a text: strings are themselves, a null is None."""
    array = column.combine_chunks()
    texts = json_texts(array)
    valid = array.is_valid().to_pylist()
    values = zip(texts.to_pylist(), valid, strict=True)
    return [(json.loads(text) if text[0] == '"' else text) if there else None for text, there in values]


def json_text(value: Any) -> str:
    """A value of `load_json` as JSON, with all its digits."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return json.dumps(value, ensure_ascii=False)
        case decimal.Decimal():
            return format(value, "f") if abs(value.adjusted()) <= PLAIN_DIGITS_MAX else str(value)
        case dict():
            return (
                "{" + ", ".join(f"{json_text(key)}: {json_text(item)}" for key, item in value.items()) + "}"
            )
        case list():
            return "[" + ", ".join(map(json_text, value)) + "]"
        case _:
            return str(value)


def load_json(text: str | bytes) -> Any:
    """The value, with all digits of its numbers. Raises `ValueError`."""
    try:
        return json.loads(text, parse_float=decimal.Decimal, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def read_rows(objects: Sequence[Mapping[str, Any]], schema: Mapping[str, str]) -> pa.Table:
    """Rows of JSON objects that `check_row` let pass, as a table of the columns of `schema`."""
    columns = {}
    for name, text in schema.items():
        type_, nullable = parse_type(text)
        values = [_column_value(each.get(name), text, type_, nullable, name) for each in objects]
        columns[name] = pa.array(values, type_)
    return pa.table(columns, schema=schema_of(schema))


def schema_of(schema: Mapping[str, str]) -> pa.Schema:
    parsed = [(name, *parse_type(text)) for name, text in schema.items()]
    return pa.schema([pa.field(name, type_, nullable=nullable) for name, type_, nullable in parsed])


def check_row(value: Any, schema: Mapping[str, str]) -> Mapping[str, Any]:
    """A JSON value as a row: an object with the columns of `schema`, in which what may be null may lack.
    Raises `Misfit` for the first that does not fit."""
    if not isinstance(value, dict):
        raise Misfit(f"{_shown(value)} where an object is wanted")
    for name, text in schema.items():
        type_, nullable = parse_type(text)
        if name not in value and not nullable:
            raise Misfit(f"`{name}` is missing")
        try:
            _column_value(value.get(name), text, type_, nullable, name)
        except RecursionError:
            raise Misfit(f"`{name}` is nested too deeply") from None
    return value


def is_json(text: str) -> bool:
    """Whether a type's text is `json`, whose column is the text of any JSON value."""
    return text.strip().removesuffix("?").strip() == "json"


def _column_value(value: Any, text: str, type_: pa.DataType, nullable: bool, name: str) -> Any:
    if is_json(text) and value is not None:
        return json_text(value)
    return _value(value, type_, nullable, name)


def _value(value: Any, type_: pa.DataType, nullable: bool, where: str) -> Any:
    if value is None:
        if nullable:
            return None
        raise Misfit(f"`{where}` is null where {type_name(type_)} is wanted")
    if _t.is_list(type_):
        if not isinstance(value, list):
            raise _misfit(value, type_, where)
        field = type_.value_field
        return [_value(item, field.type, field.nullable, f"{where}[{n}]") for n, item in enumerate(value)]
    if _t.is_struct(type_):
        if not isinstance(value, dict):
            raise _misfit(value, type_, where)
        return {f.name: _value(value.get(f.name), f.type, f.nullable, f"{where}.{f.name}") for f in type_}
    try:
        return _scalar(value, type_)
    except (ValueError, ArithmeticError):
        raise _misfit(value, type_, where) from None


def _scalar(value: Any, type_: pa.DataType) -> Any:
    """Raises `ValueError` or `ArithmeticError`."""
    number = isinstance(value, int | decimal.Decimal) and not isinstance(value, bool)
    if _t.is_boolean(type_) and isinstance(value, bool):
        return value
    if number and _t.is_integer(type_):
        if not -_INT_MAX - 1 <= value <= _INT_MAX or value != int(value):
            raise ValueError
        return int(value)
    if number and _t.is_floating(type_):
        if not math.isfinite(float(value)):
            raise ValueError
        return float(value)
    if _t.is_decimal(type_) and (number or isinstance(value, str)):
        return _decimal(decimal.Decimal(value), type_)
    if not isinstance(value, str):
        raise ValueError
    return _of_text(value, type_)


def _of_text(text: str, type_: pa.DataType) -> Any:
    if _t.is_string(type_):
        text.encode()  # half a surrogate pair, which JSON can hold, is a UnicodeEncodeError
        return text
    if _t.is_binary(type_):
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError from error
    if _t.is_duration(type_):
        return _duration(text)
    if re.search(_FINER, text):
        raise ValueError
    if _t.is_timestamp(type_):
        moment = datetime.datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    if _t.is_date(type_):
        return datetime.date.fromisoformat(text)
    if _t.is_time(type_):
        return datetime.time.fromisoformat(text)
    raise ValueError


def _decimal(value: decimal.Decimal, type_: pa.DataType) -> decimal.Decimal:
    if not value.is_finite():
        raise ValueError
    exact = decimal.Context(prec=type_.precision, traps=[decimal.Inexact, decimal.InvalidOperation])
    with decimal.localcontext(exact):
        return value.quantize(decimal.Decimal(1).scaleb(-type_.scale))


def _duration(text: str) -> datetime.timedelta:
    found = re.fullmatch(_DURATION, text)
    if found is None or not any(found.groups()[1:]):
        raise ValueError
    days, hours, minutes = (int(found[n] or 0) for n in (2, 3, 4))
    whole, _, part = (found[5] or "0").partition(".")
    micros = int(part.ljust(6, "0")[:6])
    value = datetime.timedelta(days, int(whole), micros, minutes=minutes, hours=hours)
    return -value if found[1] else value


def _misfit(value: Any, type_: pa.DataType, where: str) -> Misfit:
    return Misfit(f"`{where}` is {_shown(value)} where {type_name(type_)} is wanted")


def _shown(value: Any) -> str:
    text = json_text(value).encode(errors="backslashreplace").decode()
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "…"
