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
from dataclasses import field, replace
from typing import Final

from heddle.core.link import Link
from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.logical.links import link_of
from heddle.logical.plan import Fragment, LogicalPlan, Member, Note, Op, OpId, Sink, Step

MEMBERS_MAX: Final = 32
"""What a step costs that is called again by itself grows with the steps before it."""

RULE: Final = "fuse_steps"

_ALIAS: Final = re.compile(r' AS "\w+"$')


def fuse_steps(plan: LogicalPlan) -> LogicalPlan:
    ops: dict[OpId, Op] = dict(plan.ops)
    readers = plan.readers()
    notes: list[Note] = []
    chains: dict[OpId, _Chain] = {}
    for op in plan.in_order():
        if not isinstance(op, Step) or op.input is None:
            continue
        between, below = _below(op, ops, plan, readers)
        if not isinstance(below, Step) or not _are_neighbours(below, op):
            continue
        taken = len(readers[below.id]) > 1 or below.id in plan.spooled or below.id in plan.roots
        chain = chains.get(below.id)
        made = "its result is kept" if taken else _longer(chain or _Chain([below]), op, ops)
        if isinstance(made, str):
            notes.append(Note(RULE, op.id, f"{below.path} is called by itself: {made}", fired=False))
            continue
        chains.pop(below.id, None)
        chains[op.id] = made
        for gone in (below.id, *(fragment.id for fragment in between)):
            del ops[gone]
    owners: dict[OpId, OpId] = {}
    for last, chain in chains.items():
        ops[last] = _one_step(chain)
        owners.update((step.id, last) for step in chain.steps)
        notes.append(Note(RULE, last, f"one call for {', '.join(step.path for step in chain.steps)}"))
    moved = (_moved(note, owners) for note in (*plan.notes, *notes))
    return replace(plan, ops=ops, notes=tuple(dict.fromkeys(moved)))


@record(slots=True, eq=False)
class _Chain:
    """Steps that run in one call. A single step that is no chain yet has no links."""

    steps: list[Step]
    links: list[Link] = field(default_factory=list)


def _moved(note: Note, owners: Mapping[OpId, OpId]) -> Note:
    """A note about a step of a chain stands at the chain."""
    owner = owners.get(note.op, note.op)
    return note if owner == note.op else replace(note, op=owner)


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
    same = one is other or (one.path, one.code_hash) == (other.path, other.code_hash)
    return same and below.workflow == op.workflow


def _longer(chain: _Chain, op: Step, ops: dict[OpId, Op]) -> _Chain | str:
    """The chain with one more step behind it, or why that one stays apart."""
    first, last = chain.steps[0], chain.steps[-1]
    reason = (
        _why_apart(op)
        or ("" if chain.links else _why_apart(first))
        or ("they have different handlers" if first.trap != op.trap else "")
        or ("they have different policies" if first.policy != op.policy else "")
        or (f"one call takes at most {MEMBERS_MAX} steps" if len(chain.links) >= MEMBERS_MAX else "")
    )
    if reason:
        return reason
    if not chain.links:
        link = _first_link(first, ops)
        if isinstance(link, str):
            return link
        chain.links.append(link)
    assert last.row is not None, "what a step reads has a row"
    link = link_of(op, last.row)
    if isinstance(link, str):
        return link
    chain.steps.append(op)
    chain.links.append(link)
    return chain


def _first_link(first: Step, ops: dict[OpId, Op]) -> Link | str:
    assert first.input is not None, "only steps with an input are put together"
    source = ops[first.input]
    assert not isinstance(source, Sink), "nothing reads a sink"
    if source.row is None or not source.row.complete:
        return "the columns before it are known only in a run"
    return link_of(first, source.row)


def _one_step(chain: _Chain) -> Step:
    """The chain as one operator, in the place of its last step."""
    first, last = chain.steps[0], chain.steps[-1]
    all_map = all(step.call.signature.rows == "map" for step in chain.steps)
    signature = replace(first.call.signature, rows="map" if all_map else "flat")
    return replace(
        last,
        call=replace(
            first.call, callee=" | ".join(step.call.callee for step in chain.steps), signature=signature
        ),
        input=first.input,
        path=f"{first.path} … {last.path}",
        members=tuple(map(Member, chain.steps, chain.links)),
    )


def _why_apart(step: Step) -> str:
    """Why a step is called by itself; empty when it need not be."""
    signature, policy, name = step.call.signature, step.policy, step.call.callee
    if step.lookup is not None:
        return f"`{name}` is called with distinct values"
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
