"""A run in turns: the rows of its streams are read, the whole plan runs over them, and what it wrote is
committed; then they count as read.

What does not depend on a stream is computed once, before the first turn. While a stream has more rows than a
turn takes, the next turn is read beside the work of the present one. A turn that fails ends the run, and
nothing of it is committed: another run begins with its rows.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Final

from heddle.core.streams import takes_turns
from heddle.errors import Cancelled
from heddle.frontend.typed import TypedProgram
from heddle.logical.plan import LogicalPlan, OpId, Step
from heddle.logical.streams import fed_by, read_live, streams_of
from heddle.physical.calls import may_retry, wait_to_retry
from heddle.physical.cancel import CancelToken
from heddle.physical.engines import Engines
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import (
    RunStarted,
    RunStatus,
    RunWarning,
    StageMetric,
)
from heddle.physical.executor import FRAMES_SHARE, RunOutcome, settle, tell_end
from heddle.physical.failures import StageFailed
from heddle.physical.frames import Frame, FrameStore
from heddle.physical.held_sessions import HeldSessions
from heddle.physical.plan_run import ABANDON_AFTER_S, PlanResult, PlanRun
from heddle.physical.steps import reject_records, stage_error
from heddle.physical.stream_reader import StreamReader, TurnRows
from heddle.physical.tasks import TurnParts, cut, in_one_part, in_parts
from heddle.physical.traps import Traps
from heddle.physical.turn_end import NotCounted, Processed, count_as_read, processed, without_rows
from heddle.physical.turn_events import StageSums
from heddle.physical.turn_reading import TurnReading
from heddle.udf_bridge.transport import StepContractError, StepFailure

LAG_EVERY_S: Final = 10.0
"""How often the lag of streams is told while they give no rows."""


def execute_in_turns(
    program: TypedProgram, plan: LogicalPlan, env: RunEnvironment, handlers: Mapping[str, LogicalPlan]
) -> RunOutcome:
    """Run an optimized plan that reads streams, until they end or the run's limits say so."""
    started_at = env.clock.monotonic()
    physical = cut(plan)
    streams = streams_of(physical.logical)
    live = read_live(streams)
    if live:
        parts = in_one_part(physical)
    else:
        parts = in_parts(physical, frozenset(op.id for op in streams), fed_by(physical.logical, streams))
    stages = len(physical.tasks)
    env.listener(
        RunStarted(
            env.run_id, program.source.path, tuple(program.workflows), stages, started_at, in_turns=True
        )
    )
    sums = StageSums(env.listener)
    with closing(HeldSessions(env.transport)) as held, closing(Engines(env, plan)) as engines:
        within = replace(env, transport=held, listener=sums.listener, turn=0)
        loop = TurnLoop(program, streams, parts, within, engines, handlers)
        outcome = loop.run(live=live)
    sums.finish(cancelled=outcome.status == "cancelled")
    tell_end(env, outcome, started_at)
    return outcome


class TurnLoop:
    """State of one run; `run` is called once."""

    def __init__(
        self,
        program: TypedProgram,
        streams: tuple[Step, ...],
        parts: TurnParts,
        env: RunEnvironment,
        engines: Engines,
        handlers: Mapping[str, LogicalPlan],
    ) -> None:
        self._program = program
        self._streams = streams
        self._parts = parts
        self._env = env
        self._engines = engines
        self._handlers = handlers
        self._limits = env.turn_limits
        self._frames = FrameStore(env.scratch, int(env.memory_bytes * FRAMES_SHARE))
        self._changed = threading.Condition()
        self._reading_stop = CancelToken()
        self._readers: tuple[StreamReader, ...] = ()
        self._held: Mapping[OpId, Frame] = {}
        self._reading: TurnReading | None = None
        self._processed: Processed | None = None
        self._outcome = RunOutcome("succeeded", 0, 0, turns=0)
        self._lag_told_at = self._rows_at = env.clock.monotonic()

    def run(self, *, live: bool) -> RunOutcome:
        """`live`: the streams are read while the plan runs over their rows, in one turn."""
        self._compute_still()
        if self._outcome.status in ("failed", "cancelled") or self._parts.held - self._held.keys():
            return self._outcome
        forget = self._env.cancel.on_cancel(self._cut_reading)
        try:
            with self._limits.ending.heard(self._wake):
                self._open_readers()
                if live:
                    self._run_live()
                else:
                    self._take_turns()
        except StageFailed as failure:
            self._fail(failure)
        except Cancelled:
            if self._env.cancel.cancelled:
                self._outcome = replace(self._outcome, status="cancelled")
        finally:
            forget()
            self._close()
        return self._outcome

    def _compute_still(self) -> None:
        """What does not depend on a stream: its effects, and the frames that turns read."""
        if not self._parts.still.tasks:
            return
        traps = Traps(self._program, self._env)
        result = PlanRun(self._parts.still, self._env, self._engines, self._frames, traps).run()
        self._held = {op_id: frame for op_id, frame in result.frames.items() if op_id in self._parts.held}
        self._settle(result, traps, self._env)

    def _open_readers(self) -> None:
        """Raises `StageFailed` for a setting."""
        stop, wait_max_s = self._reading_stop, self._limits.idle_s
        self._readers = tuple(
            StreamReader(op, self._env, stop, self._frames, wait_max_s) for op in self._streams
        )
        self._rows_at = self._env.clock.monotonic()

    def _run_live(self) -> None:
        """The one turn of streams that are read to their ends. A failure that a handler got leaves no way to
        tell which rows were processed, so the positions stay where they were."""
        env = replace(self._env, turn=1)
        self._outcome = replace(self._outcome, turns=1)
        traps = Traps(self._program, env)
        sources = {reader.op.id: reader.live for reader in self._readers}
        plan_run = PlanRun(self._parts.turn, env, self._engines, self._frames, traps, sources=sources)
        result = plan_run.run()
        rows: dict[OpId, TurnRows] = {}
        if traps.fatal is None and not result.interrupted:
            for reader in self._readers:
                result.interrupted |= not self._take_live(reader, rows, traps)
        self._settle(result, traps, env)
        if self._outcome.status in ("failed", "cancelled"):
            return
        if not traps.failures:
            self._processed = processed(self._streams, rows, 1, self._rows_at, self._env)
            self._count_as_read()
            return
        for op in self._streams:
            said = (
                "what was read does not count as read, because a stage has failed: another run reads it again"
            )
            self._env.listener(RunWarning(env.run_id, op.path, said))

    def _take_live(self, reader: StreamReader, rows: dict[OpId, TurnRows], traps: Traps) -> bool:
        """False when the run was cancelled meanwhile."""
        try:
            taken = reader.read_so_far()
        except Cancelled:
            return False
        except StageFailed as failure:
            traps.catch(failure)
            return True
        if taken is not None:
            rows[reader.op.id] = taken
            self._reject(reader.op, taken, traps)
        return True

    def _take_turns(self) -> None:
        """Raises `StageFailed` for a stream, and `Cancelled` when reading was cut off."""
        whole = not any(takes_turns(op.call.config) for op in self._streams)
        while True:
            rows = self._read()
            if whole or not all(taken.idle for taken in rows.values()):
                self._process(rows)
                if self._outcome.status in ("failed", "cancelled"):
                    return
            else:
                self._pass_over(rows)
            if self._is_over():
                return

    def _read(self) -> Mapping[OpId, TurnRows]:
        """The rows of the next turn; a stream that fails is opened again as its policy says."""
        rows: dict[OpId, TurnRows] = {}
        attempts: Counter[OpId] = Counter()
        try:
            reading = self._reading or self._begin_reading(self._readers)
            while True:
                self._wait_for(reading)
                self._reading = None
                rows |= reading.rows
                self._count_as_read()
                failed = [reader for reader in reading.readers if reader.op.id in reading.failures]
                if not failed:
                    return rows
                for reader in failed:
                    attempts[reader.op.id] += 1
                    self._prepare_retry(reader, reading.failures[reader.op.id], attempts[reader.op.id])
                reading = self._begin_reading(failed)
        except BaseException:
            self._free(rows)
            raise

    def _begin_reading(self, readers: tuple[StreamReader, ...] | list[StreamReader]) -> TurnReading:
        self._reading = TurnReading(readers, self._changed)
        return self._reading

    def _wait_for(self, reading: TurnReading) -> None:
        """Raises `Cancelled` when the run is to end before the turn has begun."""
        with self._changed:
            while not (reading.ended or self._is_asked_to_end):
                self._changed.wait()
        if self._is_asked_to_end:
            self._end_reading(reading)
            raise Cancelled("the run was asked to end")
        if reading.cancelled:
            raise Cancelled("the run was cancelled")

    def _prepare_retry(self, reader: StreamReader, failure: StageFailed, attempt: int) -> None:
        cause = failure.__cause__
        if not isinstance(cause, StepFailure) or not may_retry(reader.op, cause, attempt):
            raise failure
        reader.close()
        wait_to_retry(reader.op, cause, attempt, self._env, self._reading_stop)

    def _process(self, rows: Mapping[OpId, TurnRows]) -> None:
        """One turn, from its rows to the commit of what it wrote."""
        number = (self._outcome.turns or 0) + 1
        last = number == self._limits.turns_max or self._limits.ending.asked
        if not last and any(taken.full for taken in rows.values()):
            self._begin_reading(self._readers)
        began_at = self._env.clock.monotonic()
        self._outcome = replace(self._outcome, turns=number)
        self._run_plan(rows, replace(self._env, turn=number, keeps_input=True))
        self._free(rows)
        self._rows_at = self._env.clock.monotonic()
        if self._outcome.status in ("failed", "cancelled"):
            return
        self._processed = processed(self._streams, rows, number, began_at, self._env)
        if self._reading is None:
            self._count_as_read()

    def _run_plan(self, rows: Mapping[OpId, TurnRows], env: RunEnvironment) -> None:
        traps = Traps(self._program, env)
        for reader in self._readers:
            self._reject(reader.op, rows[reader.op.id], traps)
        given = {**self._held, **{op_id: taken.frame for op_id, taken in rows.items()}}
        result = PlanResult()
        if traps.fatal is None:
            parts = self._parts
            plan_run = PlanRun(
                parts.turn, env, self._engines, self._frames, traps, given=given, fed=parts.fed
            )
            result = plan_run.run()
        self._settle(result, traps, env)
        lost = next((failure for failure in traps.failures if failure.rows is None), None)
        if lost is not None and self._outcome.status == "handled":
            self._outcome = replace(self._outcome, status="failed", error=without_rows(lost))
        for op_id, frame in result.frames.items():
            if op_id not in given:
                self._frames.free(frame)

    def _reject(self, op: Step, taken: TurnRows, traps: Traps) -> None:
        try:
            reject_records(op, taken.refused, traps.reject)
        except StageFailed as failure:
            traps.catch(failure)
        except StepContractError as lie:
            traps.catch(StageFailed(op, stage_error(op, lie, 1, self._env)))

    def _settle(self, result: PlanResult, traps: Traps, env: RunEnvironment) -> None:
        """Handlers and commit, added to what the run has done so far."""
        done = settle(self._program, result, traps, env, self._frames, self._handlers)
        before = self._outcome
        status: RunStatus = "handled" if "handled" in (before.status, done.status) else done.status
        if done.status in ("failed", "cancelled"):
            status = done.status
        if done.error is not None and done.error.help is None and env.turn:
            done.error.help = "nothing of this turn was committed: another run begins with its rows"
        self._outcome = RunOutcome(
            status,
            before.rows + done.rows,
            before.bytes_scanned + done.bytes_scanned,
            done.error,
            before.turns,
        )

    def _pass_over(self, rows: Mapping[OpId, TurnRows]) -> None:
        """A turn without rows: streams may have gone on all the same."""
        self._free(rows)
        self._processed = Processed({op_id: taken.position for op_id, taken in rows.items()})
        self._count_as_read()
        now = self._env.clock.monotonic()
        if now - self._lag_told_at < LAG_EVERY_S:
            return
        self._lag_told_at = now
        for op in self._streams:
            lag = rows[op.id].lag
            if lag is not None:
                self._env.listener(StageMetric(self._env.run_id, op.path, "lag", lag, "rows"))

    def _count_as_read(self) -> None:
        turn, self._processed = self._processed, None
        if turn is not None:
            count_as_read(turn, self._readers, self._env)

    def _is_over(self) -> bool:
        if self._reading is not None:
            return False
        if all(reader.ended for reader in self._readers) or self._limits.ending.asked:
            return True
        if self._outcome.turns == self._limits.turns_max:
            return True
        idle_s = self._limits.idle_s
        return idle_s is not None and self._env.clock.monotonic() - self._rows_at >= idle_s

    def _fail(self, failure: StageFailed) -> None:
        """A stream has failed. Its handler gets it, but the run has nothing more to read."""
        if isinstance(failure, NotCounted):
            self._outcome = replace(self._outcome, status="failed", error=failure.error)
            return
        env = replace(self._env, turn=(self._outcome.turns or 0) + 1)
        traps = Traps(self._program, env)
        traps.catch(failure)
        self._settle(PlanResult(), traps, env)

    @property
    def _is_asked_to_end(self) -> bool:
        return self._limits.ending.asked or self._env.cancel.cancelled

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _cut_reading(self) -> None:
        self._reading_stop.cancel()
        self._wake()

    def _end_reading(self, reading: TurnReading) -> None:
        """Cut the reading off. A stream that does not react costs its plugin's process; but in a cancelled
        run it is left behind."""
        self._reading_stop.cancel()
        with self._changed:
            while not reading.ended:
                left_behind = not self._changed.wait(ABANDON_AFTER_S if self._env.cancel.cancelled else None)
                if left_behind and self._env.cancel.cancelled:
                    return
        self._reading = None
        reading.free(self._frames)

    def _close(self) -> None:
        """What was processed counts as read also when the run is cut off after it."""
        if self._reading is not None:
            self._end_reading(self._reading)
        if self._reading is not None:
            return
        try:
            self._count_as_read()
        except NotCounted as failure:
            self._outcome = replace(self._outcome, status="failed", error=failure.error)
        if self._outcome.status != "cancelled":  # a read that was left behind may be under way
            for reader in self._readers:
                reader.close()

    def _free(self, rows: Mapping[OpId, TurnRows]) -> None:
        for taken in rows.values():
            self._frames.free(taken.frame)
