"""Call neighbouring steps of one plugin at once, so that the tables between them do not leave it.

    before: a -> b -> c -> print          after: [a, b, c] -> print

Only steps that work row by row and may run twice are put together: where one of them fails or rejects rows,
the engine takes the table before it and goes on step by step, and must be free to call it again. A step stays
apart where its result is kept, where another handler or policy holds, and where its policy speaks of single
calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from heddle.logical.links import link_of
from heddle.logical.plan import Fragment, LogicalPlan, Member, Note, Op, OpId, Sink, Step
from heddle.logical.sql import quoted

MEMBERS_MAX: Final = 32
"""What a step costs that is called again by itself grows with the steps before it."""

RULE: Final = "fuse_steps"

_ALIAS: Final = re.compile(r' AS "\w+"$')


def fuse_steps(plan: LogicalPlan) -> LogicalPlan:
    ops: dict[OpId, Op] = dict(plan.ops)
    readers = plan.readers()
    notes: list[Note] = []
    for op in plan.in_order():
        if not isinstance(op, Step) or op.input is None:
            continue
        between, below = _below(op, ops, plan, readers)
        if not isinstance(below, Step) or not _are_neighbours(below, op):
            continue
        taken = len(readers[below.id]) > 1 or below.id in plan.spooled or below.id in plan.roots
        fused = "its result is kept" if taken else _fused(below, op, ops)
        if isinstance(fused, Step):
            for gone in (below.id, *(fragment.id for fragment in between)):
                del ops[gone]
            ops[op.id] = fused
        else:
            text = f"{below.steps[-1].path} is called by itself: {fused}"
            notes.append(Note(RULE, op.id, text, fired=False))
    owners: dict[OpId, OpId] = {}
    for op in ops.values():
        if isinstance(op, Step) and op.members:
            owners.update({member.step.id: op.id for member in op.members})
            notes.append(Note(RULE, op.id, f"one call for {', '.join(m.step.path for m in op.members)}"))
    moved = (replace(note, op=owners.get(note.op, note.op)) for note in (*plan.notes, *notes))
    return replace(plan, ops=ops, notes=tuple(dict.fromkeys(moved)))


def _below(
    op: Step, ops: dict[OpId, Op], plan: LogicalPlan, readers: Mapping[OpId, list[OpId]]
) -> tuple[tuple[Fragment, ...], Op]:
    """What gives the rows of a step, and the fragments between that give them as they are."""
    assert op.input is not None, "it has an input"
    between: list[Fragment] = []
    below = ops[op.input]
    while isinstance(below, Fragment) and _gives_as_is(below, op, ops):
        if below.id in plan.spooled or below.id in plan.roots or len(readers[below.id]) > 1:
            break
        between.append(below)
        below = ops[next(iter(below.inputs.values()))]
    return tuple(between), below


def _gives_as_is(fragment: Fragment, op: Step, ops: dict[OpId, Op]) -> bool:
    """Whether a fragment gives `op` the rows that it reads, but for columns that `op` does without."""
    if len(fragment.queries) > 1 or len(fragment.inputs) > 1 or fragment.limit is not None:
        return False
    ((relation, input_id),) = fragment.inputs.items()
    source = ops[input_id]
    if fragment.trap is not None or isinstance(source, Sink) or source.row != fragment.row:
        return False
    signature = op.call.signature
    dropped = set(fragment.row.names) - set(fragment.columns or fragment.row.names)
    if not dropped <= set(op.absent) and (signature.passthrough or signature.input.open):
        return False
    names = ", ".join(quoted(name) for name in fragment.row.names)
    read = _ALIAS.sub("", fragment.result.sql)
    return read in (f"SELECT * FROM {quoted(relation)}", f"SELECT {names} FROM {quoted(relation)}")


def _are_neighbours(below: Step, op: Step) -> bool:
    """Whether both are of the same plugin, so that it is worth a word when they stay apart."""
    one, other = below.call.module, op.call.module
    return (one.path, one.code_hash) == (other.path, other.code_hash) and below.workflow == op.workflow


def _fused(below: Step, op: Step, ops: dict[OpId, Op]) -> Step | str:
    """Both as one, or why not."""
    reason = (
        _why_apart(op)
        or ("" if below.members else _why_apart(below))
        or ("they have different handlers" if below.trap != op.trap else "")
        or ("they have different policies" if below.policy != op.policy else "")
        or (f"one call takes at most {MEMBERS_MAX} steps" if len(below.members) >= MEMBERS_MAX else "")
    )
    if reason:
        return reason
    members = below.members or _first(below, ops)
    if isinstance(members, str):
        return members
    before = members[-1].step.row
    assert before is not None, "what a step reads has a row"
    link = link_of(op, before)
    if isinstance(link, str):
        return link
    members = (*members, Member(op, link))
    steps = [member.step for member in members]
    all_map = all(step.call.signature.rows == "map" for step in steps)
    first = steps[0]
    signature = replace(first.call.signature, rows="map" if all_map else "flat")
    return replace(
        op,
        call=replace(first.call, callee=" | ".join(s.call.callee for s in steps), signature=signature),
        input=first.input,
        path=f"{first.path} … {op.path}",
        members=members,
    )


def _first(below: Step, ops: dict[OpId, Op]) -> tuple[Member, ...] | str:
    assert below.input is not None, "only steps with an input are put together"
    source = ops[below.input]
    assert not isinstance(source, Sink), "nothing reads a sink"
    before = source.row
    if before is None or not before.complete:
        return "the columns before it are known only in a run"
    link = link_of(below, before)
    return link if isinstance(link, str) else (Member(below, link),)


def _why_apart(step: Step) -> str:
    """Why a step is called by itself; empty when it need not be."""
    signature, policy, name = step.call.signature, step.policy, step.call.callee
    if signature.rows == "table":
        return f'`{name}` has rows="table", and takes all rows at once'
    if signature.step_class != "pure":
        return f"`{name}` is not declared as deterministic, so it may not run twice"
    if step.input is None or signature.output is None or step.call.parameters or not signature.runnable:
        return f"`{name}` makes its own rows or gives none"
    if step.row is None or not step.row.complete:
        return f"the columns of `{name}` are known only in a run"
    if policy.timeout_s is not None:
        return f"the `timeout` of `{name}` is for one step"
    if policy.batch_max_rows is not None or policy.batch_max_wait_s is not None:
        return f"the `batch` of `{name}` is for calls that are merged with those of other runs"
    return ""
