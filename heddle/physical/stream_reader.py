"""One stream of a run: opened once, read a turn at a time into a frame, told how far its rows were processed.

The calls of a stream come one after the other: whoever has a `StreamReader` sees to that.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.durations import DURATION_HELP, duration_s
from heddle.core.record import record
from heddle.core.report import StepLogged
from heddle.core.step import RejectedRows, Turn
from heddle.core.streams import COMMIT_EVERY, takes_turns
from heddle.errors import Cancelled, StageError
from heddle.logical.plan import Step
from heddle.physical.batches import Batches, empty_batch
from heddle.physical.calls import call_context
from heddle.physical.cancel import CancelToken
from heddle.physical.environment import RunEnvironment
from heddle.physical.failures import StageFailed, disk_error
from heddle.physical.frames import Frame, FrameStore
from heddle.physical.metering import Meter, Work
from heddle.physical.steps import binding_of, counted, stage_error, tell
from heddle.udf_bridge.transport import CallContext, StepContractError, StepFailure, StepSession

TURN_ROWS_MAX: Final = 100_000
TURN_WAIT_S: Final = 1.0
"""A turn's limits where neither the stream's settings nor its policy say others."""

WHOLE: Final = Turn(1 << 62, 1e9)
"""The turn of a stream that is read in one: whatever there is."""

COMMIT_TIMEOUT_S: Final = 30.0
CLOSE_TIMEOUT_S: Final = 5.0

Position: TypeAlias = Mapping[str, ConfigValue]


@record(frozen=True, slots=True)
class TurnRows:
    """What one turn took of a stream. `position` is where the next one begins; `lag` is how many rows wait
    behind it, None when the stream does not know. `refused` could not be made rows."""

    frame: Frame
    position: Position
    ended: bool = False
    lag: int | None = None
    refused: tuple[RejectedRows, ...] = ()
    full: bool = False
    """Whether there may be more at once."""

    @property
    def idle(self) -> bool:
        return not self.frame.rows and not self.refused


class StreamReader:
    """`stop` ends a read that is under way; `wait_max_s` bounds the wait of a turn, whatever the program
    says."""

    def __init__(
        self, op: Step, env: RunEnvironment, stop: CancelToken, frames: FrameStore, wait_max_s: float | None
    ) -> None:
        """Raises `StageFailed` for a setting that is no duration."""
        self.op = op
        self._env = env
        self._stop = stop
        self._frames = frames
        self._turn = turn_of(op, env)
        if wait_max_s is not None and self._turn != WHOLE:
            self._turn = Turn(self._turn.max_rows, min(self._turn.max_wait_s, wait_max_s))
        self._session: StepSession | None = None
        self._schema = _known_schema(op)
        self._calls = 0
        self._last: TurnRows | None = None
        self._committed: Position | None = None
        self._refused: list[RejectedRows] = []
        self._live_rows = 0
        self._live_over = threading.Event()

    @property
    def ended(self) -> bool:
        return self._last is not None and self._last.ended

    def read(self) -> TurnRows:
        """The next turn's rows; a stream that has ended has none. Raises `StageFailed` and `Cancelled`."""
        if self._last is not None and self._last.ended:
            nothing = Frame(self._schema, (), 0, 0, 0, None)
            return replace(self._last, frame=nothing, refused=(), full=False)
        refused: list[RejectedRows] = []
        work = Work()
        batches = Meter(self.op, self._env, work).watch(self._rows(refused, work))
        try:
            frame = self._frames.collect(batches)
        except OSError as error:
            raise StageFailed(self.op, disk_error(self.op, error)) from error
        finally:
            batches.close()
        try:
            self._last = self._standing(frame, tuple(refused))
        except BaseException:
            self._frames.free(frame)
            raise
        self._schema = frame.schema
        return self._last

    def live(self, stop: CancelToken, work: Work) -> Batches:
        """All rows of a stream that is read in one turn, at least one batch, as they come. What their reader
        leaves is read all the same: the position is behind it. Raises `StageFailed`, `Cancelled`."""
        self._stop = stop
        rows = self._rows(self._refused, work)
        try:
            for batch in rows:
                self._live_rows += batch.num_rows
                yield batch
        except GeneratorExit:
            if not stop.cancelled:
                self._live_rows += sum(rest.num_rows for rest in rows)
            raise
        finally:
            self._live_over.set()

    def read_so_far(self) -> TurnRows | None:
        """What `live` has given, without the rows; None when nobody asked for any. Waits for the end of what
        its reader has left. Raises `StageFailed`, `Cancelled`."""
        if self._session is None:
            return None
        forget = self._env.cancel.on_cancel(self._live_over.set)
        self._live_over.wait()
        forget()
        if self._env.cancel.cancelled:
            raise Cancelled("the run was cancelled")
        nothing = Frame(self._schema, (), self._live_rows, 0, 0, None)
        self._last = self._standing(nothing, tuple(self._refused))
        return self._last

    def commit(self, position: Position) -> None:
        """What was read up to there has been processed. Raises `StageFailed`."""
        if self._session is None or position == self._committed:
            return
        try:
            self._session.ask("commit", dict(position), self._ending(COMMIT_TIMEOUT_S))
        except StepFailure as failure:
            raise self._failed(failure) from failure
        self._committed = position

    def close(self) -> None:
        """The next read, if there is one, begins where the last commit was. What fails here has no say in
        the run."""
        session, self._session, self._last = self._session, None, None
        if session is None:
            return
        try:
            session.ask("close", None, self._ending(CLOSE_TIMEOUT_S))
        except StepFailure as failure:
            said = StepLogged("warning", f"the stream could not be closed: {failure.message}", {})
            tell(self._env, self.op.path, said)
        session.close()

    def _rows(self, refused: list[RejectedRows], work: Work) -> Batches:
        """At least one batch."""
        context = replace(self._context(), turn=self._turn)
        empty = True
        try:
            for batch in counted(self._opened().batches(context, refused), work):
                self._schema = batch.schema
                if batch.num_rows:
                    empty = False
                    yield batch
        except StepFailure as failure:
            raise self._read_failed(failure) from failure
        if self._stop.cancelled:
            raise Cancelled("the run was cancelled")
        if empty:
            yield empty_batch(self._schema)

    def _standing(self, frame: Frame, refused: tuple[RejectedRows, ...]) -> TurnRows:
        assert self._session is not None, "it was opened to be read"
        try:
            match self._session.ask("position", None, self._context()):
                case {"position": dict(position), "ended": bool(ended), "lag": int() | None as lag}:
                    full = not ended and (frame.rows >= self._turn.max_rows or bool(lag))
                    return TurnRows(frame, position, ended, lag, refused, full)
                case other:
                    raise StepContractError(f"`{self.op.call.callee}` says of its position {other!r}")
        except StepFailure as failure:
            raise self._read_failed(failure) from failure

    def _opened(self) -> StepSession:
        if self._session is None:
            report = partial(tell, self._env, self.op.path)
            self._session = self._env.transport.open(binding_of(self.op, self._env), report)
        return self._session

    def _context(self) -> CallContext:
        self._calls += 1
        return call_context(self.op, self._calls, 1, self._env, self._stop)

    def _ending(self, deadline_s: float) -> CallContext:
        """The context of a call that the end of the run must not cut short."""
        self._calls += 1
        context = call_context(self.op, self._calls, 1, self._env, CancelToken())
        return replace(context, deadline_s=deadline_s)

    def _read_failed(self, failure: StepFailure) -> StageFailed | Cancelled:
        return Cancelled("the run was cancelled") if self._stop.cancelled else self._failed(failure)

    def _failed(self, failure: StepFailure) -> StageFailed:
        return StageFailed(self.op, stage_error(self.op, failure, 1, self._env))


def turn_of(op: Step, env: RunEnvironment) -> Turn:
    """How much of a stream a turn reads. Raises `StageFailed`."""
    if not takes_turns(op.call.config):
        return WHOLE
    every = env.resolver.config(op).get(COMMIT_EVERY)
    wait_s = duration_s(every) if isinstance(every, str) else TURN_WAIT_S
    if wait_s is None:
        raise StageFailed(
            op,
            StageError(
                f"`{COMMIT_EVERY}` of `{op.call.callee}` is no duration",
                stage=op.path,
                step=op.call.callee,
                error_type="ConfigError",
                help=DURATION_HELP,
            ),
        )
    policy = op.policy
    return Turn(
        policy.batch_max_rows or TURN_ROWS_MAX,
        policy.batch_max_wait_s if policy.batch_max_wait_s is not None else wait_s,
    )


def _known_schema(op: Step) -> pa.Schema:
    """What is known of a stream's columns before it has given rows."""
    columns = op.row.columns if op.row is not None else ()
    return pa.schema([pa.field(c.name, c.type if c.type is not None else pa.null()) for c in columns])
