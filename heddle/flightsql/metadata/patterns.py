"""Filters of metadata commands: exact names, and patterns with `%` for any text and `_` for any character."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

ESCAPE: Final = "\\"
"""Before `%` and `_` that are meant as they are; the server says so as SQL_SEARCH_STRING_ESCAPE."""

Accepts: TypeAlias = Callable[[str], bool]


def exact(name: str | None) -> Accepts:
    """None accepts every name; "" none, as every table has a catalog and a schema."""
    return (lambda given: True) if name is None else name.__eq__


@lru_cache(256)
def like(pattern: str | None) -> Accepts:
    if pattern is None or pattern == "%":
        return lambda given: True
    parts: list[str] = []
    rest = iter(pattern)
    for character in rest:
        if character == ESCAPE:
            parts.append(re.escape(next(rest, ESCAPE)))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    found = re.compile("".join(parts), re.DOTALL).fullmatch
    return lambda given: found(given) is not None
