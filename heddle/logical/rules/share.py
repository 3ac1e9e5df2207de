"""Materialize once what several readers need, unless reading it again is cheaper.

    before: step -> a, step -> b            after: step => frame -> a, frame -> b

A scan, a written table and the error frame are simply read again. So is a fragment that only filters
and projects them: its readers take its queries into their own plans, where their filters reach the
scan. What joins, aggregates or sorts, and every step, is computed once and kept as a frame. So is what
other workflows of the program begin with as well: their runs, under way at the same time, can take it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from heddle.logical.plan import (
    ErrorRows,
    Fragment,
    LogicalPlan,
    Note,
    Op,
    OpId,
    Scan,
    Sink,
    Step,
    Values,
)
from heddle.logical.sql import reading_places


def share(plan: LogicalPlan) -> LogicalPlan:
    places = _reading_places(plan)
    spooled = set(plan.spooled)
    cheap: set[OpId] = set()
    notes: list[Note] = []
    for op in plan.in_order():
        if _is_cheap(op, cheap, spooled):
            cheap.add(op.id)
        if isinstance(op, Scan | Values | ErrorRows | Sink):
            continue
        if places[op.id] < 2:
            if op.id in plan.common:
                spooled.add(op.id)
                beginning = ", ".join(plan.common[op.id])
                notes.append(Note("share", op.id, f"kept for other runs: {beginning} begin with the same"))
            continue
        if op.id in cheap:
            text = f"read {places[op.id]} times, and computed each time: it only filters and projects"
            notes.append(Note("share", op.id, text, fired=False))
        else:
            spooled.add(op.id)
            notes.append(Note("share", op.id, f"computed once for {places[op.id]} readers"))
    return replace(plan, spooled=frozenset(spooled)).noting(notes)


def _is_cheap(op: Op, cheap: set[OpId], spooled: set[OpId]) -> bool:
    """Whether reading it again costs no more than a scan; its inputs were judged before it."""
    match op:
        case Scan() | Values() | ErrorRows():
            return True
        case Fragment(trap=None, limit=None) if not op.reduces:
            return all(i in cheap or i in spooled for i in op.inputs.values())
        case _:
            return False


def _reading_places(plan: LogicalPlan) -> dict[OpId, int]:
    places = dict.fromkeys(plan.ops, 0)
    for op in plan.ops.values():
        match op:
            case Fragment(queries=queries, inputs=inputs):
                read = sum((reading_places(q) for q in queries), Counter())
                for relation, input_id in inputs.items():
                    places[input_id] += max(1, read[relation])
            case Step(input=int(input_id)) | Sink(input=input_id):
                places[input_id] += 1
            case _:
                continue
    return places
