"""ClickHouse.

There NaN equals nothing, what has no rows has a sum of 0, and a left join gives the defaults of types: floats
are compared with numbers only, and are neither joined nor grouped by; aggregates and joined columns are made
to give nulls. Settings of a server, a user or a connection change none of what is written here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Final

import pyarrow as pa

from heddle.logical.dialects.dialect import OF_TIMES, Dialect
from heddle.logical.dialects.terms import (
    LiteralValue,
    Refused,
    Relation,
    Term,
    is_bool,
    is_date,
    is_decimal,
    is_float,
    is_int,
    is_text,
    is_timestamp,
)

VALUES_MAX: Final = 100
"""Values of an `in` that is written as comparisons, since `IN` gives no null for one."""

YEARS: Final = (1900, 2299)
"""Dates and times outside of these are cut to them."""

_TYPES: Final = {
    pa.bool_(): "Bool",
    pa.int8(): "Int8",
    pa.int16(): "Int16",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.uint8(): "UInt8",
    pa.uint16(): "UInt16",
    pa.uint32(): "UInt32",
    pa.float64(): "Float64",
    pa.date32(): "Date32",
}
_SCALES: Final = {"s": 0, "ms": 3, "us": 6}
_PARTS: Final = {
    "year": "toYear",
    "quarter": "toQuarter",
    "month": "toMonth",
    "week": "toISOWeek",
    "day": "toDayOfMonth",
    "isodow": "toDayOfWeek",
    "doy": "toDayOfYear",
    "hour": "toHour",
    "minute": "toMinute",
}
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class ClickHouse(Dialect):
    name: ClassVar[str] = "clickhouse"
    said: ClassVar[str] = "ClickHouse"
    keeps_order: ClassVar[bool] = False
    wraps: ClassVar[bool] = True
    plain_types: ClassVar[bool] = False
    ieee: ClassVar[bool] = True

    def quoted(self, name: str) -> str:
        if "\\" in name or '"' in name:
            raise Refused(f"the name `{name}` has a character that is written in another way in {self.said}")
        return super().quoted(name)

    def table(self, name: str) -> str:
        """A table, or a table behind the name of a database."""
        database, dot, table = name.partition(".")
        return f"{self.quoted(database)}.{self.quoted(table)}" if dot else self.quoted(name)

    def text(self, value: str) -> str:
        return super().text(value).replace("\\", "\\\\")

    def literal(self, value: LiteralValue) -> str:
        if isinstance(value, date) and not YEARS[0] <= value.year <= YEARS[1]:
            raise Refused(f"{self.said} has dates of the years {YEARS[0]} to {YEARS[1]}")
        if isinstance(value, date) and not isinstance(value, datetime):
            return f"toDate32('{value.isoformat()}')"
        if isinstance(value, Decimal):
            return f"toDecimal128('{value}', {max(0, -int(value.as_tuple().exponent))})"
        return super().literal(value)

    def timestamp_literal(self, value: datetime) -> str:
        written = value.replace(tzinfo=None).isoformat(" ", "microseconds")
        return f"toDateTime64('{written}', 6, 'UTC')"

    def type_of(self, type_: pa.DataType) -> str | None:
        if is_text(type_):
            return "Nullable(String)"
        if is_decimal(type_):
            return f"Nullable(Decimal({type_.precision}, {type_.scale}))"
        if is_timestamp(type_) and type_.unit in _SCALES:
            return f"Nullable(DateTime64({_SCALES[type_.unit]}, 'UTC'))"
        written = _TYPES.get(type_)
        return f"Nullable({written})" if written else None

    def normal(self, term: Term) -> Term:
        """Strings may be of an enum or an address."""
        assert term.type is not None, "a column has a type"
        return self.cast(term, term.type) if is_text(term.type) else super().normal(term)

    def compared(self, operator: str, left: Term, right: Term) -> str:
        if is_decimal(left.type) or is_decimal(right.type):
            return self._compared_decimals(operator, left, right)
        if not is_float(left.type) and not is_float(right.type):
            return super().compared(operator, left, right)
        if left.is_literal:
            return self.compared(_FLIPPED.get(operator, operator), right, left)
        if not isinstance(right.value, int | float) or not math.isfinite(right.value):
            raise Refused(f"NaN equals itself and is the largest number, which is not so in {self.said}")
        plain = super().compared(operator, left, right)
        return f"({plain} OR isNaN({left.text}))" if operator in {">", ">="} else plain

    def _compared_decimals(self, operator: str, left: Term, right: Term) -> str:
        if left.is_literal:
            return self._compared_decimals(_FLIPPED.get(operator, operator), right, left)
        if not right.is_literal and left.type != right.type:
            raise Refused(f"decimals of several types may be too large to compare in {self.said}")
        return super().compared(operator, left, right)

    def is_one_of(self, term: Term, values: Sequence[Term]) -> str:
        if len(values) > VALUES_MAX:
            raise Refused(f"`in` gives no null in {self.said}")
        return f"({' OR '.join(self.compared('=', term, value) for value in values)})"

    def sought(self, term: Term, values: Sequence[Term]) -> str | None:
        if is_float(term.type) or is_decimal(term.type) or len(values) == 1:
            return None
        return f"({term.text} IN ({', '.join(value.text for value in values)}))"

    def comparable(self, term: Term) -> str:
        if is_float(term.type):
            raise Refused(f"a float is NaN, 0.0 or -0.0 in another way in {self.said}")
        return term.text

    def sorted_by(self, term: Term, *, descends: bool) -> str:
        """NaN stands between the numbers and the nulls, as it does in the program."""
        return f"{term.text} DESC NULLS FIRST" if descends else f"{term.text} ASC NULLS LAST"

    def arithmetic(self, operator: str, left: Term, right: Term, type_: pa.DataType) -> str:
        """Small numbers without a sign give numbers without one, which wrap around at another place."""
        written = super().arithmetic(operator, left, right, type_)
        return f"CAST({written} AS {self.type_of(type_)})" if is_int(type_) else written

    def length(self, term: Term) -> str:
        return f"lengthUTF8({term.text})"

    def starts_with(self, term: Term, part: Term) -> str:
        return f"startsWith({term.text}, {part.text})"

    def ends_with(self, term: Term, part: Term) -> str:
        return f"endsWith({term.text}, {part.text})"

    def contains(self, term: Term, part: Term) -> str:
        return f"(position({term.text}, {part.text}) > 0)"

    def concatenated(self, terms: Sequence[Term]) -> str:
        return f"concat({', '.join(self._or_empty(term) for term in terms)})"

    def _or_empty(self, term: Term) -> str:
        return term.text if term.is_literal and is_text(term.type) else f"ifNull(toString({term.text}), '')"

    def date_part(self, part: str, term: Term) -> str:
        if part not in _PARTS or (is_date(term.type) and part in OF_TIMES):
            return super().date_part(part, term)
        zone = "" if is_date(term.type) else ", 'UTC'"
        if part == "isodow":
            return f"toDayOfWeek({term.text}, 0{zone})"
        return f"{_PARTS[part]}({term.text}{zone})"

    def count_distinct(self, term: Term) -> str:
        return f"uniqExact({self.comparable(term)})"

    def sum(self, term: Term) -> str:
        return f"sumOrNull({term.text})"

    def extreme(self, function: str, term: Term) -> str:
        if is_bool(term.type):
            return super().extreme(function, term)
        return f"{function.lower()}OrNull({self.comparable(term)})"

    def average(self, term: Term) -> str:
        return f"avgOrNull({self.cast(term, pa.float64()).text})"

    def every(self, function: str, term: Term) -> str:
        return f"{'min' if function == 'BOOL_AND' else 'max'}OrNull({term.text})"

    def joined(self, kind: str) -> str:
        return f"ALL {kind} JOIN"

    def may_join(self, left: Term, right: Term) -> bool:
        return left.type == right.type and not is_float(left.type) and not is_decimal(left.type)

    def optional(self, relation: Relation) -> Relation:
        for column in relation.columns:
            if column.type is None or self.type_of(column.type) is None:
                raise Refused(f"`{column.name}` may have no nulls in {self.said}, which the join makes")
        names = [self.quoted(column.name) for column in relation.columns]
        items = ", ".join(f'toNullable("optional".{name}) AS {name}' for name in names)
        return Relation(f'(SELECT {items} FROM {relation.text} AS "optional")', relation.columns)
