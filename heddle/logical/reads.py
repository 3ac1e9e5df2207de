"""What a fragment reads of its inputs: columns, filters right above a scan, and the first rows only.

DataFusion plans the fragment over tables without rows; what its optimizer brought down to a scan holds
for every row that the fragment reads. Plans are remembered, since several rules ask for the same one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from datafusion import Expr
from datafusion import LogicalPlan as EnginePlan
from datafusion.expr import Filter, TableScan

from heddle.core.deep_stack import on_deep_stack
from heddle.core.record import record
from heddle.core.types import RowType
from heddle.logical.empty_tables import empty_tables
from heddle.logical.plan import Fragment, Op, OpId, Sink
from heddle.logical.predicates import Predicate, conjuncts, predicate_of
from heddle.logical.sql import fragment_sql, quoted

READS_MAX: Final = 256
"""Fragments whose reads are remembered."""


@record(frozen=True, slots=True)
class Reads:
    """Of one relation. `predicates` hold for every row that counts; `first`: no more rows than these are
    read, in order; `columns` are None for all."""

    columns: tuple[str, ...] | None
    predicates: tuple[Predicate, ...]
    first: int | None


Inputs: TypeAlias = tuple[tuple[str, RowType], ...]


def reads_of(fragment: Fragment, ops: Mapping[OpId, Op]) -> Mapping[str, Reads] | None:
    """By relation, those that are read in one place only; None while the fragment cannot be planned,
    because it is late or an input's columns are not known."""
    rows: list[tuple[str, RowType]] = []
    for relation, op_id in fragment.inputs.items():
        op = ops[op_id]
        row = None if isinstance(op, Sink) else op.row
        if row is None or not row.complete:
            return None
        rows.append((relation, row))
    if fragment.late:
        return None
    return _reads(fragment_sql(fragment), fragment.columns, fragment.limit, tuple(rows))


@lru_cache(maxsize=READS_MAX)
def _reads(
    sql: str, columns: tuple[str, ...] | None, limit: int | None, inputs: Inputs
) -> Mapping[str, Reads] | None:
    return on_deep_stack(lambda: _planned(sql, columns, limit, inputs))


def _planned(
    sql: str, columns: tuple[str, ...] | None, limit: int | None, inputs: Inputs
) -> Mapping[str, Reads] | None:
    try:
        with empty_tables(inputs) as context:
            frame = context.sql(sql)
            if columns is not None:
                frame = frame.select(*(quoted(name) for name in columns))
            if limit is not None:
                frame = frame.limit(limit)
            plan = frame.optimized_logical_plan()
    except Exception:  # DataFusion raises no narrower type; what runs the fragment tells why
        return None
    rows = dict(inputs)
    found: dict[str, Reads] = {}
    places: Counter[str] = Counter()
    for scan, above in _scans(plan):
        relation = scan.table_name()
        places[relation] += 1
        predicates = [*scan.filters(), *([above.predicate()] if above is not None else ())]
        found[relation] = Reads(
            None if scan.projection() is None else tuple(name for _, name in scan.projection()),
            tuple(
                predicate_of(part, rows[relation])
                for predicate in predicates
                for part in conjuncts(Expr(predicate))
            ),
            None if predicates else scan.fetch(),
        )
    return {relation: reads for relation, reads in found.items() if places[relation] == 1}


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
