"""Casts of Arrow columns to wanted types, without silent loss.

A column comes in with the type that a file, a query or user code gave it and leaves with the type
that a row type names. *Widening* casts keep every value as it is; *lossless* ones are checked value by
value (pandas has no nullable int, so its floats may be ints again). `CastError` says what does not fit.
"""

from __future__ import annotations

from collections.abc import Container

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.types import is_number, type_name, widens

_t = pa.types


_PLAIN_IDS = frozenset(
    t.id
    for t in (
        *(pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
        *(pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.binary()),
        *(pa.date32(), pa.timestamp("us"), pa.decimal128(1), pa.time64("us"), pa.duration("us")),
    )
)
"""Types that `plain_type` leaves as they are, as most columns' are."""


class CastError(ValueError):
    """`found` and `wanted` are type names, `reason` tells which value does not fit, if that is why."""

    def __init__(self, found: str, wanted: str, reason: str | None = None) -> None:
        super().__init__(f"{found} where {wanted} is wanted" + (f": {reason}" if reason else ""))
        self.found = found
        self.wanted = wanted
        self.reason = reason


def cast_column(column: pa.ChunkedArray, wanted: pa.DataType, *, lossless: bool = False) -> pa.ChunkedArray:
    """The column as `wanted`. Nulls of the column itself are not looked at. Raises `CastError`."""
    if column.type.equals(wanted):
        return column
    column = plain_column(column)
    found = column.type
    if _t.is_null(found):
        return pa.chunked_array([pa.nulls(len(column), wanted)])
    if not (widens(found, wanted) or (lossless and _comparable(found, wanted))):
        raise CastError(type_name(found), type_name(wanted))
    try:
        result = pc.cast(column, wanted)
    except pa.ArrowInvalid as error:
        raise CastError(type_name(found), type_name(wanted), _value_reason(str(error))) from error
    if has_inner_null(result, wanted):
        raise CastError(type_name(found), type_name(wanted), "there is a null inside a value")
    return result


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type without views, which few kernels of Arrow and few libraries understand."""
    if _t.is_string_view(type_):
        return pa.string()
    if _t.is_binary_view(type_):
        return pa.binary()
    if _t.is_list(type_) or _t.is_list_view(type_):
        return pa.list_(_plain_field(type_.value_field))
    if _t.is_large_list(type_) or _t.is_large_list_view(type_):
        return pa.large_list(_plain_field(type_.value_field))
    if _t.is_struct(type_):
        return pa.struct([_plain_field(f) for f in type_])
    return type_


def plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([_plain_field(f) for f in schema])


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    wanted = plain_type(column.type)
    if wanted.equals(column.type):
        return column
    return pa.chunked_array([_plain_array(chunk) for chunk in column.chunks], type=wanted)


def plain_table(table: pa.Table, views: Container[str] = ()) -> pa.Table:
    """The table without view types, but in the columns `views`, and without schema metadata; the same buffers
    where nothing changes."""
    schema = table.schema
    if schema.metadata is None and all(f.type.id in _PLAIN_IDS and f.metadata is None for f in schema):
        return table
    if not table.num_columns:
        return table
    kept = [field.name in views for field in schema]
    columns = [c if keep else plain_column(c) for c, keep in zip(table.columns, kept, strict=True)]
    fields = [f.remove_metadata() if keep else _plain_field(f) for f, keep in zip(schema, kept, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def has_inner_null(column: pa.ChunkedArray | pa.Array, wanted: pa.DataType) -> bool:
    """Whether a value inside a list or struct is null where `wanted` allows none."""
    if _t.is_list(wanted) or _t.is_large_list(wanted):
        items = pc.list_flatten(column)
        if not wanted.value_field.nullable and items.null_count:
            return True
        return has_inner_null(items, wanted.value_type)
    if _t.is_struct(wanted):
        inside = column.filter(column.is_valid()) if column.null_count else column
        for i, field in enumerate(wanted):
            if _t.is_nested(field.type) or not field.nullable:
                values = pc.struct_field(inside, [i])
                if (not field.nullable and values.null_count) or has_inner_null(values, field.type):
                    return True
    return False


def _plain_field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, plain_type(field.type), nullable=field.nullable)


def _plain_array(array: pa.Array) -> pa.Array:
    """Arrow's own cast from list views loses items (pyarrow 26), so these are rebuilt from lengths."""
    type_ = array.type
    if _t.is_list_view(type_) or _t.is_large_list_view(type_):
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        ends = pc.cumulative_sum(lengths)
        offsets = pa.concat_arrays([pa.array([0], lengths.type), ends])
        items = _plain_array(array.flatten())
        kind = pa.ListArray if _t.is_list_view(type_) else pa.LargeListArray
        rebuilt = kind.from_arrays(offsets, items, mask=array.is_null())
        return rebuilt.cast(plain_type(type_))
    wanted = plain_type(type_)
    if wanted.equals(type_):
        return array
    if _t.is_struct(type_):
        children = [_plain_array(pc.struct_field(array, [i])) for i in range(type_.num_fields)]
        return pa.StructArray.from_arrays(children, fields=list(wanted), mask=array.is_null())
    if _t.is_list(type_) or _t.is_large_list(type_):
        return _plain_list(array, wanted)
    return pc.cast(array, wanted)


def _plain_list(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    kind = pa.ListArray if _t.is_list(wanted) else pa.LargeListArray
    start, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
    items = _plain_array(array.values.slice(start, end - start))
    offsets = pc.subtract(array.offsets, start)
    return kind.from_arrays(offsets, items, type=wanted, mask=array.is_null())


def _comparable(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of both types are of one kind, so that a checked cast means what it says.

    A naive timestamp is read as UTC here: Python's and pandas' timestamps have no zone by default.
    """
    if is_number(found) and is_number(wanted):
        return True
    if _t.is_timestamp(found) and _t.is_timestamp(wanted):
        return found.tz is not None or wanted.tz in (None, "UTC")
    for same in (_t.is_time, _t.is_duration, _t.is_date):
        if same(found) and same(wanted):
            return True
    if _is_list(found) and _is_list(wanted):
        return found.value_type.equals(wanted.value_type) or _fits(found.value_type, wanted.value_type)
    if _t.is_struct(found) and _t.is_struct(wanted):
        names = [f.name for f in found]
        inner = zip(found, wanted, strict=False)
        return names == [f.name for f in wanted] and all(_fits(a.type, b.type) for a, b in inner)
    if _t.is_map(found) and _t.is_map(wanted):
        return _fits(found.key_type, wanted.key_type) and _fits(found.item_type, wanted.item_type)
    return False


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    return widens(found, wanted) or _comparable(found, wanted)


def _is_list(type_: pa.DataType) -> bool:
    return bool(_t.is_list(type_) or _t.is_large_list(type_) or _t.is_fixed_size_list(type_))


def _value_reason(text: str) -> str:
    """Arrow's reason in our words; its texts name the value, which is what helps."""
    if "would lose data" in text:
        return "a value has a finer unit than that"
    if "truncated" in text:
        return "a value has a fraction"
    if "rescal" in text.lower() or "precision" in text:
        return "a value has more digits than that"
    if "nulls" in text:
        return "there is a null inside a value"
    return "a value does not fit"
