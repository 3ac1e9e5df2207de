"""Drop what no root needs.

before: orders -> big -> print          after: orders -> big -> print
        orders -> small (nobody reads)
"""

from __future__ import annotations

from dataclasses import replace

from heddle.logical.plan import LogicalPlan, Note, OpId, inputs_of


def prune(plan: LogicalPlan) -> LogicalPlan:
    needed: set[OpId] = set()
    stack = list(plan.roots)
    while stack:
        op_id = stack.pop()
        if op_id not in needed:
            needed.add(op_id)
            stack.extend(inputs_of(plan.ops[op_id]))
    dropped = [op for op_id, op in plan.ops.items() if op_id not in needed]
    notes = [
        Note("prune", op.id, f"{op.path} is dropped: no output and no effect needs it") for op in dropped
    ]
    ops = {op_id: op for op_id, op in plan.ops.items() if op_id in needed}
    return replace(plan, ops=ops).noting(notes)
