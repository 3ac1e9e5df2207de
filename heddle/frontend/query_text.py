"""Where a query ends, by PRQL's own lexical rules.

A query enters as the offset of its `(` and leaves as the offset of the matching `)`, or as the place
where reading can go on when nothing closes it. Nothing here knows what PRQL means.
"""

from __future__ import annotations

import re

from heddle.core.record import record

NESTING_MAX = 64

_MARK = re.compile(r"""[()\[\]{}"'`]|\#[^\n]*+""")
_ONE_QUOTE = {q: re.compile(rf"[^{q}\\]*+(?:\\.[^{q}\\]*+)*+{q}", re.S) for q in "\"'"}
_ONE_QUOTE_LINE = {q: re.compile(rf"[^{q}\\\n]*+(?:\\.[^{q}\\\n]*+)*+{q}") for q in "\"'"}
_QUOTES = {q: re.compile(f"{q}+") for q in "\"'"}
_RAW_PREFIX = r"(?<![A-Za-z0-9_])r\Z"
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_TRANSFORMS = (
    "from|select|filter|derive|sort|take|join|aggregate|group|window|append|loop|intersect|remove|union"
)

# A line of an unclosed query on which the program itself seems to go on.
_RESUME = rf"""^[ \t]*+(?:
        \r?$
      | //
      | \|[ \t]*+(?:[(<]|(?!(?:{_TRANSFORMS})\b)[A-Za-z_][\w-]*+[ \t]*+(?:\.[ \t]*+[A-Za-z_]|[?!{{]|\r?$))
      | >[ \t]*+[A-Za-z_][\w-]*+[ \t]*+\r?$
      | \*[ \t]*+(?:\||\r?$)
      | <[A-Za-z_]
      | \([ \t]*+from\b
      | (?:import|resource|step|handler|workflow|policy|test)[ \t]++["A-Za-z_]
    ) | ^\}}"""


@record(frozen=True, slots=True)
class Unbalanced:
    """A bracket inside a query that has no partner."""

    offset: int
    opens: bool


@record(frozen=True, slots=True)
class QueryScan:
    """`close` is the offset of the closing parenthesis, None when there is none before `stop`.

    `deep` is the first bracket nested deeper than `NESTING_MAX`.
    """

    close: int | None
    stop: int
    unbalanced: Unbalanced | None = None
    deep: int | None = None


def quoted_end(text: str, start: int, limit: int) -> int | None:
    """The offset behind the quoted text that starts at `start`, None when it is not closed.

    PRQL closes a string with as many quotes as opened it; an even number of quotes is an empty string.
    """
    quote = text[start]
    if quote == "`":
        end = text.find("`", start + 1, limit)
        return None if end < 0 else end + 1
    run = _QUOTES[quote].match(text, start, limit)
    assert run is not None
    size = run.end() - start
    if size % 2 == 0:
        return run.end()
    if re.compile(_RAW_PREFIX).search(text, max(0, start - 2), start):
        end = text.find(quote * size, run.end(), limit)
        return None if end < 0 else end + size
    if size == 1:
        found = _ONE_QUOTE[quote].match(text, run.end(), limit)
        return found.end() if found else None
    return _long_string_end(text, run.end(), quote * size, limit)


def _long_string_end(text: str, start: int, closer: str, limit: int) -> int | None:
    mark = re.compile(rf"\\.|{closer}", re.S)
    for found in mark.finditer(text, start, limit):
        if found[0] == closer:
            return found.end()
    return None


class _Brackets:
    """The brackets that are open at one place of a query."""

    def __init__(self) -> None:
        self.open: list[tuple[str, int]] = []
        self.counts = {"(": 0, "[": 0, "{": 0}
        self.unbalanced: Unbalanced | None = None

    def push(self, bracket: str, offset: int) -> None:
        self.open.append((bracket, offset))
        self.counts[bracket] += 1

    def pop_to(self, bracket: str) -> None:
        """Close the innermost `bracket`; what is open inside it has no partner."""
        while self.open:
            top, offset = self.open.pop()
            self.counts[top] -= 1
            if top == bracket:
                return
            self.unbalanced = Unbalanced(offset, opens=True)


def scan_query(text: str, start: int, limit: int) -> QueryScan:
    """Read the query whose `(` stands at `start`, not beyond `limit`."""
    brackets = _Brackets()
    deep: int | None = None
    pos = start + 1
    while found := _MARK.search(text, pos, limit):
        at, mark = found.start(), text[found.start()]
        pos = found.end()
        if mark in "\"'`":
            end = quoted_end(text, at, limit)
            if end is None:
                return QueryScan(None, limit)
            pos = end
        elif mark in _CLOSERS:
            brackets.push(mark, at)
            if deep is None and len(brackets.open) >= NESTING_MAX:
                deep = at
        elif mark == ")":
            if not brackets.counts["("]:
                brackets.pop_to("")
                return QueryScan(at, at, brackets.unbalanced, deep)
            brackets.pop_to("(")
        elif mark == "}":
            if not brackets.counts["{"]:
                return QueryScan(None, at)
            brackets.pop_to("{")
        elif mark == "]":
            if brackets.counts["["]:
                brackets.pop_to("[")
            else:
                brackets.unbalanced = Unbalanced(at, opens=False)
    return QueryScan(None, limit)


def resume_after(text: str, start: int, stop: int) -> int:
    """The end of what an unclosed query at `start` is taken to be: at most `stop`."""
    line_end = text.find("\n", start, stop)
    if line_end < 0:
        return stop
    found = re.compile(_RESUME, re.M | re.X).search(text, line_end + 1, stop)
    return found.start() if found else stop


def unclosed_quote(text: str, start: int, stop: int) -> int | None:
    """The first quote in an unclosed query that has no partner on its line."""
    pos = start + 1
    while found := _MARK.search(text, pos, stop):
        pos = found.end()
        mark = text[found.start()]
        if mark not in "\"'":
            continue
        run = _QUOTES[mark].match(text, found.start(), stop)
        assert run is not None
        pos = run.end()
        if len(run[0]) != 1:
            continue
        closed = _ONE_QUOTE_LINE[mark].match(text, pos, stop)
        if closed is None:
            return found.start()
        pos = closed.end()
    return None


def quoted_spans(text: str) -> list[tuple[int, int]]:
    """The ranges of a query's text that are strings or quoted names."""
    spans: list[tuple[int, int]] = []
    pos = 0
    while found := _MARK.search(text, pos):
        pos = found.end()
        if text[found.start()] in "\"'`":
            pos = quoted_end(text, found.start(), len(text)) or len(text)
            spans.append((found.start(), pos))
    return spans
