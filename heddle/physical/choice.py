"""Which engine runs a fragment: the one place where it is chosen.

DuckDB joins, groups and sorts faster and within any memory budget; DataFusion is faster where rows only
stream through, into a step and out of one. A fragment goes to DuckDB when it reduces and all that it says
means the same there. Plain Parquet files DuckDB reads itself; other text files it is fed by DataFusion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from heddle.core.record import record
from heddle.core.types import RowType
from heddle.diagnostics import Span
from heddle.logical.plan import EngineChoice, Fragment, LogicalPlan, Note, Op, OpId, Scan, Sink
from heddle.logical.portable import why_not_portable
from heddle.logical.sql import fragment_sql, reading_places

RULE: Final = "choose_engine"


@record(frozen=True, slots=True)
class EngineRefusal:
    """A fragment that cannot run on the engine that was asked for."""

    path: str
    span: Span
    reason: str


def choose_engines(
    plan: LogicalPlan, wanted: EngineChoice, reads_itself: Callable[[Scan], bool]
) -> tuple[LogicalPlan, tuple[EngineRefusal, ...]]:
    """The plan with an engine for each fragment. `reads_itself` says whether DuckDB can read a scan's files.

    Refusals are only for a wish for DuckDB; such fragments stay on DataFusion.
    """
    ops: dict[OpId, Op] = dict(plan.ops)
    notes: list[Note] = []
    refusals: list[EngineRefusal] = []
    for op in plan.ops.values():
        if not isinstance(op, Fragment) or not (op.reduces or wanted == "duckdb"):
            continue
        reason = _why_not(op, plan, reads_itself)
        if reason is None:
            ops[op.id] = replace(op, engine="duckdb")
            continue
        notes.append(Note(RULE, op.id, f"not on duckdb: {reason}", fired=False))
        refusals.append(EngineRefusal(op.path, op.span, reason))
    return replace(plan, ops=ops).noting(notes), tuple(refusals) if wanted == "duckdb" else ()


def _why_not(fragment: Fragment, plan: LogicalPlan, reads_itself: Callable[[Scan], bool]) -> str | None:
    if fragment.late or not fragment.row.complete:
        return "its columns are known only in the run"
    rows: list[RowType] = []
    for relation, op_id in fragment.inputs.items():
        op = plan.ops[op_id]
        if isinstance(op, Scan) and not reads_itself(op):
            if op.step == "parquet":
                return f"DataFusion reads {op.path}, and less of it where a filter allows"
            if sum(reading_places(query)[relation] for query in fragment.queries) > 1:
                return f"{op.path} is read more than once"
        assert not isinstance(op, Sink) and op.row is not None, "only tables are read"
        rows.append(op.row)
    return why_not_portable(fragment_sql(fragment), rows)
