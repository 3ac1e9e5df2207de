"""Text -> tokens, for SQL and for PRQL. Every character is in a token; text that is not finished, such as a
string without its end, is a token that is `open`. The editor, the splitter and the completion read these."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, Literal, TypeAlias, get_args

from heddle.core.record import record
from heddle.database.model import Language

TokenKind: TypeAlias = Literal[
    "space", "comment", "string", "name", "quoted_name", "number", "parameter", "operator", "end"
]


@record(frozen=True, slots=True)
class Token:
    """`open`: the text ends before the token does."""

    kind: TokenKind
    text: str
    start: int
    open: bool = False

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """What it says in capitals when it is a plain word, else nothing."""
        return self.text.upper() if self.kind == "name" else ""


# `*+` gives nothing back, so a text without its end is not read as a shorter one with an end.
_SQL: Final = r"""
    (?P<space>\s+)
  | (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | (?P<string>[eE]'(?:[^'\\]|\\.|'')*+' | [bBnNxX]?'(?:[^']|'')*+')
  | (?P<open_string>[bBeEnNxX]?'.*)
  | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
  | (?P<parameter>\$\w+ | \?)
  | (?P<quoted_name>"(?:[^"]|"")*+" | `[^`]*+`)
  | (?P<open_quoted_name>["`].*)
  | (?P<number>\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)? | \.\d+(?:[eE][+-]?\d+)?)
  | (?P<name>[^\W\d]\w*)
  | (?P<end>;)
  | (?P<operator><>|<=|>=|!=|=>|::|\|\||->>|->|!~\*?|~\*|.)
"""
_PRQL: Final = r'''
    (?P<space>\s+)
  | (?P<comment>\#[^\n]*)
  | (?P<string>[fsr]?(?:""".*?""" | \'\'\'.*?\'\'\'
        | (?!"""|\'\'\')(?:"(?:[^"\\]|\\.)*+" | \'(?:[^\'\\]|\\.)*+\'))
        | @[\d\-T:.+Z]+)
  | (?P<open_string>[fsr]?["\'].*)
  | (?P<parameter>\$\w+)
  | (?P<quoted_name>`[^`]*+`)
  | (?P<open_quoted_name>`.*)
  | (?P<number>\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)
  | (?P<name>[^\W\d]\w*)
  | (?P<end>;)
  | (?P<operator>==|!=|<=|>=|~=|=>|->|&&|\|\||\?\?|//|\.\.|.)
'''
_KINDS: Final[dict[str, TokenKind]] = {kind: kind for kind in get_args(TokenKind)} | {
    "open_string": "string",
    "open_quoted_name": "quoted_name",
}


def tokens(text: str, language: Language = "sql", start: int = 0) -> Iterator[Token]:
    """Those from `start` on, read as they are asked for."""
    pattern = _pattern(language)
    while start < len(text):
        match = pattern.match(text, start)
        assert match is not None and match.lastgroup is not None, "some alternative takes any character"
        token = _token(text, match.lastgroup, match)
        yield token
        start = token.end


@cache
def _pattern(language: Language) -> re.Pattern[str]:
    return re.compile(_PRQL if language == "prql" else _SQL, re.VERBOSE | re.DOTALL)


def _token(text: str, group: str, match: re.Match[str]) -> Token:
    start = match.start()
    match group:
        case "block":
            end = _block_end(text, start)
            return Token("comment", text[start:end], start, open=end is None)
        case "dollar":
            close = text.find(match[0], match.end())
            end = None if close < 0 else close + len(match[0])
            return Token("string", text[start:end], start, open=end is None)
        case _:
            return Token(_KINDS[group], match[0], start, open=group.startswith("open_"))


def _block_end(text: str, start: int) -> int | None:
    """Where a block comment ends; they nest."""
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return None
