"""Names of kept tables: which can be given, and what is said of one that is not there, or is already."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from heddle.database.errors import QueryError
from heddle.database.kept_manifest import KeptTable
from heddle.diagnostics import did_you_mean

NAME_LENGTH_MAX: Final = 255


def known(seen: Mapping[str, KeptTable], name: str) -> KeptTable:
    """Raises `QueryError` when it is not there."""
    if name not in seen:
        raise unknown(name, seen)
    return seen[name]


def unknown(name: str, seen: Collection[str]) -> QueryError:
    near = did_you_mean(name, list(seen))
    return QueryError("not_found", f"there is no table `{name}`", help=near and f"did you mean `{near}`?")


def exists(name: str) -> QueryError:
    return QueryError("exists", f"there is a table `{name}` already", help="drop it first, or replace it")


def check_name(name: str) -> None:
    """Raises `QueryError`."""
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise QueryError(
            "invalid",
            f"a table's name has 1 to {NAME_LENGTH_MAX} characters that can be printed",
        )
