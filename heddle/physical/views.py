"""Texts that travel past steps as views.

DataFusion reads, compares and groups texts fastest as views; the plain arrays that steps and files expect
cost a copy of each. Where texts of a Parquet file only travel past steps, from one of its fragments to
another, they stay views: the rows of the operators on the way promise them, and those keep what is promised.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa

from heddle.core.types import RowType
from heddle.logical.motion import is_handled, streams_to_one, unchanged_columns
from heddle.logical.plan import Fragment, LogicalPlan, Member, Note, Op, OpId, Scan, Step

RULE: Final = "keep_views"
VIEW: Final = pa.string_view()


def keep_views(plan: LogicalPlan, noted: Container[OpId] | None) -> LogicalPlan:
    """The plan, whose engines are chosen, with views in the rows between two fragments. The rows of `noted`
    operators are kept for other runs, which may need them plain."""
    ops: dict[OpId, Op] = dict(plan.ops)
    notes: list[Note] = []
    readers = plan.readers()
    for reader in plan.ops.values():
        if not isinstance(reader, Fragment) or reader.engine != "datafusion" or len(reader.inputs) != 1:
            continue
        names, way = _way(next(iter(reader.inputs.values())), plan, readers, noted or ())
        for op in way:
            ops[op.id] = _keeping(op, names)
        if names:
            told = f"not copied on the way past steps: {', '.join(sorted(names))}"
            notes.append(Note(RULE, way[-1].id, told))
    return replace(plan, ops=ops).noting(notes) if notes else plan


def _way(
    op_id: OpId, plan: LogicalPlan, readers: dict[OpId, list[OpId]], noted: Container[OpId]
) -> tuple[frozenset[str], list[Fragment | Step]]:
    """The texts that travel past all steps from `op_id` down to the next fragment, and these operators. No
    texts where there is no such way."""
    way: list[Fragment | Step] = []
    names: frozenset[str] | None = None
    op = plan.ops[op_id]
    while isinstance(op, Step) and op.id not in noted and all(_calls_beside(s, plan) for s in op.steps):
        assert op.input is not None, "it has an input"
        below = plan.ops[op.input]
        if not isinstance(below, Fragment | Step) or below.row is None:
            break
        passing = _texts_past(op.steps, below.row)
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
    plain = step.lookup is None and not is_handled(step, plan)
    return signature.rows == "map" and closed and known and plain


def _texts_past(steps: Sequence[Step], given: RowType) -> frozenset[str]:
    """The texts that are in the rows before the steps and, unread, in those behind them."""
    names = frozenset(column.name for column in given if column.type == pa.string())
    for step in steps:
        assert step.row is not None, "it gives rows"
        names = (names & unchanged_columns(step, given)) - {*step.call.signature.input.names, *step.absent}
        given = step.row
    return names


def _gives_views(fragment: Fragment, ops: Mapping[OpId, Op]) -> bool:
    sources = [ops[i] for i in fragment.inputs.values()]
    parquet = any(isinstance(op, Scan) and op.step == "parquet" for op in sources)
    return fragment.engine == "datafusion" and parquet


def _keeping(op: Fragment | Step, names: frozenset[str]) -> Fragment | Step:
    assert op.row is not None, "it gives rows"
    row = replace(op.row, columns=tuple(replace(c, type=VIEW) if c.name in names else c for c in op.row))
    if isinstance(op, Fragment) or not op.members:
        return replace(op, row=row)
    return replace(op, row=row, members=tuple(_member_keeping(member, names) for member in op.members))


def _member_keeping(member: Member, names: frozenset[str]) -> Member:
    gives = [f.with_type(VIEW) if f.name in names else f for f in member.link.gives]
    step = _keeping(member.step, names)
    assert isinstance(step, Step)
    return replace(member, step=step, link=replace(member.link, gives=pa.schema(gives)))
