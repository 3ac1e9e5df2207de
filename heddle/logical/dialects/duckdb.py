"""DuckDB. What is the same there is what `heddle/logical/portable.py` lets its own engine run."""

from __future__ import annotations

from typing import ClassVar, Final

import pyarrow as pa

from heddle.logical.dialects.dialect import DATE_PARTS, OF_TIMES, Dialect
from heddle.logical.dialects.terms import Term, is_date, is_decimal, is_float, is_text, is_timestamp

_TYPES: Final = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}
_BY_BYTES: Final = " COLLATE C"


class DuckDb(Dialect):
    name: ClassVar[str] = "duckdb"
    said: ClassVar[str] = "DuckDB"
    folds_case: ClassVar[bool] = True
    ieee: ClassVar[bool] = True

    def type_of(self, type_: pa.DataType) -> str | None:
        if is_text(type_):
            return "VARCHAR"
        if is_decimal(type_):
            return f"DECIMAL({type_.precision},{type_.scale})"
        return _TYPES.get(type_)

    def normal(self, term: Term) -> Term:
        """Strings may be of an enum, which is sorted in its own order, or have a collation; floats
        may have fewer bits."""
        assert term.type is not None, "a column has a type"
        if is_text(term.type) or is_float(term.type):
            return self.cast(term, term.type)
        return super().normal(term)

    def comparable(self, term: Term) -> str:
        if not is_text(term.type) or term.is_literal or term.text.endswith(_BY_BYTES):
            return term.text
        return term.text + _BY_BYTES

    def compared(self, operator: str, left: Term, right: Term) -> str:
        return f"({self.comparable(left)} {operator} {self.comparable(right)})"

    def length(self, term: Term) -> str:
        return f"LENGTH({term.text})"

    def starts_with(self, term: Term, part: Term) -> str:
        return f"STARTS_WITH({term.text}, {part.text})"

    def ends_with(self, term: Term, part: Term) -> str:
        return f"ENDS_WITH({term.text}, {part.text})"

    def contains(self, term: Term, part: Term) -> str:
        return f"CONTAINS({term.text}, {part.text})"

    def date_part(self, part: str, term: Term) -> str:
        if part not in DATE_PARTS or (is_date(term.type) and part in OF_TIMES):
            return super().date_part(part, term)
        at = f"{term.text} AT TIME ZONE 'UTC'" if is_timestamp(term.type) else term.text
        return f"DATE_PART('{part}', {at})"

    def average(self, term: Term) -> str:
        """Its average of any number is a float."""
        return f"AVG({term.text})"
