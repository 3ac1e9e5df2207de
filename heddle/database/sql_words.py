"""A statement's text as words that are taken one after the other, each with its place in the text.

Comments are left out. Where a text is not SQL, words of one character stand for what cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeAlias

from heddle.core.record import record
from heddle.database.commands import InnerText
from heddle.database.errors import QueryError

TEXT_CHARS_MAX: Final = 1 << 20

WordKind: TypeAlias = Literal["word", "name", "text", "number", "sign"]

_WORDS: Final = r"""
    (?P<space>\s+ | --[^\n]* | /\*.*?\*/)
  | (?P<text>[eE]'(?:[^'\\]|\\.|'')*+' | '(?:[^']|'')*+')
  | (?P<dollars>\$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?(tag)(?P=tag))\$)
  | (?P<name>"(?:[^"]|"")+")
  | (?P<word>[^\W\d][\w$]*)
  | (?P<number>\d[\w.]*)
  | (?P<sign>.)
"""


@record(frozen=True, slots=True)
class Word:
    """Characters `start` to `end` of the text, the last excluded. `name` and `text` stand in quotes, which
    `value` is without."""

    kind: WordKind
    value: str
    start: int
    end: int


def words_of(text: str) -> Words:
    """Raises `QueryError` when a quote is left open, or there is more than one statement."""
    if len(text) > TEXT_CHARS_MAX:
        raise QueryError("invalid", f"the statement is longer than {TEXT_CHARS_MAX:,} characters")
    found = re.finditer(_WORDS, text, re.VERBOSE | re.DOTALL)
    words = [_word(each) for each in found if each["space"] is None]
    while words and words[-1].value == ";":
        words.pop()
    for word in words:
        if word.kind == "sign" and word.value in ("'", '"', ";"):
            if word.value == ";":
                raise QueryError("invalid", "one statement at a time", help="send them one after the other")
            raise QueryError("invalid", f"a quote is left open: {_place(text, word.start)}")
    return Words(text, words)


def _word(found: re.Match[str]) -> Word:
    start, end = found.span()
    if found["text"] is not None or found["dollars"] is not None:
        inside = found[0].lstrip("eE")[1:-1].replace("''", "'") if found["text"] is not None else found[0]
        return Word("text", inside, start, end)
    if found["name"] is not None:
        return Word("name", found["name"][1:-1].replace('""', '"'), start, end)
    if found["word"] is not None:
        return Word("word", found[0], start, end)
    return Word("number" if found["number"] is not None else "sign", found[0], start, end)


def _place(text: str, at: int) -> str:
    """Line and column, both from 1."""
    return f"{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


class Words:
    """`at` counts words. What is expected and not there raises `QueryError`."""

    def __init__(self, text: str, words: Sequence[Word]) -> None:
        self._text = text
        self._words = words
        self.at = 0

    @property
    def at_end(self) -> bool:
        return self.at >= len(self._words)

    def next(self) -> None:
        self.at += 1

    def take(self, *words: str) -> bool:
        """Whether these words come next; then they are taken."""
        if any(self._word(self.at + i) != word for i, word in enumerate(words)):
            return False
        self.at += len(words)
        return True

    def is_one_of(self, words: Collection[str]) -> bool:
        return self._word(self.at) in words

    def opens_query(self) -> bool:
        """Whether a parenthesis comes next, and a query in it."""
        at = self.at
        while self._word(at) == "(":
            at += 1
        return at > self.at and self._word(at) in ("SELECT", "WITH", "VALUES", "FROM")

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise self._expected(f"`{word}`")

    def expect_end(self) -> None:
        if not self.at_end:
            raise self._expected("the end of the statement")

    def name(self, what: str) -> str:
        """In small letters, unless it has quotes."""
        if not self.at_end and (word := self._words[self.at]).kind in ("name", "word"):
            self.next()
            return word.value if word.kind == "name" else word.value.lower()
        raise self._expected(what)

    def name_or_text(self, what: str) -> str:
        if not self.at_end and self._words[self.at].kind in ("text", "number"):
            self.next()
            return self._words[self.at - 1].value
        return self.name(what)

    def until(self, ends: Collection[str], what: str) -> InnerText:
        """The text up to one of the words that stands outside of parentheses, which is not taken."""
        start = self.at
        depth = 0
        while not self.at_end:
            word = self._word(self.at)
            if depth == 0 and word in ends:
                break
            depth += (word in ("(", "[", "{")) - (word in (")", "]", "}"))
            if depth < 0:
                raise self._expected("no more parentheses than were opened")
            self.next()
        if start == self.at or depth:
            raise self._expected(what if start == self.at else "`)`")
        return self.since(start)

    def rest(self, what: str) -> InnerText:
        return self.until((), what)

    def since(self, start: int) -> InnerText:
        """The text from the word number `start` up to the word that comes next."""
        first, last = self._words[start], self._words[self.at - 1]
        return InnerText(self._text[first.start : last.end], first.start)

    def shown(self) -> str:
        """The next word for a message."""
        return self._words[self.at].value.upper() if not self.at_end else "nothing more"

    def _word(self, at: int) -> str | None:
        """In capitals; None behind the end, and for what stands in quotes."""
        if at >= len(self._words) or self._words[at].kind in ("name", "text"):
            return None
        return self._words[at].value.upper()

    def _expected(self, what: str) -> QueryError:
        if self.at_end:
            return QueryError("invalid", f"the statement ends where {what} is expected")
        word = self._words[self.at]
        found, place = self._text[word.start : word.end], _place(self._text, word.start)
        return QueryError("invalid", f"{what} is expected where `{found}` stands: {place}")
