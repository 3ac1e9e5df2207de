"""Streams in a plan, and what depends on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from heddle.core.streams import takes_turns
from heddle.logical.plan import LogicalPlan, OpId, Step, inputs_of


def streams_of(plan: LogicalPlan) -> tuple[Step, ...]:
    return tuple(op for op in plan.in_order() if isinstance(op, Step) and op.call.signature.stream)


def read_live(streams: Sequence[Step]) -> bool:
    """Whether the rows of all streams go into the plan as they are read: there is one turn, and no read that
    fails is made again."""
    once = not any(takes_turns(stream.call.config) for stream in streams)
    return once and all((stream.policy.attempts or 1) == 1 for stream in streams)


def fed_by(plan: LogicalPlan, streams: Iterable[Step]) -> frozenset[OpId]:
    """The operators that depend on one of the streams, the streams among them."""
    fed = {stream.id for stream in streams}
    for op in plan.in_order():
        if not fed.isdisjoint(inputs_of(op)):
            fed.add(op.id)
    return frozenset(fed)
