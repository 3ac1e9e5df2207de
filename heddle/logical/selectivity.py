"""How many rows an operator gives, and which part of a join's rows has a partner: estimates, from what files
say of themselves, and from rules of thumb where they say nothing.

The keys of a table are taken to be spread evenly between the smallest and the largest, predicates to be
independent of each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from heddle.core.record import record
from heddle.logical.estimates import Estimates
from heddle.logical.lineage import origin
from heddle.logical.motion import unchanged_columns
from heddle.logical.plan import Fragment, Op, OpId, Scan, Sink, Step, Values
from heddle.logical.predicates import Predicate
from heddle.logical.reads import planned_of

EQUAL_SHARE: Final = 0.1
RANGE_SHARE: Final = 1 / 3
OTHER_SHARE: Final = 1 / 3
"""Parts of the rows for which a predicate holds, where nothing is known."""
SMALL_SHARE: Final = 0.5
"""The part of the rows that has a partner in a table of which only is known that it is much smaller."""
SMALL_RATIO: Final = 10
QUERIES_MAX: Final = 24
"""Queries that are looked at together."""

_LIMIT: Final = r"(?i)\bLIMIT\s+(\d+)\s*$"
_NUMBER: Final = r"(?:U?Int|Float)\d+\((-?[\d.]+(?:e[+-]?\d+)?)\)"
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}

Bounds: TypeAlias = tuple[float, float]


@record(frozen=True, slots=True)
class Source:
    """The table that the values of a column come from. `rows` None: as many as nobody knows."""

    rows: float | None
    bounds: Bounds | None


@record(frozen=True, slots=True)
class Size:
    """`share`: the part that is left of the rows of the table that they come from."""

    rows: float | None
    share: float


class Selectivity:
    """Asks about the operators of one plan."""

    def __init__(self, ops: Mapping[OpId, Op], estimates: Estimates) -> None:
        self._ops = ops
        self._estimates = estimates

    def with_partner(self, op_id: OpId, column: str, partner: OpId, key: str, share: float) -> float:
        """The part of an operator's rows whose `column` is among the values of `key` in `partner`, of whose
        rows the join itself leaves `share`."""
        mine, other = self._source(op_id, column), self._source(partner, key)
        size = self.size(partner)
        left = size.share * share
        if mine is None or other is None or mine.bounds is None or other.bounds is None:
            rows = self.size(op_id).rows
            small = size.rows is not None and rows is not None and size.rows * SMALL_RATIO <= rows
            return left if left < 1 or not small else SMALL_SHARE
        keys_max = other.bounds[1] - other.bounds[0] + 1
        density = left if other.rows is None else min(1.0, other.rows * left / keys_max)
        overlap = min(mine.bounds[1], other.bounds[1]) - max(mine.bounds[0], other.bounds[0]) + 1
        return density * max(0.0, overlap) / (mine.bounds[1] - mine.bounds[0] + 1)

    def size(self, op_id: OpId) -> Size:
        op = self._ops[op_id]
        match op:
            case Scan():
                return Size(self._estimates.rows(op), 1.0)
            case Values(rows=rows):
                return Size(len(rows), 1.0)
            case Step(input=int(input_id)) if op.call.signature.rows == "map":
                return self.size(input_id)
            case Fragment():
                return self._of_fragment(op)
            case _:
                return Size(None, 1.0)

    def share(self, predicates: tuple[Predicate, ...], source: Op) -> float:
        """The part of the source's rows for which all predicates hold."""
        share = 1.0
        for predicate in predicates:
            share *= self._share(predicate, source)
        return share

    def _of_fragment(self, fragment: Fragment) -> Size:
        whole = self._whole(fragment)
        planned = planned_of(whole, self._ops)
        if planned is None:
            return Size(None, 1.0)
        share = OTHER_SHARE**planned.filters
        for relation, predicate in planned.predicates:
            share *= self._share(predicate, self._ops[whole.inputs[relation]])
        sources = [self.size(i) for i in whole.inputs.values()]
        known = [source.rows for source in sources if source.rows is not None]
        rows = max(known) * share if len(known) == len(sources) and known else None
        limit = re.search(_LIMIT, whole.result.sql)
        if limit is not None:
            first = float(limit[1])
            share = share * min(1.0, first / rows) if rows else share
            rows = first if rows is None else min(rows, first)
        return Size(rows, share)

    def _source(self, op_id: OpId, column: str) -> Source | None:
        op = self._ops[op_id]
        match op:
            case Scan():
                return Source(self._estimates.rows(op), self._estimates.bounds(op, column))
            case Values(rows=rows):
                numbers = [v for row in rows if isinstance(v := row.get(column), int | float)]
                return Source(len(rows), (min(numbers), max(numbers)) if numbers else None)
            case Step(input=int(input_id)):
                below = self._ops[input_id]
                row = None if isinstance(below, Sink) else below.row
                passed = row is not None and column in unchanged_columns(op, row)
                return self._source(input_id, column) if passed else None
            case Fragment():
                whole = self._whole(op)
                planned = planned_of(whole, self._ops)
                found = None if planned is None else origin(planned.plan, column)
                return None if found is None else self._source(whole.inputs[found[0]], found[1])
            case _:
                return None

    def _whole(self, fragment: Fragment) -> Fragment:
        """The fragment with all that it reads and that is a fragment too, up to a number of queries."""
        queries = {query.relation: query for query in fragment.queries}
        inputs: dict[str, OpId] = {}
        waiting = list(fragment.inputs.items())
        while waiting:
            relation, op_id = waiting.pop()
            op = self._ops[op_id]
            taken = isinstance(op, Fragment) and op.limit is None and op.columns is None
            if isinstance(op, Fragment) and taken and len(queries) < QUERIES_MAX:
                queries = {query.relation: query for query in op.queries} | queries
                waiting += op.inputs.items()
            else:
                inputs[relation] = op_id
        for relation in inputs:
            queries.pop(relation, None)
        return replace(fragment, queries=tuple(queries.values()), inputs=inputs, trap=None)

    def _share(self, predicate: Predicate, source: Op) -> float:
        expression = predicate.expression
        if expression.variant_name() == "IsNotNull":
            return 1.0
        if expression.variant_name() != "BinaryExpr":
            return OTHER_SHARE
        left, right = expression.rex_call_operands()
        operator = str(expression.rex_call_operator())
        if left.variant_name() == "Literal":
            left, right, operator = right, left, _FLIPPED.get(operator, operator)
        if left.variant_name() != "Column" or right.variant_name() != "Literal":
            return OTHER_SHARE
        number = re.fullmatch(_NUMBER, right.canonical_name())
        name = left.to_variant().name()
        bounds = self._estimates.bounds(source, name) if isinstance(source, Scan) else None
        return _share_of(operator, float(number[1]) if number is not None else None, bounds)


def _share_of(operator: str, number: float | None, bounds: Bounds | None) -> float:
    """The part of a column's values for which `column operator number` holds."""
    if number is None or bounds is None:
        rough = {"=": EQUAL_SHARE, "!=": 1 - EQUAL_SHARE}
        return rough.get(operator, RANGE_SHARE if operator in _FLIPPED else OTHER_SHARE)
    span = bounds[1] - bounds[0] + 1
    match operator:
        case "=":
            return 1 / span if bounds[0] <= number <= bounds[1] else 0.0
        case "!=":
            return 1 - 1 / span if bounds[0] <= number <= bounds[1] else 1.0
        case "<" | "<=":
            return min(1.0, max(0.0, (number - bounds[0] + (operator == "<=")) / span))
        case ">" | ">=":
            return min(1.0, max(0.0, (bounds[1] - number + (operator == ">=")) / span))
        case _:
            return OTHER_SHARE
