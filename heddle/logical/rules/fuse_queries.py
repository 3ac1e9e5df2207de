"""Make one plan of a chain of queries and assignments.

    before: scan -> [filter] -> [select] -> [aggregate]     after: scan -> [filter, select, aggregate]

DataFusion then optimizes the chain as a whole. A query keeps a plan of its own where it must be able
to fail by itself (a trap), where its result is kept as a frame, and where the chain would get longer
than `QUERIES_MAX`: planning time can grow with the fourth power of the chain (seconds for 64 queries).
"""

from __future__ import annotations

from dataclasses import replace

from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Query, inputs_of

QUERIES_MAX = 12


def fuse_queries(plan: LogicalPlan) -> LogicalPlan:
    ops: dict[OpId, Op] = dict(plan.ops)
    notes: list[Note] = []
    for op in plan.in_order():
        if isinstance(op, Fragment):
            ops[op.id] = _absorb_inputs(op, ops, plan, notes)
    return replace(plan, ops=_still_read(ops, plan.roots)).noting(notes)


def _absorb_inputs(fragment: Fragment, ops: dict[OpId, Op], plan: LogicalPlan, notes: list[Note]) -> Fragment:
    queries: dict[str, Query] = {q.relation: q for q in fragment.queries}
    inputs: dict[str, OpId] = {}
    for relation, input_id in fragment.inputs.items():
        below = ops[input_id]
        reason = _why_not(fragment, below, plan, len(queries))
        if reason is None:
            assert isinstance(below, Fragment)
            queries = {q.relation: q for q in below.queries} | queries
            inputs |= below.inputs
            notes.append(Note("fuse_queries", fragment.id, f"{below.path} runs in the same plan"))
            continue
        inputs[relation] = input_id
        if reason:
            notes.append(
                Note(
                    "fuse_queries",
                    fragment.id,
                    f"{below.path} stays apart: {reason}",
                    fired=False,
                )
            )
    return replace(fragment, queries=tuple(queries.values()), inputs=inputs)


def _why_not(fragment: Fragment, below: Op, plan: LogicalPlan, query_count: int) -> str | None:
    """None: it can be fused. An empty text: there is nothing to say."""
    if not isinstance(below, Fragment):
        return ""
    if below.id in plan.spooled:
        return "its result is kept"
    if below.trap is not None or fragment.trap is not None:
        return "a trap of its own needs a plan of its own"
    if below.limit is not None or below.columns is not None:
        return "its result is cut"
    if len(below.queries) + query_count > QUERIES_MAX:
        return f"a plan takes at most {QUERIES_MAX} queries"
    return None


def _still_read(ops: dict[OpId, Op], roots: tuple[OpId, ...]) -> dict[OpId, Op]:
    read: set[OpId] = set()
    stack = list(roots)
    while stack:
        op_id = stack.pop()
        if op_id not in read:
            read.add(op_id)
            stack.extend(inputs_of(ops[op_id]))
    return {op_id: op for op_id, op in ops.items() if op_id in read}
