"""Lookups: a bound step in a join whose statement has free parameters takes their values from the rows that
it is joined to (language.md section 7).

The condition of the join and the statement's SQL are searched by words, not parsed: what is not found here
is a workflow parameter, and a run asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from heddle.core.statements import parameter_names
from heddle.core.types import RowType
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.checker.calls import ResolvedCall

BEFORE_MAX = 200
"""Characters before a name that are searched for its `join`."""

_JOIN = r"\bjoin\s+(?:side\s*:\s*\w+\s+)?(?:(?P<alias>\w+)\s*=\s*)?$"
_SIDE = r"\s*(?:side\s*:\s*\w+)?\s*"
_COLUMN = r"`?[A-Za-z_]\w*`?(?:\.`?\w+`?)*"
_EQUAL = rf"(?P<left>{_COLUMN})?\s*(?<![<>!=~])==?(?![=~])\s*(?P<right>{_COLUMN})"
_AS = r"(?P<column>[\w.\"`]+)\s+AS\s+[\"`]?(?P<name>\w+)"


def statements_of(call: ResolvedCall) -> Iterator[tuple[str, str]]:
    """The settings of a call that are statements, with their texts."""
    for setting in call.signature.config:
        value = call.settings.values.get(setting.name)
        if setting.type.kind == "statement" and isinstance(value, str):
            yield setting.name, value


def free_parameters(call: ResolvedCall) -> tuple[str, ...]:
    return tuple(name for _, text in statements_of(call) for name in parameter_names(text))


def join_keys(query: ast.Query, name: Span) -> tuple[tuple[str, str], ...] | None:
    """The pairs of columns that a join compares, the joined relation's second; None where the name does
    not stand in a join."""
    start, end = name.start - query.body.start, name.end - query.body.start
    found = re.compile(_JOIN).search(query.text, max(0, start - BEFORE_MAX), start)
    if found is None:
        return None
    own = {query.text[start:end], found["alias"], "that"}
    condition = _condition(query.text, end)
    return tuple(_key_pair(equal["left"], equal["right"], own) for equal in re.finditer(_EQUAL, condition))


def lookup_column(
    name: str, keys: tuple[tuple[str, str], ...], statement: str, single: bool, probe: Iterable[RowType]
) -> str | None:
    """The column of the probe side that gives `@name` its values, if one does.

    `single`: the statement has no other parameter. An open row that is probed has any column.
    """
    rows = tuple(probe)
    if any(row.column(name) is not None for row in rows):
        return name
    by_key = {key: column for column, key in keys}
    for selected in _selected_as(name, statement):
        if selected in by_key:
            return by_key[selected]
    if name in by_key:
        return by_key[name]
    if single and len(keys) == 1:
        return keys[0][0]
    return name if any(row.open for row in rows) else None


def _condition(text: str, at: int) -> str:
    """What stands in the parentheses after `at`, else the rest of the transform."""
    skipped = re.compile(_SIDE).match(text, at)
    start = skipped.end() if skipped is not None else at
    if not text.startswith("(", start):
        return re.split(r"[|\n]", text[start:], maxsplit=1)[0]
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return text[start + 1 : i]
    return text[start:]


def _key_pair(left: str | None, right: str, own: set[str | None]) -> tuple[str, str]:
    if left is None:
        return _last(right), _last(right)
    if left.rpartition(".")[0] in own:
        return _last(right), _last(left)
    return _last(left), _last(right)


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
