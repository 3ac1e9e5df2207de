"""Explain's side of execution: each fragment is planned over empty inputs, and its scans are read back."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from datafusion import DataFrame
from datafusion import LogicalPlan as EnginePlan
from datafusion.expr import Expr, TableScan

from heddle.core.deep_stack import deep_thread
from heddle.core.types import RowType
from heddle.logical.explain import Explanation, FragmentPlans, Pushed, explain_plan
from heddle.logical.plan import Fragment, LogicalPlan, OpId, Scan, Sink, Step, Values
from heddle.physical.cancel import CancelToken
from heddle.physical.channel import Channel
from heddle.physical.engine_errors import EngineError, engine_errors
from heddle.physical.environment import ConfigResolver
from heddle.physical.frames import Frame
from heddle.physical.scratch import scratch_folder
from heddle.physical.session import Binding, FileBinding, Session, StreamBinding
from heddle.physical.tasks import cut
from heddle.physical.values import values_table

EXPLAIN_POOL_BYTES: Final = 64 << 20


def explain(
    plan: LogicalPlan, base: Path, temporary: Path, resolver: ConfigResolver, cores: int
) -> Explanation:
    """The plan with what DataFusion makes of each fragment."""
    cut_plan = cut(plan).logical
    plans: dict[OpId, FragmentPlans] = {}
    with scratch_folder(f"explain-{os.getpid()}-{id(plan):x}", temporary) as scratch:
        session = Session(scratch, base, EXPLAIN_POOL_BYTES, cores)

        def plan_all() -> None:
            for op in cut_plan.in_order():
                if isinstance(op, Fragment):
                    plans[op.id] = _plans(op, cut_plan, session, resolver)

        deep_thread(plan_all, "heddle-explain").join()
    return explain_plan(cut_plan, plans)


def _plans(
    fragment: Fragment, plan: LogicalPlan, session: Session, resolver: ConfigResolver
) -> FragmentPlans:
    bindings: dict[str, Binding] = {}
    for relation, op_id in fragment.inputs.items():
        binding = _binding(op_id, plan, resolver)
        if binding is None:
            return FragmentPlans("", "", {}, late=True)
        bindings[relation] = binding
    try:
        with engine_errors():
            frame = session.logical(fragment, bindings)
            return _describe(frame, {relation: plan.ops[i].path for relation, i in fragment.inputs.items()})
    except EngineError as error:
        return FragmentPlans(f"cannot be planned: {error}", "", {}, late=False)


def _describe(frame: DataFrame, paths: Mapping[str, str]) -> FragmentPlans:
    optimized = frame.optimized_logical_plan()
    pushed: dict[str, Pushed] = {}
    for scan in _scans(optimized):
        columns = tuple(name for _, name in scan.projection()) if scan.projection() is not None else None
        filters = tuple(_text(f) for f in scan.filters())
        pushed[paths[scan.table_name()]] = Pushed(columns, filters)
    physical = frame.execution_plan().display_indent()
    return FragmentPlans(optimized.display_indent(), physical, pushed, late=False)


def _binding(op_id: OpId, plan: LogicalPlan, resolver: ConfigResolver) -> Binding | None:
    """What a relation would be in a run, without rows; None while its columns are unknown."""
    op = plan.ops[op_id]
    match op:
        case Scan():
            return FileBinding(op.step, resolver.config(op), op.row.names)
        case Values():
            table = values_table(op)
            return Frame(
                table.schema,
                tuple(table.to_batches()),
                table.num_rows,
                table.nbytes,
                0,
                None,
            )
        case Sink():
            raise AssertionError("nothing reads a sink")
        case _:
            return _empty(
                op.row,
                streams=isinstance(op, Step | Fragment) and op_id not in plan.spooled,
            )


def _empty(row: RowType | None, *, streams: bool) -> Binding | None:
    if row is None or not row.complete:
        return None
    schema = row.arrow()
    return (
        StreamBinding(schema, Channel(CancelToken(), bytes_max=0))
        if streams
        else Frame(schema, (), 0, 0, 0, None)
    )


def _scans(plan: EnginePlan) -> Iterator[TableScan]:
    stack = [plan]
    while stack:
        current = stack.pop()
        variant = current.to_variant()
        if isinstance(variant, TableScan):
            yield variant
        stack.extend(current.inputs())


def _text(expression: Expr) -> str:
    return re.sub(r"\b\w+\.(?=[A-Za-z_\"])", "", expression.canonical_name())
