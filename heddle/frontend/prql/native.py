"""The door to prqlc: texts and documents go in, documents or `PrqlFailure` come out.

prqlc and DataFusion recurse over their input and end the process when the stack runs out, so everything
that calls them runs `with_stack_for` its text. Documents are prqlc's own JSON, which has no schema; they stay
within this package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

import prqlc

from heddle.core.deep_stack import on_deep_stack
from heddle.core.record import record
from heddle.frontend.prql.built_ins import VERSIONS, declarations

Doc: TypeAlias = dict[str, Any]
"""A node of a document of prqlc: a syntax tree (PL) or a resolved query (RQ)."""

T = TypeVar("T")

STACK_BYTES: Final = 256 << 20
DIRECT_CHARS_MAX: Final = 500
"""Queries of up to this length are compiled on the caller's stack; they need 1 MB of it at most."""
DOCUMENT_DEPTH_MAX: Final = 118
"""prqlc reads documents up to a depth of 128; the rest is for what is laid around a query."""

_TARGET = prqlc.CompileOptions(
    format=False, signature_comment=False, target="sql.snowflake", color=False, display="plain"
)
# Of prqlc's targets this one quotes every name and leaves columns out with EXCLUDE, as DataFusion does.
# Its functions do not matter: expressions are rendered in `expressions.py`.

ANSWERS_MAX: Final = 256
"""How many answers of each of prqlc's functions are remembered in the process."""
ANSWER_CHARACTERS_MAX: Final = 16_384
"""To texts of up to this length."""

CONSTANT_ORDER: Final = "ORDER BY 1"
"""What prqlc writes into windows without an order."""

_SPAN = re.compile(r"(\d+):(\d+)-(\d+)")


@record(frozen=True, slots=True)
class PrqlError:
    """One error of prqlc. `source` is the number that its spans carry, None when it has no place."""

    reason: str
    hints: tuple[str, ...]
    source: int | None
    start: int
    end: int


class PrqlFailure(Exception):
    """prqlc refuses a text or a document."""

    def __init__(self, errors: tuple[PrqlError, ...]) -> None:
        super().__init__(errors[0].reason if errors else "")
        self.errors = errors

    @property
    def first(self) -> PrqlError:
        return self.errors[0]


def with_stack_for(characters: int, function: Callable[[], T]) -> T:
    """The function's result, on a stack that is deep enough for queries of so many characters together."""
    return function() if characters <= DIRECT_CHARS_MAX else on_deep_stack(function, STACK_BYTES)


def parse_text(text: str) -> list[Doc]:
    """The statements of a text. Raises `PrqlFailure`."""
    document: Doc = json.loads(_PARSED(text))
    statements: list[Doc] = document["stmts"]
    return statements


def resolve(statements: list[Doc]) -> str:
    """The resolved query of a module, as JSON text. Raises `PrqlFailure`."""
    own = json.dumps(statements)
    built_in = declarations(own) if prqlc.__version__ in VERSIONS else None
    if built_in is not None:
        try:
            return _resolved(f"[{built_in}, {own[1:]}")
        except PrqlFailure:
            pass  # what is wrong is said over prqlc's own declarations, whose names it suggests
    return _resolved(own)


def _resolved(statements: str) -> str:
    return _RESOLVED(f'{{"name": "Project", "stmts": {statements}}}')


def to_sql(query: Doc) -> str:
    """The SQL of a resolved query. Raises `PrqlFailure`."""
    sql = _WRITTEN(json.dumps(query))
    if CONSTANT_ORDER not in sql:
        return sql
    from heddle.frontend.prql.plain_sql import without_constant_order

    return without_constant_order(sql)


def _call(function: Callable[[], str]) -> str:
    try:
        return function()
    except ValueError as error:
        raise PrqlFailure(_errors_of(str(error))) from error
    except BaseException as error:
        from heddle.core.panics import is_panic

        if not is_panic(error):
            raise
        raise PrqlFailure((PrqlError("panic", (), None, 0, 0),)) from error


def _remembered(function: Callable[[str], str]) -> Callable[[str], str]:
    """A function of prqlc with its last answers: a program that is edited keeps most of its queries.
    Raises `PrqlFailure`."""
    known = lru_cache(ANSWERS_MAX)(lambda text: _call(lambda: function(text)))

    def answer(text: str) -> str:
        return known(text) if len(text) <= ANSWER_CHARACTERS_MAX else _call(lambda: function(text))

    return answer


_PARSED: Final = _remembered(prqlc.prql_to_pl)
_RESOLVED: Final = _remembered(prqlc.pl_to_rq)
_WRITTEN: Final = _remembered(lambda query: prqlc.rq_to_sql(query, _TARGET))


def _errors_of(text: str) -> tuple[PrqlError, ...]:
    try:
        inner = json.loads(text)["inner"]
    except (ValueError, KeyError, TypeError):
        return (PrqlError(text, (), None, 0, 0),)
    return tuple(_error_of(e) for e in inner if e["kind"] == "Error") or (PrqlError(text, (), None, 0, 0),)


def _error_of(error: Doc) -> PrqlError:
    span = _SPAN.fullmatch(error["span"] or "")
    source, start, end = (int(g) for g in span.groups()) if span else (None, 0, 0)
    return PrqlError(error["reason"], tuple(error["hints"]), source, start, end)


def span_of(node: Doc) -> tuple[int, int, int] | None:
    """(source, start, end) of a node."""
    span = _SPAN.fullmatch(node.get("span") or "")
    return (int(span[1]), int(span[2]), int(span[3])) if span else None
