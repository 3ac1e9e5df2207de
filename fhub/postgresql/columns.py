"""The columns of a statement: what PostgreSQL has there, how it is asked for, and what Heddle gets.

What the driver has no exact Arrow type for is cast to text by the server. `converted` makes the columns of a
batch from the driver's, and refuses values that would not be the same any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from fhub.postgresql.arrow_types import ARROW_TYPES
from fhub.postgresql.failures import PostgresqlError
from heddle.core.types import type_name

Cast = Literal["", "::text", "::text[]", "::int8"]

NESTED: Final = "@nested"
"""A column that wrapped statements add: whether an array of the row has more than one dimension."""
INEXACT_TEXT: Final = pa.large_string()
"""A string too; but `::text` of the column, which drops the blanks at the end of a `char(n)`, is not what
arrives, so that no query about it is given to the server."""
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name", "char"})
_PLAIN: Final = frozenset(
    {*_TEXTS, "int2", "int4", "int8", "float4", "float8", "bool", "bytea", "date", "time", "timestamp"}
    | {"timestamptz", "json", "jsonb"}
)
"""Types that arrive as they are."""
_DECIMAL_DIGITS_MAX: Final = 76
# What the driver makes of the infinities lies before the first day that PostgreSQL knows, 4713 BC.
_FIRST_DAY: Final = -2_500_000
_FIRST_US: Final = _FIRST_DAY * 86_400_000_000
_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class UserType:
    """A type that the driver does not know by itself. `kind` is the typtype of pg_type, of an array that of
    its elements."""

    name: str
    kind: str
    array: bool


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is what Heddle gets; `note` says in which words that is less than PostgreSQL has, if it is."""

    name: str
    type: pa.DataType
    cast: Cast = ""
    note: str = ""

    @property
    def array(self) -> bool:
        return bool(pa.types.is_list(self.type))


def type_label(field: pa.Field) -> str:
    """PostgreSQL's name of a column's or a parameter's type, as the driver tells it."""
    return str((field.metadata or {}).get(b"POSTGRESQL:type", b"text"), "utf-8")


def unknown_oid(field: pa.Field) -> int | None:
    """The number of a type whose name the driver does not know."""
    found = re.fullmatch(r"un(?:named|known)<oid:(\d+)>", type_label(field))
    return int(found[1]) if found else None


def column_of(field: pa.Field, user_types: Mapping[int, UserType]) -> Column:
    """The column for a field that the driver described."""
    name = field.name
    oid = unknown_oid(field)
    if oid is not None:
        return _of_user_type(name, user_types.get(oid, UserType(f"type {oid}", "", False)))
    label = type_label(field)
    if label == "numeric":
        return _numeric(name, field)
    if label == "oid":
        return Column(name, pa.int64(), "::int8")
    if label in _PLAIN:
        return Column(name, _type(label))
    if label == "uuid":
        return Column(name, pa.string(), "::text")
    if label.startswith("_"):
        element = label[1:]
        if element in _PLAIN:
            return Column(name, pa.list_(_type(element)))
        if element == "uuid":
            return Column(name, pa.list_(pa.string()), "::text[]")
        return Column(name, pa.list_(pa.string()), "::text[]", f"an array of {element}")
    return Column(name, pa.string(), "::text", f"of type {label}")


def _of_user_type(name: str, found: UserType) -> Column:
    note = "" if found.kind == "e" else f"of type {found.name}"
    if found.array:
        return Column(name, pa.list_(pa.string()), "::text[]", note)
    return Column(name, pa.string(), "::text", note)


def _numeric(name: str, field: pa.Field) -> Column:
    modifier = int((field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1"))
    if modifier >= 4:
        precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
        if 0 <= scale <= precision <= _DECIMAL_DIGITS_MAX:
            decimal = pa.decimal128 if precision <= 38 else pa.decimal256
            return Column(name, decimal(precision, scale))
    return Column(name, pa.string(), "::text", "of type numeric without precision and scale")


def _type(label: str) -> pa.DataType:
    return {**ARROW_TYPES, "bpchar": INEXACT_TEXT}.get(label, pa.string())


def converted(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """A batch of these columns in this order, with more behind them or not, as Heddle gets it. Raises
    `PostgresqlError` for values that Arrow cannot hold."""
    nested = batch.schema.get_field_index(NESTED)
    if nested >= 0 and pc.any(batch.column(nested)).as_py():
        names = ", ".join(f"`{column.name}`" for column in columns if column.array)
        raise PostgresqlError(
            f"the column {names} holds an array of several dimensions, which Heddle has no type for; "
            "write `to_jsonb(…)` or `…::text` in the statement"
        )
    arrays = [_converted(batch.column(at), column) for at, column in enumerate(columns)]
    return pa.record_batch(arrays, [column.name for column in columns])


def _converted(array: pa.Array, column: Column) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    elif pa.types.is_list(array.type) and isinstance(array.type.value_type, pa.BaseExtensionType):
        values = array.values.storage
        array = pa.ListArray.from_arrays(array.offsets, values, mask=array.is_null())
    _check_range(array, column)
    if array.type.equals(column.type):
        return array
    try:
        return pc.cast(array, column.type)
    except pa.ArrowInvalid as error:
        raise PostgresqlError(
            f"the column `{column.name}` holds a value that is no {type_name(column.type)}, such as NaN; "
            f"leave it out (NULLIF), or write `{column.name}::text` in the statement"
        ) from error


def _check_range(array: pa.Array, column: Column) -> None:
    """PostgreSQL's infinite days, and 24:00, are none that Arrow has."""
    t = pa.types
    if t.is_timestamp(array.type):
        words, outside = "infinity", pc.min(array.view(pa.int64())).as_py() or 0
        refused = outside < _FIRST_US
    elif t.is_date32(array.type):
        words, outside = "infinity", pc.min(array.view(pa.int32())).as_py() or 0
        refused = outside < _FIRST_DAY
    elif t.is_time64(array.type):
        words, outside = "24:00:00", pc.max(array.view(pa.int64())).as_py() or 0
        refused = outside >= _DAY_US
    elif t.is_list(array.type):
        _check_range(array.values, column)
        return
    else:
        return
    if refused:
        raise PostgresqlError(
            f"the column `{column.name}` holds '{words}', which is no {type_name(column.type)}; write "
            f"NULLIF({column.name}, '{words}') or `{column.name}::text` in the statement"
        )


def as_declared(batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    """The columns that the program relies on, with its types. Raises `PostgresqlError`."""
    missing = [name for name in wanted.names if name not in batch.schema.names]
    if missing:
        raise PostgresqlError(
            f"there is no column `{missing[0]}`; the columns are {', '.join(batch.schema.names)}; if they "
            "have changed, run `heddle check --refresh`"
        )
    arrays = []
    for field in wanted:
        array = batch.column(field.name)
        if not array.type.equals(field.type):
            try:
                array = pc.cast(array, field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise PostgresqlError(
                    f"the column `{field.name}` is {type_name(array.type)} with values that are no "
                    f"{type_name(field.type)}; if its type has changed, run `heddle check --refresh`"
                ) from error
        if array.null_count and not field.nullable:
            raise PostgresqlError(
                f"the column `{field.name}` holds a null, but is declared as {type_name(field.type)}; "
                f'write "{type_name(field.type)}?"'
            )
        arrays.append(array)
    return pa.record_batch(arrays, schema=wanted)
