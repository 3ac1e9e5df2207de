"""Columns of Arrow as a table's columns want them: directly, or by way of a text that the server casts.

COPY takes values in the column's own binary form and looks at nothing else, so a column goes in directly only
with exactly the Arrow type for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fhub.postgresql.arrow_types import ARROW_TYPES
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.tables import CatalogTable, TableColumn
from heddle.core.json_text import json_texts
from heddle.core.types import type_name

_t = pa.types
_DIRECT: dict[str, pa.DataType] = {
    **ARROW_TYPES,
    "interval": pa.duration("us"),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "json": pa.string(),
}
_BY_TEXT = (
    "numeric",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "bool",
    "date",
    "time",
    "timestamp",
    "timestamptz",
)
_JSONB_VERSION = b"\x01"


@dataclass(frozen=True, slots=True)
class Fitted:
    """A column ready for COPY. `cast` is the type that the server casts its texts to; empty for a column that
    goes into the table as it is."""

    target: TableColumn
    values: pa.ChunkedArray
    cast: str = ""

    @property
    def staged_type(self) -> str:
        """The type of the column where it waits for its cast."""
        if not self.cast:
            return self.target.type_written
        return "text[]" if _t.is_list(self.values.type) else "text"


def fitted(table: pa.Table, target: CatalogTable) -> list[Fitted]:
    """The columns of a batch for the columns of the same names. Raises `PostgresqlError`, which names the
    column."""
    for name in table.column_names:
        if target.column(name) is None:
            known = ", ".join(column.name for column in target.columns)
            raise PostgresqlError(
                f"the table {target.written} has no column `{name}`; it has {known}; leave the column out "
                "with a `select`"
            )
    for column in target.columns:
        given = column.name in table.column_names
        if column.generated and given:
            raise PostgresqlError(
                f"the column `{column.name}` of {target.written} is made by the server; leave it out"
            )
        if column.required and not given and not column.has_default and not column.generated:
            raise PostgresqlError(
                f"the table {target.written} needs the column `{column.name}`, which is NOT NULL; the input "
                f"has {', '.join(table.column_names)}"
            )
        if column.required and given and table.column(column.name).null_count:
            raise PostgresqlError(
                f"the column `{column.name}` of {target.written} is NOT NULL, but the input has nulls there"
            )
    return [_fitted(table.column(name), _column(target, name)) for name in table.column_names]


def _column(target: CatalogTable, name: str) -> TableColumn:
    column = target.column(name)
    assert column is not None
    return column


def _fitted(values: pa.ChunkedArray, target: TableColumn) -> Fitted:
    values = _plain(values)
    type_, wanted = values.type, target.type
    if _t.is_null(type_):
        return Fitted(target, values.cast(_DIRECT.get(wanted, pa.string())), _cast_of(target))
    if wanted in ("json", "jsonb") and _t.is_nested(type_):
        array = values.combine_chunks()
        values = pa.chunked_array([pc.if_else(array.is_valid(), json_texts(array), None)])
        type_ = values.type
    if wanted == "jsonb" and _t.is_string(type_):
        text = pc.cast(values, pa.binary())
        return Fitted(target, pc.binary_join_element_wise(_JSONB_VERSION, text, b""))
    if wanted == "numeric" and (_t.is_integer(type_) or _t.is_decimal(type_)):
        return Fitted(target, values if _t.is_decimal(type_) else _cast(values, pa.int64(), target))
    if wanted == "numeric" and _t.is_floating(type_):
        return Fitted(target, pc.cast(values, pa.string()), target.written)
    if wanted in _DIRECT and _goes_into(type_, _DIRECT[wanted]):
        return Fitted(target, _cast(values, _DIRECT[wanted], target))
    if target.category == "E" and _t.is_string(type_):
        return Fitted(target, values)
    if target.category == "A" and _t.is_list(type_):
        return _fitted_list(values, target)
    if _t.is_string(type_) and (wanted not in _DIRECT or wanted in _BY_TEXT) and target.category != "A":
        return Fitted(target, values, target.written)
    raise PostgresqlError(
        f"the column `{target.name}` is {type_name(type_)}, which does not go into {target.written}; cast it "
        "before"
    )


def _fitted_list(values: pa.ChunkedArray, target: TableColumn) -> Fitted:
    element = _DIRECT.get(target.type.removeprefix("_"))
    inner = values.type.value_type
    if element is not None and _goes_into(inner, element):
        return Fitted(target, _cast(values, pa.list_(element), target))
    if _t.is_string(inner):
        return Fitted(target, values, target.written)
    if _t.is_integer(inner) or _t.is_decimal(inner) or _t.is_floating(inner):
        return Fitted(target, pc.cast(values, pa.list_(pa.string())), target.written)
    raise PostgresqlError(
        f"the column `{target.name}` is {type_name(values.type)}, which does not go into {target.written}; "
        "cast it before"
    )


def _cast_of(target: TableColumn) -> str:
    return "" if target.type in _DIRECT else target.written


def _goes_into(type_: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast may be made, of which each value is checked."""
    if _t.is_integer(wanted):
        return bool(_t.is_integer(type_))
    if _t.is_floating(wanted):
        return bool(_t.is_floating(type_) or _t.is_integer(type_))
    if _t.is_timestamp(wanted):
        return bool(_t.is_timestamp(type_))
    if _t.is_time(wanted):
        return bool(_t.is_time(type_))
    if _t.is_date(wanted):
        return bool(_t.is_date(type_))
    if _t.is_duration(wanted):
        return bool(_t.is_duration(type_))
    return bool(type_.equals(wanted))


def _cast(values: pa.ChunkedArray, wanted: pa.DataType, target: TableColumn) -> pa.ChunkedArray:
    if values.type.equals(wanted):
        return values
    narrower = _t.is_float32(wanted) and _t.is_float64(values.type)
    try:
        if _t.is_timestamp(wanted) and (values.type.tz is None) != (wanted.tz is None):
            values = pc.cast(values, pa.timestamp(values.type.unit, "UTC" if wanted.tz else None))
        return pc.cast(values, wanted, safe=not narrower)
    except pa.ArrowInvalid as error:
        raise PostgresqlError(
            f"the column `{target.name}` is {type_name(values.type)} with a value that does not go into "
            f"{target.written}"
        ) from error


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without dictionaries, views and large offsets, which the driver would bind as something else."""
    type_ = values.type
    if isinstance(type_, pa.BaseExtensionType):
        values = pa.chunked_array([chunk.storage for chunk in values.chunks], type_.storage_type)
        type_ = values.type
    if _t.is_dictionary(type_):
        values = pc.cast(values, type_.value_type)
        type_ = values.type
    if _t.is_large_string(type_) or _t.is_string_view(type_):
        return pc.cast(values, pa.string())
    if _t.is_large_binary(type_) or _t.is_binary_view(type_) or _t.is_fixed_size_binary(type_):
        return pc.cast(values, pa.binary())
    if _t.is_large_list(type_):
        return pc.cast(values, pa.list_(type_.value_type))
    return values
