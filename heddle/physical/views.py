"""Texts that travel past steps as views.

DataFusion reads, compares and groups texts fastest as views; the plain arrays that steps and files expect
cost a copy of each. Where texts of a Parquet file only travel past steps, from one of its fragments to
another, they stay views: the rows of the operators on the way promise them, and those keep what is promised.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Final

import pyarrow as pa

from heddle.core.types import RowType
from heddle.logical.motion import is_handled, streams_to_one, unchanged_columns
from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Scan, Step
from heddle.logical.sql import fragment_sql

RULE: Final = "keep_views"
VIEW: Final = pa.string_view()
_CONDITIONS: Final = (" WHERE ", " HAVING ", " QUALIFY ", " JOIN ")


def keep_views(plan: LogicalPlan, noted: Container[OpId] | None) -> LogicalPlan:
    """The plan, whose engines are chosen, with views in the rows between two fragments. The rows of `noted`
    operators are kept for other runs, which may need them plain."""
    ops: dict[OpId, Op] = dict(plan.ops)
    notes: list[Note] = []
    readers = plan.readers()
    for reader in plan.ops.values():
        if not isinstance(reader, Fragment) or not _takes_views(reader):
            continue
        names, way = _way(next(iter(reader.inputs.values())), plan, readers, noted or ())
        for op in way if names else ():
            assert op.row is not None, "only rows with texts are on the way"
            ops[op.id] = replace(op, row=_with_views(op.row, names))
        if names:
            told = f"not copied on the way past steps: {', '.join(sorted(names))}"
            notes.append(Note(RULE, way[-1].id, told))
    return replace(plan, ops=ops).noting(notes) if notes else plan


def _takes_views(fragment: Fragment) -> bool:
    """Whether no condition can go into the table that stands for the rows: Arrow's kernels, which would keep
    to it, do not compare views."""
    if fragment.engine != "datafusion" or len(fragment.inputs) != 1:
        return False
    sql = fragment_sql(fragment)
    return not any(word in sql for word in _CONDITIONS)


def _way(
    op_id: OpId, plan: LogicalPlan, readers: dict[OpId, list[OpId]], noted: Container[OpId]
) -> tuple[frozenset[str], list[Fragment | Step]]:
    """The texts that travel past all steps from `op_id` down to the next fragment, and these operators. No
    texts where there is no such way."""
    way: list[Fragment | Step] = []
    names: frozenset[str] | None = None
    op = plan.ops[op_id]
    while isinstance(op, Step) and op.id not in noted and _calls_beside(op, plan):
        assert op.input is not None and op.row is not None, "it has an input, and its row is known"
        below = plan.ops[op.input]
        if not isinstance(below, Fragment | Step) or below.row is None:
            break
        passing = _texts_past(op, below.row)
        names = passing if names is None else names & passing
        way.append(op)
        op = below
    alone = all(streams_to_one(each.id, plan, readers) for each in (*way, op))
    if names and alone and isinstance(op, Fragment) and _gives_views(op, plan.ops):
        return names, [*way, op]
    return frozenset(), []


def _calls_beside(step: Step, plan: LogicalPlan) -> bool:
    """Whether the columns that the step does not name wait beside its calls."""
    signature = step.call.signature
    closed = not signature.input.open and bool(signature.input.columns)
    known = step.input is not None and step.row is not None and step.row.complete
    alone = not step.members and step.lookup is None and not is_handled(step, plan)
    return signature.rows == "map" and closed and known and alone


def _texts_past(step: Step, given: RowType) -> frozenset[str]:
    assert step.row is not None, "it gives rows"
    texts = {column.name for column in step.row if column.type == pa.string()}
    named = {*step.call.signature.input.names, *step.absent}
    return (unchanged_columns(step, given) & texts) - named


def _gives_views(fragment: Fragment, ops: Mapping[OpId, Op]) -> bool:
    sources = [ops[i] for i in fragment.inputs.values()]
    parquet = any(isinstance(op, Scan) and op.step == "parquet" for op in sources)
    return fragment.engine == "datafusion" and parquet


def _with_views(row: RowType, names: frozenset[str]) -> RowType:
    columns = (replace(c, type=VIEW) if c.name in names else c for c in row.columns)
    return replace(row, columns=tuple(columns))
