"""What a fragment reads of its inputs: columns, filters right above a scan, the first rows only, and which
rows its joins and sorts need.

DataFusion plans the fragment over tables without rows; what its optimizer brought down to a scan holds
for every row that the fragment reads. Plans are remembered, since several rules ask for the same one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import lru_cache
from typing import Final, TypeAlias

from datafusion import Expr
from datafusion import LogicalPlan as EnginePlan
from datafusion.expr import Filter, TableScan

from heddle.core.deep_stack import on_deep_stack
from heddle.core.planning import PlanFailure, planning, quoted
from heddle.core.record import record
from heddle.core.types import RowType
from heddle.logical.empty_tables import empty_tables
from heddle.logical.lineage import Match, Top, matches, nodes, tops
from heddle.logical.plan import Fragment, Op, OpId, Sink
from heddle.logical.predicates import Predicate, conjuncts, predicate_of
from heddle.logical.sql import fragment_sql

_SUBQUERY: Final = re.compile(r"^ *Subquery:", re.MULTILINE)
"""One that the optimizer has left within an expression: what it reads is no input of a node."""
PLANS_MAX: Final = 256
"""Fragments whose plans are remembered."""


@record(frozen=True, slots=True)
class Reads:
    """Of one relation. `predicates` hold for every row that counts, and so does that it has a partner in each
    of `matches`; of these rows `top` are enough. `first`: no more rows than these are read, in order;
    `columns` are None for all."""

    columns: tuple[str, ...] | None
    predicates: tuple[Predicate, ...]
    first: int | None
    matches: tuple[Match, ...] = ()
    top: Top | None = None


Inputs: TypeAlias = tuple[tuple[str, RowType], ...]


@record(frozen=True, slots=True)
class Planned:
    """A fragment over tables without rows: the engine's plan, and what it reads of the relations that stand
    in one place only."""

    plan: EnginePlan = field(compare=False)
    reads: Mapping[str, Reads]
    predicates: tuple[tuple[str, Predicate], ...]
    """Those right above scans, with the relation that is scanned."""
    filters: int
    """Filters that stand elsewhere."""


def reads_of(fragment: Fragment, ops: Mapping[OpId, Op]) -> Mapping[str, Reads] | None:
    """By relation, those that are read in one place only; None where there is no plan that tells them."""
    planned = planned_of(fragment, ops)
    return None if planned is None else planned.reads


def planned_of(fragment: Fragment, ops: Mapping[OpId, Op]) -> Planned | None:
    """None while the fragment cannot be planned, because it is late or an input's columns are not known, and
    where its plan does not tell all that is read."""
    rows: list[tuple[str, RowType]] = []
    for relation, op_id in fragment.inputs.items():
        op = ops[op_id]
        row = None if isinstance(op, Sink) else op.row
        if row is None or not row.complete:
            return None
        rows.append((relation, row))
    if fragment.late:
        return None
    return _planned(fragment_sql(fragment), fragment.columns, fragment.limit, tuple(rows))


@lru_cache(maxsize=PLANS_MAX)
def _planned(sql: str, columns: tuple[str, ...] | None, limit: int | None, inputs: Inputs) -> Planned | None:
    return on_deep_stack(lambda: _plan(sql, columns, limit, inputs))


def _plan(sql: str, columns: tuple[str, ...] | None, limit: int | None, inputs: Inputs) -> Planned | None:
    try:
        with empty_tables(inputs) as context, planning():
            frame = context.sql(sql)
            if columns is not None:
                frame = frame.select(*(quoted(name) for name in columns))
            if limit is not None:
                frame = frame.limit(limit)
            plan = frame.optimized_logical_plan()
    except PlanFailure:  # what runs the fragment tells why
        return None
    return None if _SUBQUERY.search(plan.display_indent()) else _read(plan, dict(inputs))


def _read(plan: EnginePlan, rows: Mapping[str, RowType]) -> Planned:
    partners: dict[str, list[Match]] = {}
    for match in matches(plan):
        partners.setdefault(match.relation, []).append(match)
    sorted_by = {top.relation: top for top in tops(plan)}
    found: dict[str, Reads] = {}
    places: Counter[str] = Counter()
    everywhere: list[tuple[str, Predicate]] = []
    filters = sum(isinstance(node.to_variant(), Filter) for node in nodes(plan))
    for scan, above in _scans(plan):
        relation = scan.table_name()
        filters -= above is not None
        if relation not in rows:  # what a query reads again and again of itself
            continue
        places[relation] += 1
        parts = [*scan.filters(), *([above.predicate()] if above is not None else ())]
        predicates = tuple(predicate_of(p, rows[relation]) for e in parts for p in conjuncts(Expr(e)))
        everywhere += ((relation, predicate) for predicate in predicates)
        found[relation] = Reads(
            None if scan.projection() is None else tuple(name for _, name in scan.projection()),
            predicates,
            None if predicates else scan.fetch(),
            tuple(partners.get(relation, ())),
            sorted_by.get(relation),
        )
    once = {relation: reads for relation, reads in found.items() if places[relation] == 1}
    return Planned(plan, once, tuple(everywhere), filters)


def _scans(plan: EnginePlan) -> Iterator[tuple[TableScan, Filter | None]]:
    """The scans, each with the filter right above it."""
    stack: list[tuple[EnginePlan, Filter | None]] = [(plan, None)]
    while stack:
        current, above = stack.pop()
        variant = current.to_variant()
        if isinstance(variant, TableScan):
            yield variant, above
        filtering = variant if isinstance(variant, Filter) else None
        stack.extend((below, filtering) for below in current.inputs())
