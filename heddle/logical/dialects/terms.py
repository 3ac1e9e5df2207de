"""Pieces of a statement for a database: expressions with the type that they have in the program, and
relations that a FROM can name."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Final, TypeAlias

import pyarrow as pa

from heddle.core.record import record

LiteralValue: TypeAlias = bool | int | float | Decimal | str | date | datetime


class Refused(Exception):
    """The message says what stays here, and why, for people."""


@record(frozen=True, slots=True)
class Term:
    """An expression. `type` is its type in the program, None that of NULL.

    `native`: a column as the database stores it, whose type there may only be like `type` (a `varchar` for a
    string). `exact`: its type there is the one that stands for `type`, so that a result needs no cast.
    `value`: of a literal. Whole numbers lie between `low` and `high`.
    """

    text: str
    type: pa.DataType | None
    native: bool = False
    exact: bool = False
    value: LiteralValue | None = None
    low: int = 0
    high: int = 0

    @property
    def is_literal(self) -> bool:
        return self.value is not None


@record(frozen=True, slots=True)
class RelationColumn:
    """`native` as for a term."""

    name: str
    type: pa.DataType | None
    native: bool


@record(frozen=True, slots=True)
class Relation:
    """What stands in a FROM before its alias: a table's name, or a query in parentheses. `ordered`: its rows
    come in an order that the program asked for."""

    text: str
    columns: tuple[RelationColumn, ...]
    ordered: bool = False


_WIDTHS: Final = {
    pa.int8(): (-(2**7), 2**7 - 1),
    pa.int16(): (-(2**15), 2**15 - 1),
    pa.int32(): (-(2**31), 2**31 - 1),
    pa.int64(): (-(2**63), 2**63 - 1),
    pa.uint8(): (0, 2**8 - 1),
    pa.uint16(): (0, 2**16 - 1),
    pa.uint32(): (0, 2**32 - 1),
}


def bounds_of(type_: pa.DataType | None) -> tuple[int, int]:
    """The smallest and the largest whole number of a type; zeros for other types."""
    return _WIDTHS.get(type_, (0, 0))


def column_term(text: str, type_: pa.DataType | None, *, native: bool) -> Term:
    low, high = bounds_of(type_)
    return Term(text, type_, native, exact=True, low=low, high=high)


def computed(text: str, type_: pa.DataType | None, *, exact: bool = False) -> Term:
    low, high = bounds_of(type_)
    return Term(text, type_, exact=exact, low=low, high=high)


def is_text(type_: pa.DataType | None) -> bool:
    return type_ is not None and bool(
        pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
    )


def is_int(type_: pa.DataType | None) -> bool:
    return type_ in _WIDTHS


def is_float(type_: pa.DataType | None) -> bool:
    return type_ is not None and bool(pa.types.is_float64(type_))


def is_decimal(type_: pa.DataType | None) -> bool:
    return type_ is not None and bool(pa.types.is_decimal128(type_))


def is_number(type_: pa.DataType | None) -> bool:
    return is_int(type_) or is_float(type_) or is_decimal(type_)


def is_bool(type_: pa.DataType | None) -> bool:
    return type_ is not None and bool(pa.types.is_boolean(type_))


def is_date(type_: pa.DataType | None) -> bool:
    return type_ is not None and bool(pa.types.is_date32(type_))


def is_timestamp(type_: pa.DataType | None) -> bool:
    """A point in time, of any resolution."""
    return type_ is not None and bool(pa.types.is_timestamp(type_)) and type_.tz == "UTC"


def alike(one: pa.DataType | None, other: pa.DataType | None) -> bool:
    """Whether the types are one for a program: strings may be laid out in several ways."""
    return one == other or (is_text(one) and is_text(other))
