"""The columns of JSON messages as their values show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from fhub.cells import load_json

_t = pa.types
AGREE_MIN: Final = 0.9
"""The share of a column's values that must be of one kind; the others are bad records when they are read."""
_KINDS: Final = {bool: "a bool", str: "a text", list: "a list", dict: "an object"}
_NUMBER: Final = "a number"


class Mixed(Exception):
    """Too many values of a column are of another kind; the message says which."""


def objects_in(values: Iterable[bytes | None]) -> list[Mapping[str, Any]]:
    """The messages that are JSON objects."""
    found: list[Mapping[str, Any]] = []
    for value in values:
        try:
            loaded = load_json((value or b"").decode())
        except ValueError:
            continue
        if isinstance(loaded, dict):
            found.append(loaded)
    return found


def types_in(objects: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, pa.DataType | Mixed]:
    """A type for each of the columns, or why it has none. What is null in all objects is left out."""
    found: dict[str, pa.DataType | Mixed] = {}
    for name in names:
        try:
            type_ = _type_of_all([each.get(name) for each in objects])
        except Mixed as mixed:
            found[name] = mixed
            continue
        if not _has_null(type_):
            found[name] = type_
    return found


def names_in(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the objects' columns, in the order in which they come."""
    return list(dict.fromkeys(name for each in objects for name in each))


def _type_of_all(values: Sequence[Any]) -> pa.DataType:
    """Raises `Mixed`."""
    counts = Counter(_kind(value) for value in values if value is not None)
    if not counts:
        return pa.null()
    (kind, count), *_ = counts.most_common(1)
    if count < AGREE_MIN * counts.total():
        raise Mixed(f"sometimes {' and sometimes '.join(kind for kind, _ in counts.most_common(2))}")
    return _type_of_kind(kind, [value for value in values if value is not None and _kind(value) == kind])


def _type_of_kind(kind: str, values: Sequence[Any]) -> pa.DataType:
    match kind:
        case "a bool":
            return pa.bool_()
        case "a text":
            return pa.string()
        case "a list":
            return pa.list_(_type_of_all([item for value in values for item in value]))
        case "an object":
            return pa.struct(
                [(n, _type_of_all([value.get(n) for value in values])) for n in names_in(values)]
            )
        case _:
            whole = all(isinstance(value, int) and -(1 << 63) <= value < 1 << 63 for value in values)
            return pa.int64() if whole else pa.float64()


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), _NUMBER)


def _has_null(type_: pa.DataType) -> bool:
    if _t.is_list(type_):
        return _has_null(type_.value_type)
    if _t.is_struct(type_):
        return type_.num_fields == 0 or any(_has_null(f.type) for f in type_)
    return bool(_t.is_null(type_))
