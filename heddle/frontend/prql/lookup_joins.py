"""Joins of lookups, on the syntax tree: which column of the rows before gives each of a lookup's values, and
the condition that a row of the lookup belongs to them.

    join customer (==id)   ->   join customer (input.id == that.id && input.id == that._heddle_key_id)

The column `_heddle_key_…` of a lookup's rows holds the value that each was found for, so that the answer is
right whatever the service's statement compares with it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Final, TypeAlias

from heddle.core.record import record
from heddle.frontend.prql.edited import spelled, unspelled
from heddle.frontend.prql.native import Doc
from heddle.frontend.prql.request import LookupRequest, LookupValue

Columns: TypeAlias = "tuple[str, ...] | None"

SIDES: Final = ("inner", "left")


@record(slots=True, eq=False)
class LookupJoins:
    """`bound` are the values that columns give, by the lookup's relation key; `problems` are (join, message,
    help) of joins that cannot be."""

    lookups: Mapping[str, LookupRequest]
    bound: dict[str, tuple[LookupValue, ...]] = field(default_factory=dict)
    problems: list[tuple[Doc, str, str]] = field(default_factory=list)

    def bind(self, join: Doc, name: str, side: str, left: Callable[[], Columns], right: Columns) -> None:
        """Add to the join of `name` that its rows belong to the values of the row before it. `left` gives the
        columns before the join, `right` those of the relation, None while they are not all known."""
        relation, condition = join["FuncCall"]["args"]
        path = relation.get("Ident", ())
        lookup = self.lookups.get(path[0]) if len(path) == 1 else None
        if lookup is None:
            return
        if path[0] in self.bound:
            self._refuse(
                join,
                f"`{lookup.callee}` is looked up twice in this query",
                f"declare it under a second name, and join that: `step other = {lookup.callee}`",
            )
            return
        pairs = dict(_pairs(condition, {name, "that"}, right))
        found: list[LookupValue] = []
        for value in lookup.values:
            column = _column(value, pairs, left, single=len(lookup.values) == 1)
            if column is not None:
                found.append(value)
                condition = _and(condition, column, spelled(value.column))
            elif value.needed:
                self._refuse(
                    join,
                    f"`{lookup.callee}` needs a column `{value.name}`, and the rows that it is joined to "
                    "have none",
                    f"derive it before the join, or compare with it: `join {unspelled(name)} "
                    f"(input.… == {unspelled(name)}.{value.name})`",
                )
        self.bound[path[0]] = tuple(found)
        if found and side not in SIDES:
            self._refuse(
                join,
                f"`{lookup.callee}` is looked up for the rows that it is joined to, so a join of side:{side} "
                "cannot ask for its other rows",
                "join it with side:inner or side:left, or take the parameters out of its statement",
            )
        join["FuncCall"]["args"][1] = condition

    def _refuse(self, join: Doc, message: str, help: str) -> None:
        self.problems.append((join, message, help))


def _column(
    value: LookupValue, pairs: Mapping[str, Doc], left: Callable[[], Columns], *, single: bool
) -> Doc | None:
    """A reference to the column that gives the value, None when there is none."""
    name = spelled(value.name)
    for reference in pairs.values():
        if reference["Ident"][-1] == name:
            return reference
    known = left()
    own: Doc = {"Ident": ["this", name], "span": None}
    if known is not None and name in known:
        return own
    for selected in (*map(spelled, value.selected), name):
        if selected in pairs:
            return pairs[selected]
    if single and len(pairs) == 1:
        return next(iter(pairs.values()))
    return own if known is None and not value.declared else None


def _pairs(condition: Doc, own: set[str], right: Columns) -> Iterator[tuple[str, Doc]]:
    """The columns of the joined relation that must be equal to one before it, each with that."""
    binary = condition.get("Binary")
    if binary is None:
        return
    if binary["op"] == "And":
        yield from _pairs(binary["left"], own, right)
        yield from _pairs(binary["right"], own, right)
    if binary["op"] != "Eq" or "Ident" not in binary["left"] or "Ident" not in binary["right"]:
        return
    first, second = binary["left"], binary["right"]
    if _is_own(first, own) or (not _is_own(second, own) and not _may_be_in(right, second)):
        first, second = second, first
    yield second["Ident"][-1], first


def _is_own(reference: Doc, own: set[str]) -> bool:
    return len(reference["Ident"]) > 1 and reference["Ident"][0] in own


def _may_be_in(columns: Columns, reference: Doc) -> bool:
    """Whether an unqualified name can be one of the columns."""
    return len(reference["Ident"]) == 1 and (columns is None or reference["Ident"][0] in columns)


def _and(condition: Doc, column: Doc, own: str) -> Doc:
    """The condition, and that `own`, a column of the joined relation, is equal to `column`."""
    span = condition.get("span")
    that: Doc = {"Ident": ["that", own], "span": span}
    reference = {**copy.deepcopy(column), "span": span}
    equal = {"Binary": {"left": reference, "op": "Eq", "right": that}, "span": span}
    return {"Binary": {"left": condition, "op": "And", "right": equal}, "span": span}
