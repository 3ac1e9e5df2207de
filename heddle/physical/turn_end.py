"""The end of a turn: what it wrote is committed and its handlers have run, so its rows count as read.

`count_as_read` is the one place where positions are committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heddle.core.record import record
from heddle.errors import StageError
from heddle.logical.plan import OpId, Step
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import TurnFinished
from heddle.physical.failures import StageFailed
from heddle.physical.stream_reader import Position, StreamReader, TurnRows


@record(frozen=True, slots=True)
class Processed:
    """A turn whose rows are processed and do not count as read yet; `finished` tells of one that had rows."""

    positions: Mapping[OpId, Position]
    finished: TurnFinished | None = None


class NotCounted(StageFailed):
    """A position that could not be committed. It goes to no handler: the rows were processed."""

    def __init__(self, failure: StageFailed) -> None:
        error = failure.error
        told = StageError(
            f"how far it was read could not be committed: {error.message}",
            stage=error.stage,
            step=error.step,
            error_type=error.error_type,
            stack_trace=error.stack_trace,
            help="the rows of the last turn were processed, and another run will process them again",
        )
        super().__init__(failure.op, told)


def processed(
    streams: Sequence[Step], rows: Mapping[OpId, TurnRows], number: int, began_at: float, env: RunEnvironment
) -> Processed:
    """Of a turn that began, with its rows read, at `began_at` on the run's clock."""
    paths = {op.id: op.path for op in streams}
    now = env.clock.monotonic()
    finished = TurnFinished(
        env.run_id,
        number,
        sum(taken.frame.rows for taken in rows.values()),
        now - began_at,
        {paths[op_id]: taken.position for op_id, taken in rows.items()},
        {paths[op_id]: taken.lag for op_id, taken in rows.items()},
        now,
    )
    return Processed({op_id: taken.position for op_id, taken in rows.items()}, finished)


def count_as_read(turn: Processed, readers: Sequence[StreamReader], env: RunEnvironment) -> None:
    """The streams may go on behind the turn's rows. Raises `NotCounted`."""
    for reader in readers:
        position = turn.positions.get(reader.op.id)
        if position is None:
            continue
        try:
            reader.commit(position)
        except StageFailed as failure:
            raise NotCounted(failure) from failure
    if turn.finished is not None:
        env.listener(turn.finished)


def without_rows(failure: StageFailed) -> StageError:
    """Why a run ends with a failure that a handler got."""
    error = failure.error
    return StageError(
        error.message,
        stage=error.stage,
        step=error.step,
        error_type=error.error_type,
        stack_trace=error.stack_trace,
        attempt=error.attempt,
        help="its handler could not be given the rows: another run begins with those of this turn",
    )
