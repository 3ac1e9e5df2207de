"""A fragment as one SQL text: its queries become common table expressions over its inputs' tables.

The text is only ever built from SQL that the PRQL compiler or `heddle/std/columns.py` wrote and from
quoted identifiers; no value of a program is spliced into it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from heddle.core.planning import quoted
from heddle.logical.plan import Fragment, Query

_WITH = "WITH "
_READS = re.compile(r'(?P<before>\b(?:FROM|JOIN)\s+)(?:"(?P<quoted>[^"]+)"|(?P<plain>\w+))', re.IGNORECASE)
_QUOTED = r'"((?:[^"]|"")*)"'
_LITERAL = r"'(?:[^']|'')*'"
_ALL_COLUMNS = r"(?i)(?:\bSELECT|\bDISTINCT|[,.])\s*\*"


def fragment_sql(fragment: Fragment) -> str:
    """The fragment's SQL. Its last query stays outermost, because an ORDER BY further in has no effect."""
    *earlier, last = fragment.queries
    expressions = [f"{quoted(q.relation)} AS ({q.sql})" for q in earlier]
    if not expressions:
        return last.sql
    if last.sql.upper().startswith(_WITH):
        return f"WITH {', '.join(expressions)}, {last.sql[len(_WITH) :]}"
    return f"WITH {', '.join(expressions)} {last.sql}"


def reading_places(query: Query) -> Counter[str]:
    """How often the query reads each relation (a self-join reads one twice)."""
    return Counter(found["quoted"] or found["plain"] for found in _READS.finditer(query.sql))


def names_read(sql: str) -> frozenset[str] | None:
    """All names that the text quotes; None when it reads every column of something."""
    if re.search(_ALL_COLUMNS, sql):
        return None
    return frozenset(found.replace('""', '"') for found in re.findall(_QUOTED, sql))


def with_sources(sql: str, sources: Mapping[str, str]) -> str:
    """The text with other words for the relations that it reads; those of its own keep their names."""

    def replaced(found: re.Match[str]) -> str:
        relation = found["quoted"] or found["plain"]
        return f"{found['before']}{sources[relation]}" if relation in sources else found[0]

    return _READS.sub(replaced, sql)


def reading_others(sql: str, relations: Mapping[str, str]) -> str:
    """The text reading other relations in the place of some. Columns keep the names by which it calls them,
    and what is quoted stays."""

    def replaced(found: re.Match[str]) -> str:
        relation = found["quoted"] or found["plain"]
        if relation not in relations or relations[relation] == relation:
            return found[0]
        alias = "" if found["alias"] else f" AS {quoted(relation)}"
        return f"{found['before']}{quoted(relations[relation])}{found['alias'] or ''}{alias}"

    pattern = rf"{_LITERAL}|{_READS.pattern}(?P<alias>\s+AS\s)?|{_QUOTED}"
    return re.sub(pattern, replaced, sql, flags=re.IGNORECASE)
