"""Which engine runs a fragment: the one place where it is chosen.

DuckDB joins, groups and sorts faster and within any memory budget; DataFusion is faster where rows only
stream through, into a step and out of one. A fragment goes to DuckDB when it reduces and all that it says
means the same there. Plain Parquet files DuckDB reads itself; other text files it is fed by DataFusion.

What another stage streams stays on DataFusion where it is only grouped or cut off: for 6 million rows DuckDB
takes 1.1 to 1.6 times the CPU time, since it makes strings of its own, and the stages before need that time
themselves. Windows over a stream, and sorts that keep all rows, are faster on DuckDB all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from heddle.core.record import record
from heddle.core.types import RowType
from heddle.diagnostics import Span
from heddle.logical.plan import EngineChoice, Fragment, LogicalPlan, Note, Op, OpId, Scan, Sink, Step
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
    plan: LogicalPlan,
    wanted: EngineChoice,
    reads_itself: Callable[[Scan], bool],
    ascends: Callable[[Scan, str], bool],
) -> tuple[LogicalPlan, tuple[EngineRefusal, ...]]:
    """The plan with an engine for each fragment. `reads_itself` says whether DuckDB can read a scan's files,
    `ascends` whether a column of theirs rises from row to row by and large.

    Refusals are only for a wish for DuckDB; such fragments stay on DataFusion.
    """
    ops: dict[OpId, Op] = dict(plan.ops)
    readers = plan.readers()
    notes: list[Note] = []
    refusals: list[EngineRefusal] = []
    for op in plan.ops.values():
        if not isinstance(op, Fragment) or not (op.reduces or wanted == "duckdb"):
            continue
        reason = _why_not(op, plan, reads_itself)
        if reason is None and wanted == "auto" and _only_groups(op) and _is_streamed(op, plan, readers):
            reason = "it groups rows while another stage gives them"
        if reason is None and wanted == "auto" and _takes_last_rows(op, plan, ascends):
            reason = "DataFusion reads the file from its end, and stops when it has the rows"
        if reason is None:
            ops[op.id] = replace(op, engine="duckdb")
            continue
        notes.append(Note(RULE, op.id, f"not on duckdb: {reason}", fired=False))
        refusals.append(EngineRefusal(op.path, op.span, reason))
    return replace(plan, ops=ops).noting(notes), tuple(refusals) if wanted == "duckdb" else ()


def _takes_last_rows(fragment: Fragment, plan: LogicalPlan, ascends: Callable[[Scan, str], bool]) -> bool:
    """Whether the rows that it takes stand at the end of a file: DuckDB begins at its start, where each row
    is among the first so far, and so reads it all."""
    scans = [op for i in fragment.inputs.values() if isinstance(op := plan.ops[i], Scan)]
    if len(fragment.inputs) != 1 or not scans or " DESC" not in fragment_sql(fragment):
        return False
    from heddle.logical.reads import reads_of

    (reads,) = (reads_of(fragment, plan.ops) or {}).values() or (None,)
    if reads is None or reads.top is None:
        return False
    column, descends = reads.top.keys[0]
    return descends and ascends(scans[0], column)


def _is_streamed(fragment: Fragment, plan: LogicalPlan, readers: Mapping[OpId, Sequence[OpId]]) -> bool:
    """Whether its rows come from another stage of its task, and not from files or a frame."""
    if len(fragment.inputs) != 1:
        return False
    (below,) = fragment.inputs.values()
    kept = below in plan.spooled or below in plan.roots or len(readers[below]) > 1
    return isinstance(plan.ops[below], Fragment | Step) and not kept


def _only_groups(fragment: Fragment) -> bool:
    """Whether it keeps a part of its rows, or one for each group, and needs no window for that."""
    sql = fragment_sql(fragment)
    if " OVER (" in sql:
        return False
    fewer = (" GROUP BY ", " DISTINCT ", " LIMIT ")
    return " ORDER BY " not in sql or fragment.limit is not None or any(words in sql for words in fewer)


def _why_not(fragment: Fragment, plan: LogicalPlan, reads_itself: Callable[[Scan], bool]) -> str | None:
    if fragment.late or not fragment.row.complete:
        return "its columns are known only in the run"
    if not all(query.portable for query in fragment.queries):
        return "DuckDB compares texts with numbers in another way"
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
