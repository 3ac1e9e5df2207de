"""Logical plan -> tasks: what runs as one streaming pipeline, and what is materialized between them.

A task is one root or one frame with everything that streams into it. Tasks depend on each other only
through frames, so independent ones run side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from heddle.core.record import record
from heddle.logical.plan import Fragment, LogicalPlan, Note, OpId, Sink, Step, inputs_of

STREAM_DEPTH_MAX: Final = 24
"""Streaming stages in one task. Each may block a DataFusion worker (see runtime.py), and each is a
nested generator."""


@record(frozen=True, slots=True)
class Task:
    """`op` is a root or a frame; `needs` are the frames that must be there first."""

    op: OpId
    needs: frozenset[OpId]


@record(frozen=True, slots=True)
class PhysicalPlan:
    """`frame_readers` counts the tasks that read a frame, so that it can be freed after the last."""

    logical: LogicalPlan
    tasks: tuple[Task, ...]
    frame_readers: Mapping[OpId, int]


def cut(plan: LogicalPlan) -> PhysicalPlan:
    plan = _spool(plan)
    needs = _needs(plan)
    wanted = [op.id for op in plan.in_order() if op.id in plan.spooled or op.id in plan.roots]
    tasks = tuple(Task(op_id, needs[op_id]) for op_id in wanted)
    readers = {op_id: sum(op_id in task.needs for task in tasks) for op_id in plan.spooled}
    return PhysicalPlan(plan, tasks, readers)


@record(frozen=True, slots=True)
class TurnParts:
    """The tasks of a plan that reads streams. `still` runs once; what it makes for the turns is `held`. Each
    turn is given these frames. `fed` are the operators that depend on a stream."""

    still: PhysicalPlan
    turn: PhysicalPlan
    held: frozenset[OpId]
    fed: frozenset[OpId]


def in_one_part(physical: PhysicalPlan) -> TurnParts:
    """For a run of one turn."""
    return TurnParts(_part(physical, (), frozenset()), physical, frozenset(), frozenset())


def in_parts(physical: PhysicalPlan, streams: frozenset[OpId], fed: frozenset[OpId]) -> TurnParts:
    """The turns are given frames of the `streams` as well. Other streams stand in the tasks."""
    still = tuple(task for task in physical.tasks if task.op not in fed)
    turn = tuple(task for task in physical.tasks if task.op in fed - streams)
    given = frozenset(op_id for task in turn for op_id in task.needs if op_id not in fed) | streams
    return TurnParts(_part(physical, still, given), _part(physical, turn, given), given - streams, fed)


def _part(physical: PhysicalPlan, tasks: tuple[Task, ...], given: frozenset[OpId]) -> PhysicalPlan:
    """Some tasks of a plan. The frames that are handed from one part to another have a reader more than tasks
    that read them, so that no task frees them."""
    counts = {op_id: sum(op_id in task.needs for task in tasks) for op_id in physical.frame_readers}
    readers = {op_id: count + (op_id in given) for op_id, count in counts.items()}
    return PhysicalPlan(physical.logical, tasks, readers)


def _spool(plan: LogicalPlan) -> LogicalPlan:
    readers = plan.readers()
    spooled = {i for i in plan.spooled if isinstance(plan.ops.get(i), Fragment | Step)}
    notes: list[Note] = []
    depth: dict[OpId, int] = {}
    for op in plan.in_order():
        streaming = [
            i for i in inputs_of(op) if isinstance(plan.ops[i], Fragment | Step) and i not in spooled
        ]
        if isinstance(op, Fragment) and len(op.inputs) > 1:
            spooled.update(streaming)
            notes += [
                Note("materialize", i, "its rows are counted before the join is planned") for i in streaming
            ]
            streaming = []
        deepest = max((depth[i] for i in streaming), default=0)
        if deepest >= STREAM_DEPTH_MAX:
            spooled.update(streaming)
            notes += [Note("materialize", i, f"{STREAM_DEPTH_MAX} stages stream into it") for i in streaming]
            deepest = 0
        depth[op.id] = deepest + 1
        takers = len(readers[op.id]) + (op.id in plan.roots)
        if takers > 1 and isinstance(op, Fragment | Step) and op.id not in spooled:
            spooled.add(op.id)
            notes.append(Note("materialize", op.id, _why_kept(len(readers[op.id]))))
    return replace(plan, spooled=frozenset(spooled)).noting(notes)


def _why_kept(reader_count: int) -> str:
    return "it runs once, and its rows are read" if reader_count == 1 else f"{reader_count} plans read it"


def _needs(plan: LogicalPlan) -> dict[OpId, frozenset[OpId]]:
    """For each operator the frames that its own stream reads."""
    needs: dict[OpId, frozenset[OpId]] = {}
    for op in plan.in_order():
        found: set[OpId] = set()
        for input_id in inputs_of(op):
            found |= {input_id} if input_id in plan.spooled else needs[input_id]
        needs[op.id] = frozenset(found)
    return needs


def is_terminal(plan: LogicalPlan, op_id: OpId) -> bool:
    """Whether the operator ends its task without a frame (a sink, or a step that nothing reads)."""
    return isinstance(plan.ops[op_id], Sink) or op_id not in plan.spooled
