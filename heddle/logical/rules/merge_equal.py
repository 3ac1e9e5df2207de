"""Compute once what several workflows, or several places of one, say in the same way.

    before: orders -> [group kind] -> a     after: orders -> [group kind] -> a
            orders -> [group kind] -> b                                  \\-> b

Two operators are equal when they say the same over equal inputs; their own names do not matter. What joins,
groups or sorts is merged, and pure steps that take whole tables. What works row by row is not: its readers
may need fewer rows or columns of it, each its own. Nor is what can fail into a handler, which tells workflows
apart.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Scan, Sink, Step, Values
from heddle.logical.sql import with_sources


def merge_equal(plan: LogicalPlan) -> LogicalPlan:
    numbers: dict[Hashable, int] = {}
    alike: dict[OpId, int] = {}
    first: dict[int, OpId] = {}
    merged: dict[OpId, OpId] = {}
    notes: list[Note] = []
    for op in plan.in_order():
        number = alike[op.id] = numbers.setdefault(_key(op, alike), len(numbers))
        if op.id in plan.roots or not _is_merged(op, plan):
            continue
        same = first.setdefault(number, op.id)
        if same != op.id:
            merged[op.id] = same
            notes.append(Note("merge_equal", same, f"{op.path} says the same, and reads its result"))
    if not merged:
        return plan
    kept = {op.id: _reading(op, merged) for op in plan.ops.values() if op.id not in merged}
    names = {name: merged.get(op_id, op_id) for name, op_id in plan.names.items()}
    return replace(plan, ops=kept, names=names).noting(notes)


def _is_merged(op: Op, plan: LogicalPlan) -> bool:
    match op:
        case Fragment(trap=None, workflow=workflow):
            return op.reduces and workflow not in plan.trapped
        case Step(trap=None, workflow=workflow):
            signature = op.call.signature
            whole = signature.rows == "table" and signature.step_class == "pure"
            return whole and workflow not in plan.trapped
        case _:
            return False


def _key(op: Op, alike: dict[OpId, int]) -> Hashable:
    """Equal for operators that give the same rows. `alike` has one number for inputs that do."""
    match op:
        case Scan():
            return ("scan", op.step, repr(op.config), op.row)
        case Values():
            return ("values", repr(op.rows), op.row)
        case Fragment():
            sources = {relation: f"{{{alike[i]}}}" for relation, i in op.inputs.items()}
            texts = tuple(with_sources(query.sql, sources) for query in op.queries)
            return ("fragment", texts, op.row, op.columns, op.limit, op.trap, op.policy)
        case Step(call=call, input=int(input_id)) if not call.parameters and not call.resources:
            module = (call.module.path, call.module.code_hash, call.signature.name)
            return ("step", module, repr(call.config), alike[input_id], op.row, op.trap, op.policy)
        case _:
            return ("own", op.id)


def _reading(op: Op, merged: dict[OpId, OpId]) -> Op:
    match op:
        case Fragment(inputs=inputs):
            return replace(op, inputs={name: merged.get(i, i) for name, i in inputs.items()})
        case Step(input=int(input_id)) | Sink(input=input_id):
            return replace(op, input=merged.get(input_id, input_id))
        case _:
            return op
