"""`take` before `sort` in one plan of DataFusion, which is free to sort first by the rules of SQL, and does.

In a program the first rows are taken in the order that they have, and sorted then. DataFusion moves no sort
below a join, so a query that takes rows is joined with a single row where its plan sorts or has windows.
"""

from __future__ import annotations

import re
from typing import Final

from heddle.core.record import record

_WORDS: Final = r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|\b(?:LIMIT|ORDER\s+BY)\b"""
_BEFORE: Final = 'SELECT "kept".* FROM (VALUES (1)) AS "one row" CROSS JOIN ('
_AFTER: Final = ') AS "kept"'


@record(slots=True, eq=False)
class _Query:
    """What stands in parentheses that open at `start`."""

    start: int
    takes: bool = False
    sorts: bool = False


def with_kept_limits(sql: str) -> str:
    """The SQL in which a query in parentheses that takes rows, with no sort of its own, takes them first."""
    inserted: list[tuple[int, str]] = []
    open_queries = [_Query(0)]
    for word in re.finditer(_WORDS, sql):
        match word[0]:
            case "(":
                open_queries.append(_Query(word.end()))
            case ")":
                query = open_queries.pop()
                if query.takes and not query.sorts:
                    inserted += ((query.start, _BEFORE), (word.start(), _AFTER))
            case "LIMIT":
                open_queries[-1].takes = True
            case text if text.startswith("ORDER"):
                open_queries[-1].sorts = True
    parts: list[str] = []
    last = 0
    for at, text in sorted(inserted, key=lambda insertion: insertion[0]):
        parts += (sql[last:at], text)
        last = at
    return "".join((*parts, sql[last:]))
