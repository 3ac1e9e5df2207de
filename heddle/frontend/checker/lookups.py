"""Lookups: a bound step in a join that is called with values of the rows that it is joined to (language.md
section 7). A statement's values are its parameters, those of any other step the columns that it takes.

The statement's SQL is searched by words, not parsed: a value that no column is found for is a parameter of
the workflow, and a run asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

import pyarrow as pa

from heddle.core.statements import parameter_names
from heddle.core.types import Column, RowType
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.checker.calls import ResolvedCall
from heddle.frontend.checker.drafts import Lookup
from heddle.frontend.prql.request import LookupRequest, LookupValue
from heddle.frontend.prql.tree import HIDDEN
from heddle.frontend.typed import LookupUse

BEFORE_MAX = 200
"""Characters before a name that are searched for its `join`."""

_JOIN = r"\bjoin\s+(?:side\s*:\s*\w+\s+)?(?:\w+\s*=\s*)?$"
_AS = r"(?P<column>[\w.\"`]+)\s+AS\s+[\"`]?(?P<name>\w+)"


def statements_of(call: ResolvedCall) -> Iterator[tuple[str, str]]:
    """The settings of a call that are statements, with their texts."""
    for setting in call.signature.config:
        value = call.settings.values.get(setting.name)
        if setting.type.kind == "statement" and isinstance(value, str):
            yield setting.name, value


def free_parameters(call: ResolvedCall) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for _, text in statements_of(call) for n in parameter_names(text)))


def is_joined(query: ast.Query, name: Span) -> bool:
    """Whether a name in a query is what a `join` joins."""
    start = name.start - query.body.start
    return re.compile(_JOIN).search(query.text, max(0, start - BEFORE_MAX), start) is not None


def request_of(call: ResolvedCall, declared: Container[str]) -> LookupRequest:
    """What a lookup is called with; `declared` are the parameters of workflows."""
    if call.signature.input_mode == "required":
        return LookupRequest(call.callee, tuple(_of_input(call)))
    return LookupRequest(
        call.callee,
        tuple(
            LookupValue(name, hidden(name), tuple(_selected_as(name, text)), name in declared)
            for _, text in statements_of(call)
            for name in parameter_names(text)
        ),
    )


def hidden(value: str) -> str:
    """The column that holds the value for which a row was found."""
    return f"{HIDDEN}key_{value}"


def with_hidden(row: RowType, request: LookupRequest) -> RowType:
    """A lookup's row as queries are compiled with it; the types of values come from where they are taken."""
    own = [v.column for v in request.values if v.column.startswith(HIDDEN)]
    return row.with_columns(Column(name, pa.null()) for name in own)


def use_of(call: ResolvedCall, lookup: Lookup) -> LookupUse:
    """How a lookup that is bound to its columns is called."""
    named = {v.name: v.column for v in lookup.request.values} if lookup.request is not None else {}
    holders = {name: named[name] for name in lookup.values} if lookup.joined else {}
    numbered = call.signature.input_mode != "required"
    return LookupUse(dict(lookup.values), holders, lookup.row, lookup.joined, numbered, dict(lookup.compared))


def unreturned(call: ResolvedCall, row: RowType) -> tuple[str, ...]:
    """Columns that a step takes and that tell its rows apart, but are not among them."""
    if call.signature.rows == "map":
        return ()
    return tuple(c.name for c in call.signature.input if row.column(c.name) is None)


def _of_input(call: ResolvedCall) -> Iterator[LookupValue]:
    """Row i of a `map` step belongs to row i of its input; the rows of others hold the columns themselves."""
    for column in call.signature.input:
        own = column.name if call.signature.rows != "map" else hidden(column.name)
        yield LookupValue(column.name, own, needed=True)


def _selected_as(name: str, statement: str) -> Iterator[str]:
    """The names under which a statement selects the column that it compares with `@name`."""
    compared = re.search(
        rf"(?P<a>[\w.\"`]+)\s*(?:=\s*(?:ANY\s*\()?|IN\s*\()\s*@{name}\b|@{name}\s*=\s*(?P<b>[\w.\"`]+)",
        statement,
        re.IGNORECASE,
    )
    if compared is None:
        return
    column = _last(compared["a"] or compared["b"]).lower()
    for selected in re.finditer(_AS, statement, re.IGNORECASE):
        if _last(selected["column"]).lower() == column:
            yield selected["name"]
    yield column


def _last(name: str) -> str:
    return name.rpartition(".")[2].strip('`"')
