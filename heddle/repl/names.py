"""Names in SQL: which have to be quoted, and what a written one says."""

from __future__ import annotations

import re
from typing import Final

from heddle.database.model import Language
from heddle.repl.lexer import tokens

_RESERVED_TEXT: Final = """
    ALL AND ANY AS ASC BETWEEN BY CASE CAST COLUMN CREATE CROSS DELETE DESC DISTINCT DROP ELSE END EXCEPT
    EXISTS FALSE FETCH FOR FROM FULL GROUP HAVING IN INNER INSERT INTERSECT INTO IS JOIN LEFT LIKE LIMIT
    NATURAL NOT NULL OFFSET ON OR ORDER OUTER OVER PARTITION RIGHT SELECT SET TABLE THEN TO TRUE UNION
    UPDATE USING VALUES VIEW WHEN WHERE WINDOW WITH
"""
RESERVED: Final = frozenset(_RESERVED_TEXT.split())
"""Words that are no names without quotes."""


def written(name: str, language: Language = "sql") -> str:
    """As it stands in a statement. In SQL it is read in small letters without quotes, so other names have
    them."""
    if language == "prql":
        return name if re.fullmatch(r"[^\W\d]\w*", name) else quoted_as(name, "`")
    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", name) is not None and name.upper() not in RESERVED
    return name if plain else quoted_as(name, '"')


def quoted_as(name: str, quote: str) -> str:
    return quote + name.replace(quote, quote * 2) + quote


def name_parts(text: str) -> tuple[str, ...]:
    """The parts of a name as it was typed: `Report."by region"`."""
    return tuple(unquoted(t.text) for t in tokens(text) if t.kind in ("name", "quoted_name", "number"))


def unquoted(text: str) -> str:
    if text[:1] in ('"', "`") and len(text) > 1:
        quote = text[0]
        return text[1:].removesuffix(quote).replace(quote * 2, quote)
    return text
