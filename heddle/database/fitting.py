"""Rows as a kept table has them: batches from anywhere get the table's columns, types and nullability.

Nothing is lost on the way: a value that its column cannot hold is an error that names the column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.casting import CastError, cast_column, plain_column, plain_type
from heddle.core.types import type_name
from heddle.database.errors import QueryError
from heddle.diagnostics import did_you_mean

_t = pa.types

DIGITS_MAX: Final = 38
INT_SCALE_MAX: Final = 18
"""A number of 64 bits has 20 digits, which with so many behind the point are 38."""


def checked_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with the types that tables keep: values themselves, in place of views, dictionaries and
    runs. Raises `QueryError` for columns that no table can have."""
    if not schema.names:
        raise QueryError("invalid", "a table has at least one column")
    twice = next((name for i, name in enumerate(schema.names) if name in schema.names[:i]), None)
    if twice is not None:
        raise QueryError("invalid", f"two columns are called `{twice}`", help="give one another name")
    return pa.schema([_kept_field(field) for field in schema])


class Fitting:
    """How batches of the columns `given` become rows of a table. `columns` are those of the table that they
    are put into, in order; without it they are found by their names."""

    def __init__(
        self, table: str, given: pa.Schema, wanted: pa.Schema, columns: Sequence[str] | None = None
    ) -> None:
        """Raises `QueryError` when they do not fit."""
        self._table = table
        self.schema = wanted
        names = list(given.names if columns is None else columns)
        if len(names) != len(given.names):
            raise QueryError(
                "invalid",
                f"there are {len(given.names)} values for {len(names)} columns of `{table}`",
                help=f"the columns are {', '.join(names)}",
            )
        for i, name in enumerate(names):
            if name not in wanted.names:
                near = did_you_mean(name, wanted.names)
                raise QueryError(
                    "invalid",
                    f"`{table}` has no column `{name}`",
                    help=f"did you mean `{near}`?" if near else f"it has {', '.join(wanted.names)}",
                )
            if name in names[:i]:
                raise QueryError("invalid", f"the column `{name}` stands twice")
        self._places = [names.index(field.name) if field.name in names else None for field in wanted]
        for field, place in zip(wanted, self._places, strict=True):
            if place is None and not field.nullable:
                raise QueryError("invalid", f"there is no value for `{field.name}`, which is never null")
        in_order = self._places == list(range(len(names)))
        self._takes_equal = in_order and all(field.nullable for field in wanted)

    def fit(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Raises `QueryError`."""
        if self._takes_equal and batch.schema.equals(self.schema, check_metadata=True):
            return batch
        columns = [
            pa.nulls(batch.num_rows, field.type) if place is None else self._fit(batch.column(place), field)
            for field, place in zip(self.schema, self._places, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _fit(self, column: pa.Array, field: pa.Field) -> pa.Array:
        if not field.nullable and column.null_count:
            raise QueryError("invalid", f"the column `{field.name}` of `{self._table}` is never null")
        if column.type.equals(field.type):
            return column
        try:
            return _cast(column, field.type)
        except CastError as error:
            reason = f": {error.reason}" if error.reason else ""
            raise QueryError(
                "invalid",
                f"the column `{field.name}` of `{self._table}` holds {error.wanted}, "
                f"and does not take {error.found}{reason}",
                help="cast the value in the query",
            ) from error


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Raises `CastError`. A text that reads as a value of the type is one."""
    column = _one_chunk(plain_column(pa.chunked_array([_decoded(column)])))
    found = column.type
    text = _t.is_string(found) or _t.is_large_string(found)
    try:
        if text or _t.is_nested(found):
            return pc.cast(column, wanted)
        if _t.is_integer(found) and _t.is_decimal(wanted):
            column = pc.cast(column, pa.decimal128(DIGITS_MAX, min(wanted.scale, INT_SCALE_MAX)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = "a text does not read as one" if text and isinstance(error, pa.ArrowInvalid) else None
        raise CastError(type_name(found), type_name(wanted), reason) from error
    return _one_chunk(cast_column(pa.chunked_array([column]), wanted, lossless=True))


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _decoded(column: pa.Array) -> pa.Array:
    if _t.is_dictionary(column.type):
        return _decoded(column.dictionary_decode())
    if _t.is_run_end_encoded(column.type):
        return _decoded(pc.run_end_decode(column))
    return column


def _kept_field(field: pa.Field) -> pa.Field:
    return field.with_type(_kept_type(field.type))


def _kept_type(type_: pa.DataType) -> pa.DataType:
    if _t.is_dictionary(type_) or _t.is_run_end_encoded(type_):
        return _kept_type(type_.value_type)
    if _t.is_list(type_) or _t.is_list_view(type_):
        return pa.list_(_kept_field(type_.value_field))
    if _t.is_large_list(type_) or _t.is_large_list_view(type_):
        return pa.large_list(_kept_field(type_.value_field))
    if _t.is_fixed_size_list(type_):
        return pa.list_(_kept_field(type_.value_field), type_.list_size)
    if _t.is_struct(type_):
        return pa.struct([_kept_field(type_.field(i)) for i in range(type_.num_fields)])
    if _t.is_map(type_):
        return pa.map_(_kept_field(type_.key_field), _kept_field(type_.item_field), type_.keys_sorted)
    return plain_type(type_)
