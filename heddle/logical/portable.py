"""What means the same in DuckDB as in DataFusion: a fragment may run on DuckDB only when all of it does.

`why_not_portable` reads a fragment's SQL word by word. The SQL is the PRQL compiler's, so it has few forms;
a word, a sign or a use of one that is not known here keeps the fragment on DataFusion. Each entry was found
equal by experiment, which `tests/sql_logic` repeats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Final

import pyarrow as pa

from heddle.core.record import record
from heddle.core.types import Column, RowType, type_name

_TOKEN: Final = (
    r"\s+"
    r"|(?P<text>'(?:[^']|'')*')"
    r'|"(?P<name>(?:[^"]|"")*)"'
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign><>|<=|>=|[-+*/%<>=(),.~])"
    r"|(?P<other>.)"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS: Final = _words(
    """
    ALL AND AS ASC BETWEEN BIGINT BOOLEAN BOTH BY CASE CROSS CURRENT DATE DESC DISTINCT DOUBLE ELSE END
    EXCLUDE EXISTS FALSE FOLLOWING FROM FULL GROUP HAVING IN INNER IS JOIN LEFT LIMIT NOT NULL OFFSET ON OR
    ORDER OUTER OVER PARTITION PRECEDING RANGE RECURSIVE RIGHT ROW ROWS SELECT THEN TRUE UNBOUNDED UNION
    VARCHAR WHEN WHERE WITH
    """
)
"""Words that are no functions. Which casts to the types among them are equal, `_cast` says."""

_FUNCTIONS: Final = _words(
    """
    ABS ACOS ASIN ATAN AVG BOOL_AND BOOL_OR CEIL CHARACTER_LENGTH COALESCE CONTAINS COS COUNT DEGREES
    DENSE_RANK ENDS_WITH EXP FIRST_VALUE FLOOR LAG LAST_VALUE LEAD LN LOG10 LTRIM MAX MIN PI RADIANS RANK
    REPLACE ROUND ROW_NUMBER RTRIM SIN STARTS_WITH STDDEV SUM TAN TRIM
    """
)

_INTEGRAL: Final = _words("CEIL CHARACTER_LENGTH DATE_PART DENSE_RANK FLOOR RANK ROW_NUMBER")
"""Their results are whole numbers: a cast to an integer has nothing to round."""

_NAMES_NEXT: Final = _words("AS FROM JOIN")
"""Behind them stands a name that is no column of an input."""

_OF_NUMBERS: Final = _words("AVG STDDEV LOG10")
"""The checker lets only numbers in, so that a cast of what they take parses no text."""

_FLOATING: Final = _words(
    "ACOS ASIN ATAN AVG COS DEGREES DOUBLE EXP LN LOG10 PI POWER RADIANS SIN STDDEV TAN"
)
"""With them a value becomes a float."""

_SAID: Final[Mapping[str, str]] = {
    "ARROW_CAST": "a time of day",
    "BIGINT": "`as int`",
    "BOOLEAN": "`as bool`",
    "DATE_TRUNC": "`date.trunc`",
    "DOUBLE": "`as float`",
    "INTERVAL": "a length of time",
    "LOWER": "`text.lower`",
    "NOW": "`date.now`",
    "POWER": "`math.pow`",
    "SQRT": "`math.sqrt`",
    "STRING_AGG": "`concat_array`",
    "TIMESTAMP": "`as timestamp`",
    "TO_CHAR": "`date.to_text`",
    "UPPER": "`text.upper`",
}
"""What a program says for a word of the SQL."""

_PATTERN: Final = r"(?:\(\?i\))?(?:[\w \-,:;=@#/!%&\"<>^$|()\[\].*+?]|\{\d+(?:,\d*)?\}|\\[.\-+*?()|])*"
"""Regular expressions without classes like `\\d`, which are Unicode's in one engine, ASCII's in the other."""

_DATE_PARTS: Final = _words("year quarter month week day isodow doy hour minute second epoch")
_TRUNC_UNITS: Final = _words("year quarter month week day hour minute second")
_FORMAT: Final = r"(?:[^%]|%[YymdjHMSBbAaGVuIp])*"
_UTC_TIMESTAMP: Final = """'Timestamp(Microsecond, Some("UTC"))'"""

_TYPES: Final[tuple[Callable[[pa.DataType], bool], ...]] = (
    pa.types.is_boolean,
    pa.types.is_float64,
    pa.types.is_decimal128,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_date32,
    lambda t: pa.types.is_timestamp(t) and t.unit == "us",
    lambda t: pa.types.is_signed_integer(t) or t.equals(pa.uint8()) or t.equals(pa.uint16()),
)

_PRINTED_ALIKE: Final[tuple[Callable[[pa.DataType], bool], ...]] = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_decimal128,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_date32,
)


@record(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


class _Refused(Exception):
    """The message says what of the SQL is not equal."""


def why_not_portable(sql: str, inputs: Iterable[RowType]) -> str | None:
    """None when the SQL over inputs of these rows gives the same on both engines, else the reason."""
    rows = tuple(inputs)
    if any(not row.complete for row in rows):
        return "the columns of its inputs are known only in the run"
    return _why_not(sql, rows)


@lru_cache(256)
def _why_not(sql: str, rows: tuple[RowType, ...]) -> str | None:
    tokens = [_Token(str(m.lastgroup), m[0]) for m in re.finditer(_TOKEN, sql, re.DOTALL) if m.lastgroup]
    try:
        _check_names(tokens, rows)
        _Reader(tokens, {c.name: c for row in rows for c in row}).check()
    except _Refused as refused:
        return str(refused)
    return None


def _check_names(tokens: list[_Token], rows: tuple[RowType, ...]) -> None:
    """DuckDB takes names that differ only by case as one."""
    used = {_name(t) for t in tokens if t.kind == "name"}
    known: dict[str, str] = {}
    for name in (*used, *(n for row in rows for n in row.names)):
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise _Refused(f"the names `{other}` and `{name}` differ only by case")
    everything = any(
        token.text == "*" and before.text in ("SELECT", ",", ".") for before, token in pairwise(tokens)
    )
    for column in (c for row in rows for c in row):
        assert column.type is not None, "the row is complete"
        if (everything or column.name in used) and not any(fits(column.type) for fits in _TYPES):
            name = "float of 32 bits" if pa.types.is_float32(column.type) else type_name(column.type)
            raise _Refused(f"the column `{column.name}` is of type {name}")


class _Reader:
    """Reads the tokens once. `columns` are those of the inputs."""

    def __init__(self, tokens: list[_Token], columns: Mapping[str, Column]) -> None:
        self._tokens = tokens
        self._columns = columns
        self._decimals = any(pa.types.is_decimal(c.type) for c in columns.values())
        self._renamed = {
            _name(token) for before, token in pairwise(tokens) if before.text == "AS" and token.kind == "name"
        }

    def check(self) -> None:
        for at, token in enumerate(self._tokens):
            match token.kind:
                case "word":
                    self._word(at, token.text.upper())
                case "sign":
                    self._sign(at, token.text)
                case "other":
                    raise _Refused(f"`{token.text}` is not known to mean the same")
                case _:
                    pass

    def _word(self, at: int, word: str) -> None:
        if self._text(at + 1) != "(" or word in _WORDS:
            if word not in _WORDS:
                raise _Refused(f"{_said(word)} is not known to mean the same")
            if word == "CASE":
                self._mixed(at, self._end_of_case(at))
            if word == "UNION":
                self._mixed(0, len(self._tokens))
            return
        end = self._closing(at + 1)
        match word:
            case "CAST":
                self._cast(at, end)
            case "COALESCE":
                self._mixed(at, end)
            case "CONCAT":
                self._printed(at + 2, end)
            case "AVG" if self._decimals and self._text(at + 2).upper() != "CAST":
                raise _Refused("an average of decimals has another type")
            case "SUBSTR":
                numbers = [self._tokens[end - 1].kind, self._tokens[end - 3].kind]
                if numbers != ["number", "number"] or self._text(end - 2) != ",":
                    raise _Refused("`text.extract` counts from the end for a negative start")
            case "DATE_PART" if self._literal(at + 2) in _DATE_PARTS:
                pass
            case "DATE_TRUNC" if self._literal(at + 2) in _TRUNC_UNITS:
                pass
            case "TO_CHAR" if re.fullmatch(_FORMAT, self._literal(end - 1)):
                pass
            case "POWER" if self._kind(end - 1) == "number" and self._text(end - 2) == ",":
                pass
            case "ARROW_CAST" if end == at + 5 and self._text(at + 4) == _UTC_TIMESTAMP:
                pass
            case _ if word not in _FUNCTIONS:
                raise _Refused(f"{_said(word)} does not mean the same for every value")

    def _sign(self, at: int, sign: str) -> None:
        if sign == "~" and not re.fullmatch(_PATTERN, self._literal(at + 1)):
            raise _Refused("the pattern has classes or forms that differ")
        whole = sign == "%" and [self._text(at + i) for i in (1, 2, 3)] == ["1", ")", ")"]
        if whole or (sign == "/" and not self._divides_floats(at)):
            raise _Refused("`//` divides floats there")
        if sign == "-" and self._is_timestamp(at - 1) and self._is_timestamp(self._end_of_name(at + 1)):
            raise _Refused("the time between two timestamps has another type")

    def _cast(self, at: int, end: int) -> None:
        inner = self._text(at + 2).upper()
        match self._text(end - 1).upper():
            case "BIGINT" if inner in _INTEGRAL or inner.isdigit() or self._is_negative(at + 2):
                pass
            case "DOUBLE" if self._text(at - 1) == "(" and self._text(at - 2).upper() in _OF_NUMBERS:
                pass
            case "DATE":
                pass
            case "VARCHAR":
                self._printed(at + 2, end - 2)
            case type_:
                raise _Refused(f"{_said(type_)} rounds or parses in another way")

    def _printed(self, start: int, end: int) -> None:
        """Only columns of types that both engines write alike become text."""
        for at in range(start, end):
            token = self._tokens[at]
            if token.kind == "name" and self._text(at + 1) != ".":
                column = self._columns.get(_name(token))
                known = column is not None and column.name not in self._renamed
                if column is None or not known or not any(fits(column.type) for fits in _PRINTED_ALIKE):
                    raise _Refused(f"`{_name(token)}` may be written as text in another way")
            elif token.kind not in ("name", "text") and token.text not in (",", "."):
                raise _Refused("a computed value may be written as text in another way")

    def _mixed(self, start: int, end: int) -> None:
        """A choice between a decimal and a float is a decimal in one engine and a float in the other.

        A number without an exponent is only ever compared. The type of a renamed column is not known here.
        """
        inside = self._tokens[start:end]
        floats = any(_is_floating(token) for token in inside)
        decimals = False
        for at in range(start, end):
            if (
                self._tokens[at].kind != "name"
                or self._text(at + 1) == "."
                or self._text(at - 1) in _NAMES_NEXT
            ):
                continue
            name = _name(self._tokens[at])
            column = self._columns.get(name)
            if column is None or name in self._renamed:
                decimals = decimals or self._decimals
            if column is not None:
                floats = floats or pa.types.is_floating(column.type)
                decimals = decimals or pa.types.is_decimal(column.type)
        if floats and decimals:
            raise _Refused("a choice between a decimal and a float has another type")

    def _divides_floats(self, at: int) -> bool:
        """Whether one side is a float in both engines, as the compiler writes it."""
        sides = (self._text(at - 1), self._text(at + 1))
        if any("e" in side and side[0].isdigit() for side in sides) or sides[1] == "LOG10":
            return True
        return sides[0] == ")" and self._text(self._opening(at - 1) - 1) == "DATE_PART"

    def _opening(self, at: int) -> int:
        """The place of the parenthesis that the one at `at` ends."""
        depth = 0
        for start in range(at, -1, -1):
            text = self._text(start)
            depth += (text == ")") - (text == "(")
            if depth == 0:
                return start
        return 0

    def _is_negative(self, at: int) -> bool:
        """Whether a negative whole number stands there, and nothing behind it."""
        return self._text(at) == "-" and self._text(at + 1).isdigit() and self._text(at + 2) == "AS"

    def _is_timestamp(self, at: int) -> bool:
        column = self._columns.get(_name(self._tokens[at])) if self._tokens[at].kind == "name" else None
        return column is not None and pa.types.is_timestamp(column.type)

    def _end_of_name(self, at: int) -> int:
        """The place of a column's own name behind its relation's."""
        return at + 2 if self._text(at + 1) == "." else at

    def _end_of_case(self, at: int) -> int:
        depth = 0
        for end in range(at, len(self._tokens)):
            word = self._text(end).upper() if self._tokens[end].kind == "word" else ""
            depth += (word == "CASE") - (word == "END")
            if depth == 0:
                return end
        return len(self._tokens)

    def _closing(self, at: int) -> int:
        """The place of the parenthesis that ends the one at `at`."""
        depth = 0
        for end in range(at, len(self._tokens)):
            text = self._text(end)
            depth += (text == "(") - (text == ")")
            if depth == 0:
                return end
        return len(self._tokens)

    def _kind(self, at: int) -> str:
        return self._tokens[at].kind if 0 <= at < len(self._tokens) else ""

    def _text(self, at: int) -> str:
        return self._tokens[at].text if 0 <= at < len(self._tokens) else ""

    def _literal(self, at: int) -> str:
        """The value of a text at a place, or a text that nothing allows."""
        token = self._tokens[at] if at < len(self._tokens) else _Token("", "")
        return token.text[1:-1].replace("''", "'") if token.kind == "text" else "\0%"


def _said(word: str) -> str:
    return _SAID.get(word, f"`{word}`")


def _is_floating(token: _Token) -> bool:
    if token.kind == "number":
        return "e" in token.text.lower()
    return token.kind == "word" and token.text.upper() in _FLOATING


def _name(token: _Token) -> str:
    return token.text[1:-1].replace('""', '"')
