"""Columns as a table of a database has them: casts that lose nothing, by their types or value by value.

A database's own casts are kinder: they round, cut, or wrap around. `fitted` refuses what changes a value.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heddle.core.types import type_name

_t = pa.types
_WHOLE: Final = pa.decimal256(76, 0)


class Unfit(ValueError):
    """Values that a column has no room for; the message names types and says what to do."""


def fitted(values: pa.ChunkedArray, wanted: pa.DataType, *, nullable: bool = True) -> pa.ChunkedArray:
    """The values as `wanted`, each unchanged. Raises `Unfit`."""
    if not nullable and values.null_count:
        raise Unfit(f"{values.null_count} of its values are null, and the table's column is NOT NULL")
    found = values.type
    if found.equals(wanted):
        return values
    if not _may_fit(found, wanted):
        raise Unfit(f"{type_name(found)} does not go into {type_name(wanted)}; cast it in the query")
    try:
        if _t.is_integer(found) and _t.is_decimal(wanted):
            values = values.cast(pa.decimal256(76, wanted.scale))
        elif _t.is_decimal(found) and _t.is_integer(wanted):
            values = values.cast(_WHOLE)
        elif _t.is_timestamp(found) and _t.is_timestamp(wanted) and (found.tz is None) != (wanted.tz is None):
            # One without a zone is taken for UTC.
            values = values.cast(pa.timestamp(found.unit, "UTC")).cast(pa.timestamp(found.unit))
            values = values.cast(pa.timestamp(found.unit, wanted.tz)) if wanted.tz is not None else values
        return values.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise Unfit(f"{type_name(found)} does not go into {type_name(wanted)}: {error}") from error


def _may_fit(found: pa.DataType, wanted: pa.DataType) -> bool:
    if _t.is_dictionary(found):
        return _may_fit(found.value_type, wanted)
    if _is_list(found) and _is_list(wanted):
        return _may_fit(found.value_type, wanted.value_type)
    if _t.is_struct(found) and _t.is_struct(wanted):
        names = [field.name for field in wanted]
        return sorted(f.name for f in found) == sorted(names) and all(
            _may_fit(found.field(name).type, wanted.field(name).type) for name in names
        )
    groups = (_kind(found), _kind(wanted))
    return groups[0] == groups[1] or groups in _CROSSING or _t.is_null(found) or found.equals(wanted)


_CROSSING: Final = frozenset({("int", "decimal"), ("decimal", "int"), ("int", "float")})


def _kind(type_: pa.DataType) -> str:
    for name, test in _KINDS.items():
        if test(type_):
            return name
    return str(type_)


def _is_list(type_: pa.DataType) -> bool:
    return bool(_t.is_list(type_) or _t.is_large_list(type_) or _t.is_fixed_size_list(type_))


_KINDS: Final = {
    "int": _t.is_integer,
    "decimal": _t.is_decimal,
    "float": _t.is_floating,
    "text": lambda type_: _t.is_string(type_) or _t.is_large_string(type_) or _t.is_string_view(type_),
    "bytes": lambda type_: _t.is_binary(type_) or _t.is_large_binary(type_) or _t.is_fixed_size_binary(type_),
    "timestamp": _t.is_timestamp,
    "date": _t.is_date,
    "time": _t.is_time,
    "duration": _t.is_duration,
}
