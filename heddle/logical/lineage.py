"""Where a column of a planned query comes from, and what joins and sorts mean for the tables that it reads.

The plans are DataFusion's, optimized. A name is followed from an operator down to a scan, as far as every
operator on the way keeps the promise that is asked for (`Way`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from datafusion import Expr
from datafusion import LogicalPlan as EnginePlan
from datafusion.expr import (
    Aggregate,
    Distinct,
    Filter,
    Join,
    Limit,
    Projection,
    Sort,
    SubqueryAlias,
    TableScan,
    Window,
)

from heddle.core.record import record

Way: TypeAlias = Literal["in place", "by value", "values"]
"""What holds from a scan up to an operator. "in place": nothing but columns changed, and rows were dropped
right above the scan only. "by value": without the rows of the scan that have some value, only the rows that
have it are missing. "values": no value is there that the scan does not have, but null."""

Name: TypeAlias = tuple[str | None, str]
"""A column's relation and its own name; the relation is None where only one column has the name."""

_GIVES_ONE_SIDE: Final = {"LeftSemi": 0, "LeftAnti": 0, "LeftMark": 0, "RightSemi": 1, "RightAnti": 1}
"""Joins that give the columns of one input, and its place."""
_DROPPED_WITHOUT_PARTNER: Final = {
    "Inner": (0, 1),
    "Left": (1,),
    "Right": (0,),
    "LeftSemi": (0, 1),
    "RightSemi": (0, 1),
    "LeftAnti": (1,),
    "RightAnti": (0,),
}
"""The inputs of which a row without a partner changes nothing."""
_KEEPS_BY_VALUE: Final = {
    **{"Inner": (0, 1), "Left": (0,), "Right": (1,)},
    **{"LeftSemi": (0,), "LeftAnti": (0,), "RightSemi": (1,), "RightAnti": (1,)},
}
"""The inputs of which a row is part of its own results only."""


@record(frozen=True, slots=True)
class Match:
    """A join: only rows of `relation` whose `columns` are in `partners`, columns of another, count."""

    relation: str
    columns: tuple[str, ...]
    partner: str
    partners: tuple[str, ...]


@record(frozen=True, slots=True)
class Top:
    """Of `relation` the first `count` rows by `keys` suffice. A key is a column and whether it descends."""

    relation: str
    keys: tuple[tuple[str, bool], ...]
    count: int


def matches(plan: EnginePlan) -> Iterator[Match]:
    for node in nodes(plan):
        join = node.to_variant()
        if not isinstance(join, Join) or join.null_equals_null():
            continue
        for side in _DROPPED_WITHOUT_PARTNER.get(str(join.join_type()), ()):
            yield from _of_side(node, join, side)


def tops(plan: EnginePlan) -> Iterator[Top]:
    for node in nodes(plan):
        sort = node.to_variant()
        if not isinstance(sort, Sort) or sort.get_fetch_val() is None:
            continue
        (below,) = node.inputs()
        found: list[tuple[str, str, bool]] = []
        for key in sort.sort_exprs():
            descends = not key.ascending()
            origin = _origin(below, _column(Expr(key.expr())), "in place")
            if origin is None or key.nulls_first() != descends:
                break
            found.append((*origin, descends))
        else:
            (relation,) = {relation for relation, _, _ in found} if found else (None,)
            if relation is not None:
                yield Top(relation, tuple((c, d) for _, c, d in found), sort.get_fetch_val())


def origin(plan: EnginePlan, column: str) -> tuple[str, str] | None:
    """The relation and the column that has all values of a column of the plan's result."""
    return _origin(plan, (None, column), "values")


def _of_side(node: EnginePlan, join: Join, side: int) -> Iterator[Match]:
    """What the keys of a join mean for one of its inputs, by the tables of the other."""
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for keys in join.on():
        mine = _origin(node.inputs()[side], _column(Expr(keys[side])), "by value")
        other = _origin(node.inputs()[1 - side], _column(Expr(keys[1 - side])), "values")
        if mine is not None and other is not None:
            pairs.setdefault((mine[0], other[0]), []).append((mine[1], other[1]))
    for (relation, partner), columns in pairs.items():
        yield Match(relation, tuple(m for m, _ in columns), partner, tuple(o for _, o in columns))


def _origin(plan: EnginePlan, name: Name | None, way: Way) -> tuple[str, str] | None:
    """The relation and the column that a name stands for."""
    if name is None:
        return None
    node = plan.to_variant()
    below = plan.inputs()
    match node:
        case TableScan():
            there = {column for _, column in node.projection() or ()}
            fits = name[0] in {None, node.table_name()} and (not there or name[1] in there)
            return (node.table_name(), name[1]) if fits else None
        case SubqueryAlias():
            return _origin(below[0], (None, name[1]), way) if name[0] in {None, node.alias()} else None
        case Projection():
            return _origin(below[0], _projected([Expr(e) for e in node.projections()], name), way)
        case Filter():
            direct = isinstance(below[0].to_variant(), TableScan)
            return _origin(below[0], name, way) if way != "in place" or direct else None
        case Sort() if way == "values" or (way == "by value" and node.get_fetch_val() is None):
            return _origin(below[0], name, way)
        case Limit() | Distinct() | Window() if way == "values":
            return _origin(below[0], name, way)
        case Aggregate() if way != "in place":
            return _origin(below[0], _projected([Expr(e) for e in node.group_by_exprs()], name), way)
        case Join() if way != "in place":
            return _through_join(node, below, name, way)
        case _:
            return None


def _through_join(join: Join, below: list[EnginePlan], name: Name, way: Way) -> tuple[str, str] | None:
    kind = str(join.join_type())
    sides = (_GIVES_ONE_SIDE[kind],) if kind in _GIVES_ONE_SIDE else (0, 1)
    found = [(side, origin) for side in sides if (origin := _origin(below[side], name, way)) is not None]
    if len(found) != 1:
        return None
    side, origin = found[0]
    return origin if way == "values" or side in _KEEPS_BY_VALUE.get(kind, ()) else None


def _projected(expressions: list[Expr], name: Name) -> Name | None:
    """The column below which a list of expressions gives under a name, unchanged."""
    found: list[Name | None] = []
    for expression in expressions:
        if expression.variant_name() == "Alias":
            alias = expression.to_variant()
            if alias.alias() == name[1]:
                found.append(_column(alias.expr()))
        elif (column := _column(expression)) is not None and name in {column, (None, column[1])}:
            found.append(column)
    return found[0] if len(found) == 1 else None


def _column(expression: Expr) -> Name | None:
    if expression.variant_name() != "Column":
        return None
    column = expression.to_variant()
    return column.relation(), column.name()


def nodes(plan: EnginePlan) -> Iterator[EnginePlan]:
    stack = [plan]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(current.inputs())
