"""Where in a statement an error is: what its message says of line and column, else the name that it speaks
of."""

from __future__ import annotations

import re

from heddle.database.model import Language
from heddle.diagnostics import Source, Span
from heddle.repl.lexer import tokens


def place_of(message: str, statement: str, language: Language) -> Span | None:
    """None where the message does not say it."""
    if found := re.search(r"\bline:? (\d+)(?:,| and)? col(?:umn)?\.?:? (\d+)", message, re.IGNORECASE):
        return _at(statement, int(found[1]), int(found[2]), language)
    for found in re.finditer(r"No field named ([^\s,]+?)[.,]?(?=\s|$)|`([^`]+)`|'([^']+)'", message):
        name = next(group for group in found.groups() if group)
        if (span := _named(statement, name, language)) is not None:
            return span
    return None


def _at(statement: str, line: int, column: int, language: Language) -> Span | None:
    """The token there; the last one for a place at the end."""
    source = Source("", statement)
    if not 1 <= line <= statement.count("\n") + 1:
        return None
    offset = (
        source.position(0).line - 1 + sum(len(source.line_text(n)) + 1 for n in range(1, line)) + column - 1
    )
    last: Span | None = None
    for token in tokens(statement, language):
        if token.kind in ("space", "comment"):
            continue
        last = Span(token.start, token.end)
        if token.end > offset:
            return last
    return last


def _named(statement: str, name: str, language: Language) -> Span | None:
    """Where the statement has this name, or the last part of a longer one (`sales.orders`)."""
    wanted = [name.strip('"').lower(), name.rpartition(".")[2].strip('"').lower()]
    for each in wanted:
        for token in tokens(statement, language):
            if token.kind in ("name", "quoted_name", "parameter") and token.text.strip('"`').lower() == each:
                return Span(token.start, token.end)
    return None
