"""What a database's SQL has in common with the program's, and how it is written there.

Each method writes one form so that it gives what the form gives in the program, or raises `Refused`. The base
class writes what is the same in all of them; a database's own class says what differs there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Final

import pyarrow as pa

from heddle.core.types import type_name
from heddle.logical.dialects.terms import (
    LiteralValue,
    Refused,
    Relation,
    Term,
    is_bool,
    is_decimal,
    is_float,
)

DATE_PARTS: Final = ("year", "quarter", "month", "week", "day", "isodow", "doy", "hour", "minute")
OF_TIMES: Final = ("hour", "minute")


class Dialect(ABC):
    """`name` is sqlglot's, `said` is for people. `keeps_order`: a query gives the rows of a sorted one below
    it in their order. `wraps`: whole numbers that get too large start anew at the smallest, as they do in the
    program; else they fail. `ieee`: floats that leave their range become infinite or 0, else they fail.
    `plain_types`: a condition is a bool, a count a number of 64 bits with a sign. `unlimited` is what an
    OFFSET without a LIMIT needs."""

    name: ClassVar[str]
    said: ClassVar[str]
    keeps_order: ClassVar[bool] = True
    folds_case: ClassVar[bool] = False
    wraps: ClassVar[bool] = False
    ieee: ClassVar[bool] = False
    plain_types: ClassVar[bool] = True
    unlimited: ClassVar[str] = ""

    # Names, values and types

    def quoted(self, name: str) -> str:
        if "\0" in name:
            raise Refused("a name has a NUL character")
        return '"' + name.replace('"', '""') + '"'

    def table(self, name: str) -> str:
        """A table as settings name it: `orders`, `sales.orders`."""
        parts = name.split(".")
        if not all(parts) or any(mark in name for mark in "\"`'"):
            raise Refused(f"`{name}` is not a plain name of a table")
        return ".".join(self.quoted(part) for part in parts)

    def text(self, value: str) -> str:
        """A string literal."""
        if "\0" in value:
            raise Refused("a text has a NUL character")
        return "'" + value.replace("'", "''") + "'"

    def literal(self, value: LiteralValue) -> str:
        match value:
            case bool():
                return "TRUE" if value else "FALSE"
            case str():
                return self.text(value)
            case int() | Decimal():
                return f"({value})" if value < 0 else str(value)
            case float():
                return self.float_literal(value)
            case datetime():
                return self.timestamp_literal(value)
            case date():
                return f"DATE '{value.isoformat()}'"

    def float_literal(self, value: float) -> str:
        written = repr(value) if "e" in repr(value) else f"{value!r}e0"
        return f"({written})" if value < 0 else written

    def timestamp_literal(self, value: datetime) -> str:
        """A point in time; the value is in UTC."""
        return f"TIMESTAMPTZ '{value.replace(tzinfo=None).isoformat(' ')}+00'"

    @abstractmethod
    def type_of(self, type_: pa.DataType) -> str | None:
        """The type that a result is cast to; None where none is the same, so that such a column can only be
        passed through."""

    def known(self, term: Term) -> Term:
        """A term that may take part in an expression; a native column becomes what its type says."""
        if term.type is not None and self.type_of(term.type) is None:
            raise Refused(f"{type_name(term.type)} may be another type in {self.said}")
        return self.normal(term) if term.native else term

    def normal(self, term: Term) -> Term:
        """A native column as a value of exactly its type."""
        return Term(term.text, term.type, exact=True, low=term.low, high=term.high)

    def cast(self, term: Term, type_: pa.DataType) -> Term:
        """The term as a value of a type that has all its values."""
        written = self.type_of(type_)
        if written is None:
            raise Refused(f"{type_name(type_)} may be another type in {self.said}")
        return Term(f"CAST({term.text} AS {written})", type_, exact=True, low=term.low, high=term.high)

    def result(self, term: Term) -> Term:
        """The term as a column of a result, which has exactly its type."""
        if term.native or (term.exact and not term.is_literal):
            return term
        assert term.type is not None, "a column has a type"
        return self.cast(term, term.type)

    # Expressions

    def compared(self, operator: str, left: Term, right: Term) -> str:
        """Two terms of one type, or of types whose values compare exactly."""
        return f"({left.text} {operator} {right.text})"

    def sought(self, term: Term, values: Sequence[Term]) -> str | None:
        """That a column has one of some values, as a condition of a WHERE, so that an index can be used; None
        for what `compared` says."""
        return None

    def is_one_of(self, term: Term, values: Sequence[Term]) -> str:
        return f"({self.comparable(term)} IN ({', '.join(v.text for v in values)}))"

    def comparable(self, term: Term) -> str:
        """The term so that sorting, grouping and comparing take it as the program does."""
        return term.text

    def arithmetic(self, operator: str, left: Term, right: Term, type_: pa.DataType) -> str:
        """`+`, `-` or `*` of two terms that were cast to what they must be. Only those of whole numbers that
        stay within `type_`, or wrap around, come here."""
        if is_decimal(type_):
            raise Refused(f"`{operator}` of decimals may have another type in {self.said}")
        if is_float(type_) and not self.ieee:
            raise Refused(f"`{operator}` of floats fails in {self.said} when it leaves their range")
        return f"({left.text} {operator} {right.text})"

    def divided(self, left: Term, right: Term) -> str:
        """`/` of two floats."""
        if not self.ieee:
            raise Refused(f"`/` fails in {self.said} for a zero")
        return f"({left.text} / {right.text})"

    def negated(self, term: Term) -> str:
        return f"(-{term.text})"

    def length(self, term: Term) -> str:
        return f"CHAR_LENGTH({term.text})"

    def starts_with(self, term: Term, part: Term) -> str:
        raise Refused(f"`text.starts_with` is not known to mean the same in {self.said}")

    def ends_with(self, term: Term, part: Term) -> str:
        raise Refused(f"`text.ends_with` is not known to mean the same in {self.said}")

    def contains(self, term: Term, part: Term) -> str:
        raise Refused(f"`text.contains` is not known to mean the same in {self.said}")

    def concatenated(self, terms: Sequence[Term]) -> str:
        """Texts put together, a null as the empty one."""
        return f"CONCAT({', '.join(t.text for t in terms)})"

    def date_part(self, part: str, term: Term) -> str:
        """A whole number; the term is a date or a point in time."""
        raise Refused(f"`date.{part}` is not known to mean the same in {self.said}")

    # Aggregates

    def count_distinct(self, term: Term) -> str:
        return f"COUNT(DISTINCT {self.comparable(term)})"

    def sum(self, term: Term) -> str:
        return f"SUM({term.text})"

    def extreme(self, function: str, term: Term) -> str:
        """`MIN` or `MAX`."""
        if is_bool(term.type):
            raise Refused(f"`{function.lower()}` of a bool is not known in {self.said}")
        return f"{function}({self.comparable(term)})"

    def average(self, term: Term) -> str:
        """Of any numbers, as a float."""
        return f"AVG({term.text if is_float(term.type) else self.cast(term, pa.float64()).text})"

    def every(self, function: str, term: Term) -> str:
        """`BOOL_AND` or `BOOL_OR`."""
        return f"{function}({term.text})"

    # Clauses

    def grouped(self, term: Term) -> Term:
        """What is grouped by: one group for nulls, one for values that the program takes as equal."""
        written = self.comparable(term)
        return Term(written, term.type, exact=term.exact, low=term.low, high=term.high)

    def sorted_by(self, term: Term, *, descends: bool) -> str:
        written = self.comparable(term)
        return f"{written} DESC NULLS FIRST" if descends else f"{written} ASC NULLS LAST"

    def joined(self, kind: str) -> str:
        """`INNER` or `LEFT`."""
        return f"{kind} JOIN"

    def may_join(self, left: Term, right: Term) -> bool:
        """Whether equality in a join means the same."""
        return True

    def optional(self, relation: Relation) -> Relation:
        """A relation of which a left join gives nulls."""
        return relation
