"""What may move past a step, from what it declares (language.md section 8).

Rules ask here, so that each property has one meaning: a step that may write, or that declares nothing,
sees exactly the rows that the program sends it.
"""

from __future__ import annotations

from heddle.core.types import RowType
from heddle.logical.plan import Fragment, LogicalPlan, Op, OpId, Step


def is_handled(step: Step, plan: LogicalPlan) -> bool:
    """Whether a handler gets the rows that the step rejects, or on which it fails."""
    return step.trap is not None or step.workflow in plan.trapped


def why_rows_stay(step: Step, plan: LogicalPlan) -> str | None:
    """Why the step must get all rows that the program sends it; None when rows that do not matter for the
    result need not reach it."""
    signature = step.call.signature
    match signature.step_class:
        case "pure" | "recorded":
            pass
        case "effect":
            return "it has an effect on every row that it gets"
        case "wait":
            return "it waits where the program says"
        case "undeclared":
            return "it declares neither deterministic=True nor effect=False"
    if signature.rows == "map" and is_handled(step, plan):
        return "a handler gets the rows that it rejects"
    return None


def unchanged_columns(step: Step, given: RowType) -> frozenset[str]:
    """Columns of its output that hold what `given`, its input, holds in the same row, in the same type.

    The output of a `filter` step is some of its input's rows, so it writes only columns that it adds.
    """
    signature, gives = step.call.signature, step.row
    if (
        step.lookup is not None
        or gives is None
        or signature.output is None
        or signature.rows not in {"map", "filter"}
    ):
        return frozenset()
    if not signature.passthrough or signature.output_from_config:
        return frozenset()
    if signature.rows == "map" and signature.output.open:
        return frozenset()
    written = frozenset(signature.output.names) if signature.rows == "map" else frozenset()
    same: set[str] = set()
    for column in gives:
        source = given.column(column.name)
        known = source is not None and source.type is not None and source.type == column.type
        if known and column.name not in written:
            same.add(column.name)
    return frozenset(same)


def streams_to_one(op_id: OpId, plan: LogicalPlan, readers: dict[OpId, list[OpId]]) -> bool:
    """Whether one operator reads it and nothing else needs it, so that it may give less than it does."""
    return op_id not in plan.spooled and op_id not in plan.roots and len(readers[op_id]) == 1


def can_end_with(op: Op, plan: LogicalPlan, readers: dict[OpId, list[OpId]], queries_max: int) -> bool:
    """Whether a fragment can take one more query at its end: nothing cuts its result, and no order of its
    own would be lost further in."""
    return (
        isinstance(op, Fragment)
        and streams_to_one(op.id, plan, readers)
        and op.trap is None
        and op.limit is None
        and op.columns is None
        and len(op.queries) < queries_max
        and "ORDER BY" not in op.result.sql.upper()
    )
