"""The words of a query's text: what the limits, the normaliser and the search for names read.

`scan` splits a text into words by PRQL's lexical rules; it never fails, an odd character is a word of
kind "odd". Comments and spaces are left out; line breaks are words.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from heddle.core.record import record
from heddle.frontend.query_text import quoted_end

Kind = Literal["name", "number", "string", "sstring", "fstring", "mark", "line", "odd"]

NESTING_MAX: Final = 48
"""Brackets inside brackets. prqlc and DataFusion recurse over them."""

TERMS_MAX: Final = 300
"""Operators in one expression."""

OPEN: Final = {"(": ")", "[": "]", "{": "}"}
CLOSE: Final = {")", "]", "}"}
OPERATORS: Final = frozenset(
    (
        "==",
        "!=",
        ">=",
        "<=",
        "~=",
        "&&",
        "||",
        "??",
        "//",
        "**",
        "..",
        "+",
        "-",
        "*",
        "/",
        "%",
        "<",
        ">",
        "and",
        "or",
    )
)
TRANSFORMS: Final = frozenset(
    (
        *("from", "select", "derive", "filter", "sort", "take", "join", "aggregate", "group", "window"),
        *("append", "intersect", "remove", "loop"),
    )
)

USAGE: Final = {
    "from": "write `from orders`",
    "select": "write `select {id, name}`",
    "derive": "write `derive {total = price * amount}`",
    "filter": "write `filter amount > 0`",
    "sort": "write `sort {-amount, name}`",
    "take": "write `take 10`",
    "join": "write `join users (==user_id)`",
    "group": "write `group country (aggregate {total = sum amount})`",
    "aggregate": "write `aggregate {total = sum amount}`",
    "window": "write `window rolling:3 (derive {total = sum amount})`",
    "append": "write `append other`",
    "&&": "each side of `&&` is true or false, such as `a > 1`",
    "||": "each side of `||` is true or false, such as `a > 1`",
}
"""How a transform or an operator is written, for messages."""

_WORD = re.compile(
    r"""
      (?P<space>[ \t\r]+|\#[^\n]*|\\\r?\n)
    | (?P<line>\n)
    | (?P<date>@[0-9][0-9T:.+-]*[0-9Z]?)
    | (?P<number>[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?[A-Za-z]*)
    | (?P<name>[^\W\d]\w*|`[^`\n]*`|\$\w+)
    | (?P<mark>->|=>|==|!=|>=|<=|~=|&&|\|\||\?\?|//|\*\*|\.\.|[-+*/%<>=!|(){}\[\],.:?@])
    | (?P<quote>["'])
    | (?P<odd>.)
    """,
    re.X,
)


@record(frozen=True, slots=True)
class Word:
    kind: Kind
    text: str
    start: int
    end: int

    def is_mark(self, *marks: str) -> bool:
        return self.kind == "mark" and self.text in marks

    def is_name(self, *names: str) -> bool:
        return self.kind == "name" and self.text in names

    @property
    def name(self) -> str:
        """A name without its backticks."""
        return self.text.strip("`")


def scan(text: str) -> list[Word]:
    words: list[Word] = []
    pos = 0
    while found := _WORD.match(text, pos):
        pos = found.end()
        kind = found.lastgroup
        if kind == "space":
            continue
        if kind == "quote":
            pos = quoted_end(text, found.start(), len(text)) or len(text)
            words.append(_quoted(words, text, found.start(), pos))
        elif kind == "date":
            words.append(Word("number", found[0], found.start(), pos))
        else:
            words.append(Word(kind, found[0], found.start(), pos))  # type: ignore[arg-type]
    return words


def _quoted(words: list[Word], text: str, start: int, end: int) -> Word:
    """A string with the letter that stands right before it."""
    prefix = words[-1] if words and words[-1].end == start else None
    if prefix is None or not prefix.is_name("s", "f", "r"):
        return Word("string", text[start:end], start, end)
    words.pop()
    kinds: dict[str, Kind] = {"s": "sstring", "f": "fstring", "r": "string"}
    return Word(kinds[prefix.text], text[prefix.start : end], prefix.start, end)


@record(frozen=True, slots=True)
class TooMuch:
    """A text beyond a limit, and the word at which it goes beyond."""

    what: Literal["nesting", "terms"]
    word: Word


def over_limit(words: list[Word]) -> TooMuch | None:
    """The first place where a text nests too deep or an expression is too long."""
    terms = [0]
    for word in words:
        if word.kind == "mark" and word.text in OPEN:
            terms.append(0)
            if len(terms) > NESTING_MAX:
                return TooMuch("nesting", word)
        elif word.kind == "mark" and word.text in CLOSE:
            if len(terms) > 1:
                terms.pop()
        elif word.text in OPERATORS:
            terms[-1] += 1
            if terms[-1] > TERMS_MAX:
                return TooMuch("terms", word)
        elif word.is_mark("|", ",", "=>") or (word.kind == "line" and len(terms) == 1):
            terms[-1] = 0
    return None


def end_of_group(words: list[Word], start: int) -> int:
    """The index behind the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(words)):
        word = words[i]
        if word.kind != "mark":
            continue
        if word.text in OPEN:
            depth += 1
        elif word.text in CLOSE:
            depth -= 1
            if depth == 0:
                return i + 1
    return len(words)
