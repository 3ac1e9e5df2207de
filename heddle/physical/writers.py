"""A writer as the end of a task: its rows in order, one call at a time, to be committed when the run ends.

What a writer took is undone as a whole, so it is tried again as a whole: the rows of a stage that may be
tried again, or whose failure goes to a handler, are kept in a frame while they are written. Rows that the
writer rejects leave the stage at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final, TypeAlias

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.errors import Cancelled
from heddle.logical.plan import Step
from heddle.physical.absent import left_out
from heddle.physical.batches import Batches, empty_batch, in_tables
from heddle.physical.call_size import WriteSize
from heddle.physical.calls import attempt_call, call_context, may_retry, wait_to_retry
from heddle.physical.cancel import CancelToken
from heddle.physical.commits import Written
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import RunWarning
from heddle.physical.failures import StageFailed
from heddle.physical.frames import Frame, FrameStore
from heddle.physical.metering import Meter, Work
from heddle.physical.steps import binding_of, stage_error, tell
from heddle.physical.traps import Traps
from heddle.std.sinks import WrittenTarget
from heddle.udf_bridge.transport import CallContext, Rejection, StepFailure, StepSession

ABORT_TIMEOUT_S: Final = 10.0
"""How long a service may take to undo what was written."""

PLUGIN_CRASHED: Final = "PluginCrashed"
"""The error type of a failure that has taken the plugin's process with it, and what was written too."""

PLACES: Final = ("table", "topic")
"""Settings that say where a writer writes, for messages."""

Opened: TypeAlias = "Callable[[WriterSink], None]"
"""Told of each attempt before it writes, so that it can be undone from elsewhere."""


class WriterSink:
    """One attempt at a writer; implements `Uncommitted`. Its session is opened with the first rows: a writer
    that got none has nothing to commit."""

    def __init__(self, op: Step, env: RunEnvironment, stop: CancelToken, work: Work, attempt: int) -> None:
        self._op = op
        self._env = env
        self._stop = stop
        self._work = work
        self._attempt = attempt
        self._session: StepSession | None = None
        self._calls = 0
        self._rows = 0
        self._lock = threading.Lock()
        self._busy = False
        self._ended = False
        self._lost = False

    def write(self, rows: pa.Table) -> tuple[Rejection, ...]:
        """Write rows; what the writer refuses is given back. Raises `StageFailed`, `Cancelled`."""
        with self._lock:
            if self._ended:
                raise Cancelled("the run was cancelled")
            self._busy = True
        try:
            with self._work.here(calls=1, input_rows=rows.num_rows):
                return self._write(rows)
        finally:
            with self._lock:
                self._busy = False
                abandoned = self._ended
            if abandoned:
                self._undo()

    def commit(self) -> WrittenTarget:
        with self._lock:
            self._ended = True
        if self._session is not None:
            try:
                self._session.ask("commit", None, self._ending(self._op.policy.timeout_s))
            except StepFailure as failure:
                raise self._failed(failure) from failure
            self._close()
        return WrittenTarget(self._name(), self._rows)

    def abort(self) -> None:
        """A write that is under way undoes what was written when it returns."""
        with self._lock:
            self._ended = True
            if self._busy:
                return
        self._undo()

    def _write(self, rows: pa.Table) -> tuple[Rejection, ...]:
        try:
            if self._session is None:
                report = partial(tell, self._env, self._op.path)
                self._session = self._env.transport.open(binding_of(self._op, self._env), report)
            context = call_context(self._op, self._calls, self._attempt, self._env, self._stop)
            result = attempt_call(self._session, rows, context)
        except StepFailure as failure:
            if self._stop.cancelled:
                raise Cancelled("the run was cancelled") from failure
            raise self._failed(failure, rows) from failure
        self._calls += 1
        self._rows += rows.num_rows - sum(len(rejection.rows) for rejection in result.rejections)
        return result.rejections

    def _undo(self) -> None:
        if self._session is None:
            return
        if not self._lost:
            try:
                self._session.ask("abort", None, self._ending(ABORT_TIMEOUT_S))
            except StepFailure as failure:
                if failure.error_type != PLUGIN_CRASHED:
                    said = f"what `{self._op.call.callee}` had written could not be undone: {failure.message}"
                    self._env.listener(RunWarning(self._env.run_id, self._op.path, self._env.masked(said)))
        self._close()

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _ending(self, deadline_s: float | None) -> CallContext:
        """The context of a call that the end of the run must not cut short."""
        context = call_context(self._op, self._calls, self._attempt, self._env, CancelToken())
        return replace(context, deadline_s=deadline_s)

    def _failed(self, failure: StepFailure, rows: pa.Table | None = None) -> StageFailed:
        self._lost = failure.error_type == PLUGIN_CRASHED
        return StageFailed(self._op, stage_error(self._op, failure, self._attempt, self._env), rows)

    def _name(self) -> str:
        config = self._env.resolver.config(self._op)
        place = next((config[name] for name in PLACES if name in config), None)
        return f"{self._op.call.callee} {place}" if place is not None else self._op.call.callee


def write_rows(
    op: Step,
    batches: Batches,
    env: RunEnvironment,
    stop: CancelToken,
    traps: Traps,
    frames: FrameStore,
    meter: Meter,
    work: Work,
    opened: Opened,
) -> Written:
    """Write all rows, several times if the policy says so. Raises `StageFailed` and `Cancelled`; then all is
    undone."""
    keeps = (op.policy.attempts or 1) > 1 or traps.has_handler(op)
    writing = _Writing(op, env, stop, traps, frames, work, opened)
    counted = _counted(left_out(batches, op), meter)
    return writing.keeping(counted) if keeps else writing.streaming(counted)


class _Writing:
    """A stage that writes."""

    def __init__(
        self,
        op: Step,
        env: RunEnvironment,
        stop: CancelToken,
        traps: Traps,
        frames: FrameStore,
        work: Work,
        opened: Opened,
    ) -> None:
        self._op = op
        self._env = env
        self._stop = stop
        self._traps = traps
        self._frames = frames
        self._work = work
        self._opened = opened
        self._size = WriteSize(op, env.batch_rows)

    def streaming(self, batches: Iterator[pa.RecordBatch]) -> Written:
        sink = self._sink(1)
        try:
            for rows in in_tables(batches, self._size.rows):
                self._take(sink, rows, 1)
        except BaseException:
            sink.abort()
            raise
        return Written(self._op, sink)

    def keeping(self, batches: Iterator[pa.RecordBatch]) -> Written:
        """Each attempt writes what the one before it has left."""
        attempt = 1
        frame: Frame | None = None
        while True:
            sink = self._sink(attempt)
            failures: list[StageFailed] = []
            try:
                left = self._frames.collect(self._written(sink, batches, attempt, failures))
            except BaseException:
                sink.abort()
                raise
            finally:
                if frame is not None:
                    self._frames.free(frame)
            frame = left
            if not failures:
                return Written(self._op, sink, frame)
            sink.abort()
            self._try_again(failures[0], frame, attempt)
            batches = iter(frame.batches or (empty_batch(frame.schema),))
            attempt += 1

    def _written(
        self, sink: WriterSink, batches: Iterator[pa.RecordBatch], attempt: int, failures: list[StageFailed]
    ) -> Iterator[pa.RecordBatch]:
        """The rows that the sink took, and those behind the first that it failed for."""
        first = next(batches)
        yield empty_batch(first.schema)
        for rows in in_tables(chain((first,), batches), self._size.rows):
            left = rows
            if not failures:
                try:
                    left = self._take(sink, rows, attempt)
                except StageFailed as failure:
                    failures.append(failure)
            yield from left.to_batches()

    def _take(self, sink: WriterSink, rows: pa.Table, attempt: int) -> pa.Table:
        """The rows that were not rejected."""
        rejections = sink.write(rows)
        self._size.wrote(rows)
        if not rejections:
            return rows
        for rejection in rejections:
            self._traps.reject(self._op, rows, rejection, attempt)
        numbers = pa.array(range(rows.num_rows), pa.int64())
        rejected = pa.concat_arrays([rejection.rows for rejection in rejections])
        return rows.filter(pc.invert(pc.is_in(numbers, value_set=rejected)))

    def _try_again(self, failure: StageFailed, frame: Frame, attempt: int) -> None:
        """Wait for the next attempt. Raises `StageFailed`, with all rows of the stage, when there is none."""
        cause = failure.__cause__
        try:
            if not isinstance(cause, StepFailure) or not may_retry(self._op, cause, attempt):
                rows = pa.Table.from_batches(frame.batches, frame.schema)
                raise StageFailed(self._op, failure.error, rows) from cause
            wait_to_retry(self._op, cause, attempt, self._env, self._stop)
        except BaseException:
            self._frames.free(frame)
            raise

    def _sink(self, attempt: int) -> WriterSink:
        sink = WriterSink(self._op, self._env, self._stop, self._work, attempt)
        self._opened(sink)
        return sink


def _counted(batches: Batches, meter: Meter) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        meter.count(batch)
        yield batch
