"""Compute once what several workflows, or several places of one, say in the same way.

    before: orders -> [group kind] -> a     after: orders -> [group kind] -> a
            orders -> [group kind] -> b                                  \\-> b

Two operators are equal when they say the same over equal inputs; their own names do not matter. What joins,
groups or sorts is merged, and pure steps that take whole tables. What works row by row is not: its readers
may need fewer rows or columns of it, each its own. Nor is what can fail into a handler, which tells workflows
apart.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import replace

from heddle.logical.plan import Fragment, LogicalPlan, Note, Op, OpId, Scan, Sink, Step, Values
from heddle.logical.sql import with_sources

_LITERAL = r"'(?:[^']|'')*'"


def merge_equal(plan: LogicalPlan) -> LogicalPlan:
    merged = equal_operators(plan)
    if not merged:
        return plan
    notes = [
        Note("merge_equal", same, f"{plan.ops[i].path} says the same, and reads its result")
        for i, same in merged.items()
    ]
    kept = {op.id: _reading(op, merged) for op in plan.ops.values() if op.id not in merged}
    names = {name: merged.get(op_id, op_id) for name, op_id in plan.names.items()}
    return replace(plan, ops=kept, names=names).noting(notes)


def equal_operators(plan: LogicalPlan) -> Mapping[OpId, OpId]:
    """Operators that need not be computed, with those that give their rows."""
    if sum(is_merged(op, plan) for op in plan.ops.values()) < 2:
        return {}
    numbers: dict[Hashable, int] = {}
    alike: dict[OpId, int] = {}
    first: dict[int, OpId] = {}
    merged: dict[OpId, OpId] = {}
    for op in plan.in_order():
        key = _key(op, alike) if _does_no_more(op, plan) else ("own", op.id)
        number = alike[op.id] = numbers.setdefault(key, len(numbers))
        if op.id in plan.roots or not is_merged(op, plan):
            continue
        same = first.setdefault(number, op.id)
        if same != op.id:
            merged[op.id] = same
    return merged


def is_merged(op: Op, plan: LogicalPlan) -> bool:
    """Whether computing it once serves all that say the same."""
    match op:
        case Fragment(trap=None, workflow=workflow):
            return op.reduces and workflow not in plan.trapped
        case Step(trap=None, workflow=workflow):
            signature = op.call.signature
            whole = signature.rows == "table" and signature.step_class == "pure"
            return whole and workflow not in plan.trapped and op.lookup is None
        case _:
            return False


def _does_no_more(op: Op, plan: LogicalPlan) -> bool:
    """Whether nothing but its rows tells that it runs: no effect, and no handler that gets its failures."""
    match op:
        case Fragment(trap=trap, workflow=workflow):
            return trap is None and workflow not in plan.trapped
        case Step(trap=trap, workflow=workflow):
            pure = op.call.signature.step_class == "pure"
            return pure and trap is None and workflow not in plan.trapped
        case _:
            return True


def _key(op: Op, alike: dict[OpId, int]) -> Hashable:
    """Equal for operators that give the same rows. `alike` has one number for inputs that do."""
    match op:
        case Scan():
            return ("scan", op.step, repr(op.config), op.row)
        case Values():
            return ("values", repr(op.rows), op.row)
        case Fragment():
            inputs = {relation: str(alike[i]) for relation, i in op.inputs.items()}
            said = queries_said(op, inputs)
            return ("fragment", said, op.row, op.columns, op.limit, op.trap, op.policy)
        case Step(call=call, input=int(input_id), lookup=None) if not (call.parameters or call.resources):
            module = (call.module.path, call.module.code_hash, call.signature.name)
            return ("step", module, repr(call.config), alike[input_id], op.row, op.trap, op.policy)
        case _:
            return ("own", op.id)


def queries_said(fragment: Fragment, inputs: Mapping[str, str]) -> tuple[Hashable, ...]:
    """The fragment's queries without the names of relations: `inputs` has words for those that it reads.

    Literals are said apart, because a text may look like a place where a relation is read.
    """
    own = {query.relation: f"{{query {i}}}" for i, query in enumerate(fragment.queries)}
    sources = {relation: f"{{{word}}}" for relation, word in inputs.items()} | own
    return tuple(
        (with_sources(query.sql, sources), tuple(re.findall(_LITERAL, query.sql)))
        for query in fragment.queries
    )


def _reading(op: Op, merged: Mapping[OpId, OpId]) -> Op:
    match op:
        case Fragment(inputs=inputs):
            return replace(op, inputs={name: merged.get(i, i) for name, i in inputs.items()})
        case Step(input=int(input_id)) | Sink(input=input_id):
            return replace(op, input=merged.get(input_id, input_id))
        case _:
            return op
