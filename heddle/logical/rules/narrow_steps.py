"""Give a step with a closed input only the columns it names.

    before: [a, b, c, d] -> step(a, b)      after: [a, b] -> step(a, b)

The projection is part of the plan below the step, so it reaches the scan. A step that passes other
columns through needs them all.
"""

from __future__ import annotations

from dataclasses import replace

from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Step


def narrow_steps(plan: LogicalPlan) -> LogicalPlan:
    ops: dict[OpId, Op] = dict(plan.ops)
    notes: list[Note] = []
    readers = plan.readers()
    for op in plan.ops.values():
        if not isinstance(op, Step) or op.input is None:
            continue
        below = plan.ops[op.input]
        signature = op.call.signature
        if not isinstance(below, Fragment) or signature.input.open or not signature.input.columns:
            continue
        if signature.passthrough:
            notes.append(
                Note(
                    "narrow_steps",
                    op.id,
                    "all columns go in: it passes them through",
                    fired=False,
                )
            )
            continue
        if len(readers[below.id]) > 1 or below.id in plan.spooled:
            continue
        names = signature.input.names
        ops[below.id] = replace(below, columns=names)
        notes.append(Note("narrow_steps", op.id, f"reads only {', '.join(names)}"))
    return replace(plan, ops=ops).noting(notes)
