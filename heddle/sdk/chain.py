"""Steps that run one behind the other in one call; the tables between them do not leave the process.

A chain ends before a step that does not do exactly what its link says: that fails, rejects rows, returns
another type. The engine then has the table that the step was to take, and calls it and those behind it as
it would without a chain; so what such a step means for the run is decided in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from heddle.core.failure import StepError
from heddle.core.link import Link
from heddle.core.record import record
from heddle.core.step import StepContext
from heddle.sdk.runtime import BoundStep


@record(frozen=True, slots=True)
class Member:
    """A step of a chain; `context` makes its context for so many rows."""

    step: BoundStep
    link: Link
    context: Callable[[int], StepContext]


@record(frozen=True, slots=True)
class ChainEnd:
    """`table` is what the first `done` steps made; `failure` is that of the step behind them."""

    done: int
    table: pa.Table
    failure: StepError | None = None


def run_chain(members: Sequence[Member], table: pa.Table, cancelled: Callable[[], bool]) -> ChainEnd:
    for number, member in enumerate(members):
        taken = member.link.taken(table)
        if taken is None or cancelled():
            return ChainEnd(number, table)
        try:
            behind = _behind(member, table, taken)
        except StepError as failure:
            return ChainEnd(number, table, failure)
        if behind is None:
            return ChainEnd(number, table)
        table = behind
        if not table.num_rows:
            return ChainEnd(number + 1, table)
    return ChainEnd(len(members), table)


def _behind(member: Member, table: pa.Table, taken: pa.Table) -> pa.Table | None:
    """None when the step did not do what its link says."""
    context = member.context(taken.num_rows)
    returned = list(member.step.call(taken, context))
    if context.rejections or len(returned) != 1:
        return None
    return member.link.given(table, taken, returned[0])
