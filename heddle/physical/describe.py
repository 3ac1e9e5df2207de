"""Explain's side of execution: each fragment is planned on its engine, and its scans are read back.

Its inputs are without rows, but for files, whose schemas and statistics its engine reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from datafusion import DataFrame
from datafusion import LogicalPlan as EnginePlan
from datafusion.expr import Expr, TableScan

from heddle.core.deep_stack import deep_thread
from heddle.core.private_folder import scratch_folder
from heddle.core.types import RowType
from heddle.logical.explain import Explanation, FragmentPlans, Pushed, explain_plan
from heddle.logical.plan import Fragment, LogicalPlan, OpId, Scan, Sink, Step, Values
from heddle.logical.sql import fragment_sql
from heddle.physical.cancel import CancelToken
from heddle.physical.channel import Channel
from heddle.physical.engine_errors import EngineError, engine_errors
from heddle.physical.environment import ConfigResolver
from heddle.physical.frames import Frame
from heddle.physical.inputs import FileBinding, values_table
from heddle.physical.session import Binding, Session, StreamBinding
from heddle.physical.tasks import cut

if TYPE_CHECKING:
    from heddle.physical.duck import DuckSession

EXPLAIN_POOL_BYTES: Final = 64 << 20


def explain(
    plan: LogicalPlan, base: Path, temporary: Path, resolver: ConfigResolver, cores: int
) -> Explanation:
    """The plan with what each fragment's engine makes of it."""
    cut_plan = cut(plan).logical
    plans: dict[OpId, FragmentPlans] = {}
    with (
        scratch_folder(f"explain-{os.getpid()}-{id(plan):x}", temporary) as scratch,
        closing(_Planners(scratch, base, cores)) as planners,
    ):

        def plan_all() -> None:
            for op in cut_plan.in_order():
                if isinstance(op, Fragment):
                    plans[op.id] = planners.plans(op, cut_plan, resolver)

        deep_thread(plan_all, "heddle-explain").join()
    return explain_plan(cut_plan, plans)


class _Planners:
    """The engines that plan, each opened for the first fragment that it runs."""

    def __init__(self, scratch: Path, base: Path, cores: int) -> None:
        self._scratch = scratch
        self._base = base
        self._cores = cores
        self._datafusion = Session(scratch, base, EXPLAIN_POOL_BYTES, cores)
        self._duckdb: DuckSession | None = None

    def close(self) -> None:
        if self._duckdb is not None:
            self._duckdb.close()

    def plans(self, fragment: Fragment, plan: LogicalPlan, resolver: ConfigResolver) -> FragmentPlans:
        bindings: dict[str, Binding] = {}
        for relation, op_id in fragment.inputs.items():
            binding = _binding(op_id, plan, resolver)
            if binding is None:
                return FragmentPlans("", "", "", (), late=True)
            bindings[relation] = binding
        paths = {relation: plan.ops[i].path for relation, i in fragment.inputs.items()}
        try:
            with engine_errors():
                if fragment.engine == "duckdb":
                    return self._on_duckdb(fragment, bindings, paths, plan)
                frame = self._datafusion.logical(fragment, bindings)
                return _describe(fragment_sql(fragment), frame, paths)
        except EngineError as error:
            return FragmentPlans("", f"cannot be planned: {error}", "", (), late=False)

    def _on_duckdb(
        self,
        fragment: Fragment,
        bindings: Mapping[str, Binding],
        paths: Mapping[str, str],
        plan: LogicalPlan,
    ) -> FragmentPlans:
        from heddle.physical.duck import DuckSession
        from heddle.physical.duck_describe import DuckInput, describe_on_duckdb
        from heddle.std.readers import plain_parquet

        if self._duckdb is None:
            self._duckdb = DuckSession(self._scratch, EXPLAIN_POOL_BYTES, self._cores)
        inputs: dict[str, DuckInput] = {}
        for relation, binding in bindings.items():
            op = plan.ops[fragment.inputs[relation]]
            files = None
            if isinstance(binding, FileBinding):
                files = plain_parquet(binding.step, binding.config, self._base)
            row = None if isinstance(op, Sink) else op.row
            assert row is not None, "only tables are read"
            inputs[relation] = DuckInput(paths[relation], files, row.arrow())
        return describe_on_duckdb(fragment, inputs, self._duckdb)


def _describe(sql: str, frame: DataFrame, paths: Mapping[str, str]) -> FragmentPlans:
    optimized = frame.optimized_logical_plan()
    pushed: list[tuple[str, Pushed]] = []
    for scan in _scans(optimized):
        columns = tuple(name for _, name in scan.projection()) if scan.projection() is not None else None
        filters = tuple(_text(f) for f in scan.filters())
        pushed.append((paths[scan.table_name()], Pushed(columns, filters)))
    physical = frame.execution_plan().display_indent()
    return FragmentPlans(sql, optimized.display_indent(), physical, tuple(pushed), late=False)


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
