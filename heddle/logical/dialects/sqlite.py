"""SQLite.

A column there has no type, a value has one, and dates are texts in a form that nobody knows: only whole
numbers, floats, texts and bools take part. What would be NaN is null, so floats are compared and not computed
with.
"""

from __future__ import annotations

from typing import ClassVar, Final

import pyarrow as pa

from heddle.logical.dialects.dialect import Dialect
from heddle.logical.dialects.terms import Refused, Term, is_float, is_int, is_text

_TYPES: Final = {pa.bool_(): "BOOLEAN", pa.int64(): "INTEGER", pa.float64(): "REAL"}
_BY_BYTES: Final = " COLLATE BINARY"


class Sqlite(Dialect):
    name: ClassVar[str] = "sqlite"
    said: ClassVar[str] = "SQLite"
    folds_case: ClassVar[bool] = True
    plain_types: ClassVar[bool] = False
    unlimited: ClassVar[str] = "LIMIT -1 "

    def type_of(self, type_: pa.DataType) -> str | None:
        return "TEXT" if is_text(type_) else _TYPES.get(type_)

    def normal(self, term: Term) -> Term:
        """A column may hold numbers of another kind, or compare texts as if they were numbers."""
        assert term.type is not None, "a column has a type"
        if is_text(term.type) or is_float(term.type):
            return self.cast(term, term.type)
        return super().normal(term)

    def result(self, term: Term) -> Term:
        """An expression has no type but by its cast."""
        assert term.type is not None, "a column has a type"
        return term if term.native else self.cast(term, term.type)

    def comparable(self, term: Term) -> str:
        if not is_text(term.type) or term.is_literal or term.text.endswith(_BY_BYTES):
            return term.text
        return term.text + _BY_BYTES

    def compared(self, operator: str, left: Term, right: Term) -> str:
        return f"({self.comparable(left)} {operator} {self.comparable(right)})"

    def arithmetic(self, operator: str, left: Term, right: Term, type_: pa.DataType) -> str:
        if is_float(type_):
            raise Refused(f"`{operator}` of floats gives null for NaN in {self.said}")
        return super().arithmetic(operator, left, right, type_)

    def length(self, term: Term) -> str:
        raise Refused(f"`text.length` ends at a NUL character in {self.said}")

    def starts_with(self, term: Term, part: Term) -> str:
        return f"(INSTR({term.text}, {part.text}) = 1)"

    def contains(self, term: Term, part: Term) -> str:
        return f"(INSTR({term.text}, {part.text}) > 0)"

    def concatenated(self, terms: object) -> str:
        raise Refused(f"an f-string is not known in all versions of {self.said}")

    def sum(self, term: Term) -> str:
        if not is_int(term.type):
            raise Refused(f"a sum of floats gives null for NaN in {self.said}")
        return super().sum(term)

    def average(self, term: Term) -> str:
        if not is_int(term.type):
            raise Refused(f"an average of floats gives null for NaN in {self.said}")
        return super().average(term)

    def every(self, function: str, term: Term) -> str:
        raise Refused(f"`all` and `any` are not known in {self.said}")
