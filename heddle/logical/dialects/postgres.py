"""PostgreSQL.

Text is compared by its bytes (`COLLATE "C"`), whatever collation a column or the database has. Floats that
leave their range fail there, so only sums and averages of them are computed there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final

import pyarrow as pa

from heddle.logical.dialects.dialect import DATE_PARTS, OF_TIMES, Dialect
from heddle.logical.dialects.terms import Refused, Term, is_date, is_decimal, is_float, is_text, is_timestamp

NAME_BYTES_MAX: Final = 63
"""Longer names are cut off."""

_TYPES: Final = {
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamptz",
}
_PART: Final = r'"(?:[^"]|"")+"|[A-Za-z_][A-Za-z0-9_$]*'
_BY_BYTES: Final = ' COLLATE "C"'


class Postgres(Dialect):
    name: ClassVar[str] = "postgres"
    said: ClassVar[str] = "PostgreSQL"

    def quoted(self, name: str) -> str:
        if len(name.encode()) > NAME_BYTES_MAX:
            raise Refused(f"{self.said} cuts the name `{name}` off after {NAME_BYTES_MAX} bytes")
        return super().quoted(name)

    def table(self, name: str) -> str:
        """A table as the server reads its name: without quotes in small letters."""
        parts = re.findall(_PART, name)
        if not parts or ".".join(parts) != name:
            raise Refused(f"`{name}` is not a plain name of a table")
        return ".".join(part if part.startswith('"') else self.quoted(part.lower()) for part in parts)

    def text(self, value: str) -> str:
        """A backslash means itself in one notation only, whatever `standard_conforming_strings` says."""
        written = super().text(value)
        return "E" + written.replace("\\", "\\\\") if "\\" in written else written

    def type_of(self, type_: pa.DataType) -> str | None:
        """A large string is a text that the server compares in its own way, such as a `char(n)`."""
        if pa.types.is_string(type_):
            return "text"
        if is_decimal(type_):
            return f"numeric({type_.precision},{type_.scale})"
        return _TYPES.get(type_)

    def normal(self, term: Term) -> Term:
        """Strings may be a `varchar` or a `citext`, decimals may have more digits than they are given
        with, floats fewer bits."""
        assert term.type is not None, "a column has a type"
        if is_text(term.type) or is_decimal(term.type) or is_float(term.type):
            return self.cast(term, term.type)
        return super().normal(term)

    def comparable(self, term: Term) -> str:
        if not is_text(term.type) or term.text.endswith(_BY_BYTES):
            return term.text
        return term.text + _BY_BYTES

    def compared(self, operator: str, left: Term, right: Term) -> str:
        if is_text(left.type):
            return f"({self.comparable(left)} {operator} {right.text})"
        return super().compared(operator, left, right)

    def sought(self, term: Term, values: Sequence[Term]) -> str | None:
        """An index has the column's own collation, under which other texts may be equal too. The CASE keeps
        the planner from counting the condition twice."""
        if not is_text(term.type):
            return None
        written = ", ".join(value.text for value in values)
        test = f"= {written}" if len(values) == 1 else f"IN ({written})"
        exactly = f"CASE WHEN {self.comparable(term)} {test} THEN TRUE ELSE FALSE END"
        return f"({term.text} {test} AND {exactly})"

    def arithmetic(self, operator: str, left: Term, right: Term, type_: pa.DataType) -> str:
        if is_decimal(type_):
            return f"({left.text} {operator} {right.text})"
        return super().arithmetic(operator, left, right, type_)

    def starts_with(self, term: Term, part: Term) -> str:
        return f"STARTS_WITH({self.comparable(term)}, {part.text})"

    def ends_with(self, term: Term, part: Term) -> str:
        return f"(RIGHT({term.text}, CHAR_LENGTH({part.text})) = {self.comparable(part)})"

    def contains(self, term: Term, part: Term) -> str:
        return f"(STRPOS({self.comparable(term)}, {part.text}) > 0)"

    def date_part(self, part: str, term: Term) -> str:
        if part not in DATE_PARTS or (is_date(term.type) and part in OF_TIMES):
            return super().date_part(part, term)
        at = f"{term.text} AT TIME ZONE 'UTC'" if is_timestamp(term.type) else term.text
        found = f"EXTRACT({part.upper()} FROM {at})"
        if part == "year":  # before the year 1 comes -1 there, 0 here
            return f"({found} + CAST({at} < DATE '0001-01-01' AS integer))"
        return found
