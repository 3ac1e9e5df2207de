"""One physical plan, executed: tasks run as soon as their frames are there, a few at a time.

A task that fails into a handler takes down what depends on it and nothing else; a failure without a
handler stops the whole plan. What sinks and writers took is left for the caller to commit or abort.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import pyarrow as pa

from heddle.core.deep_stack import deep_thread
from heddle.core.record import record
from heddle.errors import Cancelled
from heddle.frontend.typed import LookupUse
from heddle.logical.plan import ErrorRows, Fragment, Op, OpId, Scan, Sink, Step, Values
from heddle.physical.batches import Batches, at_least_one
from heddle.physical.cancel import CancelToken
from heddle.physical.commits import Uncommitted, Written, stage_failed
from heddle.physical.engines import Engines
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import StageFinished
from heddle.physical.failures import StageFailed, disk_error
from heddle.physical.frames import Frame, FrameStore
from heddle.physical.inputs import FragmentInput, read_leaf, values_table
from heddle.physical.metering import Meter, Work
from heddle.physical.task_queue import TaskQueue
from heddle.physical.tasks import PhysicalPlan, Task
from heddle.physical.traps import Traps
from heddle.std.sinks import Sink as OpenSink
from heddle.std.sinks import SinkError, open_sink

if TYPE_CHECKING:
    from heddle.physical.kept_frames import KeptFrames

Source: TypeAlias = Callable[[CancelToken, Work], Batches]
"""The rows of a stream, at least one batch; the token ends the reading."""

Taker: TypeAlias = Callable[[pa.RecordBatch], None]

ABANDON_AFTER_S: Final = 0.4
"""How long a cancelled run waits for its tasks before it leaves them behind."""


@record(slots=True, eq=False)
class PlanResult:
    """`written` waits for commit, in program order; `interrupted` when the user cancelled. `frames` are left:
    those that were held, and what a failed task has not read."""

    written: dict[OpId, Written] = field(default_factory=dict)
    rows: int = 0
    bytes_scanned: int = 0
    interrupted: bool = False
    frames: Mapping[OpId, Frame] = field(default_factory=dict)


class PlanRun:
    """State of one execution; `run` is called once."""

    def __init__(
        self,
        physical: PhysicalPlan,
        env: RunEnvironment,
        engines: Engines,
        frames: FrameStore,
        traps: Traps,
        error_frame: Frame | None = None,
        *,
        given: Mapping[OpId, Frame] | None = None,
        sources: Mapping[OpId, Source] | None = None,
        fed: frozenset[OpId] = frozenset(),
        shares: bool = False,
        taker: Taker | None = None,
    ) -> None:
        """`given` are frames that no task of the plan makes, `sources` give the rows of streams that are read
        meanwhile. Frames of `fed` operators hold rows that count as read when their turn ends, so a handler
        gets them when a task that reads them fails. With `shares` it takes frames that other runs compute or
        have left, and gives them its own. The `taker` is given the rows of a root that ends in no sink."""
        self._physical = physical
        self._plan = physical.logical
        self._env = env
        self._engines = engines
        self._store = frames
        self._traps = traps
        self._error_frame = error_frame
        self._given = given or {}
        self._sources = sources or {}
        self._fed = fed
        self._shares = shares
        self._taker = taker
        self._stop = CancelToken()
        self._changed = threading.Condition()
        self._result = PlanResult()
        self._works: list[Work] = []
        self._writing: dict[OpId, Uncommitted] = {}
        self._cancelled_at: float | None = None
        self._defect: BaseException | None = None

    def run(self) -> PlanResult:
        self._queue = TaskQueue(self._physical, self._store, self._changed, self._kept_frames(), self._given)
        forget = self._env.cancel.on_cancel(self._cancel)
        try:
            self._run_tasks()
        finally:
            forget()
            self._queue.close()
        if self._defect is not None:
            raise self._defect
        self._result.interrupted = self._env.cancel.cancelled
        self._result.bytes_scanned = sum(work.bytes_scanned for work in self._works)
        self._result.frames = self._queue.left
        done = self._result.written
        self._result.written = {i: done[i] for i in self._plan.roots if i in done}
        return self._result

    def _kept_frames(self) -> KeptFrames | None:
        """None, and nothing loaded, for a run that computes all its frames itself."""
        shared, memo = self._env.shared_frames, self._env.memo
        if not self._shares or not self._plan.spooled or (shared is None and memo is None):
            return None
        from heddle.physical.kept_frames import kept_frames

        return kept_frames(self._plan, self._env, self._store, self._stir)

    def _run_tasks(self) -> None:
        at_once = max(2, self._env.cores)
        running: dict[OpId, threading.Thread] = {}
        finished: deque[OpId] = deque()

        def start(task: Task) -> None:
            def body() -> None:
                try:
                    self._run_task(task)
                except BaseException as error:  # raised again where `run` was called
                    self._defect = error
                    self._stop.cancel()
                finally:
                    with self._changed:
                        finished.append(task.op)
                        self._changed.notify_all()

            running[task.op] = deep_thread(body, f"heddle-task-{task.op}")

        while running or not self._queue.empty:
            if self._stop.cancelled:
                self._queue.clear()
            ready, lost = self._queue.take_ready(at_once - len(running))
            for task in lost:
                self._skipped(task)
            for task in ready:
                start(task)
            with self._changed:
                if not running:
                    assert not self._queue.stuck, "a task waits for a frame that nothing makes"
                    while self._queue.follows and not self._stirred and not self._stop.cancelled:
                        self._changed.wait()
                    continue
                while not (finished or self._stirred or self._abandoned()):
                    self._changed.wait(ABANDON_AFTER_S if self._env.cancel.cancelled else None)
                done = [finished.popleft() for _ in range(len(finished))]
                given_up = not done and not self._stirred
            if given_up:
                self._abandon()
                return
            for op_id in done:
                running.pop(op_id).join()

    def _stir(self) -> None:
        self._queue.stir()

    @property
    def _stirred(self) -> bool:
        return self._queue.stirred and not self._stop.cancelled

    def _cancel(self) -> None:
        self._stop.cancel()
        with self._changed:
            self._changed.notify_all()

    def _abandoned(self) -> bool:
        """Whether the user cancelled and the tasks had their time to end."""
        if not self._env.cancel.cancelled:
            return False
        now = self._env.clock.monotonic()
        self._cancelled_at = self._cancelled_at or now
        return now - self._cancelled_at >= ABANDON_AFTER_S

    def _abandon(self) -> None:
        """User code that goes on cannot be stopped, but what it would have written can be undone."""
        with self._changed:
            sinks = list(self._writing.values())
        for sink in sinks:
            sink.abort()

    def _skipped(self, task: Task) -> None:
        path = self._plan.ops[task.op].path
        self._env.listener(
            StageFinished(self._env.run_id, path, "skipped", 0, 0, 0.0, "what it reads has failed")
        )

    def _run_task(self, task: Task) -> None:
        op = self._plan.ops[task.op]
        try:
            if isinstance(op, Sink):
                self._run_sink(op)
            elif isinstance(op, Step) and op.call.signature.writer:
                self._run_writer(op)
            elif op.id in self._plan.spooled:
                self._queue.keep(op.id, self._collect(op))
            else:
                self._drain(op)
        except Cancelled:
            self._queue.lose(op.id)
        except StageFailed as failure:
            self._queue.lose(op.id)
            if not all(map(self._traps.catch, self._with_rows(task, failure))):
                self._stop.cancel()
        finally:
            self._queue.release(task)

    def _with_rows(self, task: Task, failure: StageFailed) -> list[StageFailed]:
        """In a turn, the failure once for each frame whose rows nothing has come of, where it does not tell
        them itself: a query's does not, and a lookup's has keys."""
        op = failure.op
        keys_only = isinstance(op, Step) and op.lookup is not None and op.lookup.joined
        if not self._env.keeps_input or (failure.rows is not None and not keys_only):
            return [failure]
        frames = [self._queue.frame(op_id) for op_id in sorted(task.needs & self._fed)]
        if self._error_frame is not None:
            frames.append(self._error_frame)
        if not frames:
            return [failure]
        tables = [pa.Table.from_batches(frame.batches, frame.schema) for frame in frames]
        some = [rows for rows in tables if rows.num_rows] or tables[:1]
        return [StageFailed(op, failure.error, rows) for rows in some]

    def _collect(self, op: Op) -> Frame:
        batches = self._stream(op)
        try:
            return self._store.collect(batches)
        except OSError as error:
            raise StageFailed(op, disk_error(op, error)) from error
        finally:
            batches.close()

    def _drain(self, op: Op) -> None:
        for batch in self._stream(op):
            if self._taker is not None:
                self._taker(batch)
            self._count(batch.num_rows)

    def _run_sink(self, op: Sink) -> None:
        work = Work()
        meter = Meter(op, self._env, work)
        batches = self._read(op.input)
        sink: OpenSink | None = None
        try:
            for batch in batches:
                if sink is None:
                    config = self._env.sink_config(op)
                    sink = open_sink(op.step, config, self._env.base, batch.schema, self._env.streams)
                    self._is_writing(op.id, sink)
                with work.here():
                    sink.write(batch)
                meter.count(batch)
            assert sink is not None, "a stream gives at least one batch"
            with work.here():
                sink.prepare()
        except (SinkError, StageFailed, Cancelled) as error:
            if sink is not None:
                sink.abort()
            meter.finish("cancelled" if isinstance(error, Cancelled) else "failed", str(error))
            if isinstance(error, SinkError):
                raise stage_failed(op, error, self._env) from error
            raise
        finally:
            with self._changed:
                self._writing.pop(op.id, None)
            batches.close()
        meter.finish("succeeded")
        self._wrote(Written(op, sink), meter.rows)

    def _run_writer(self, op: Step) -> None:
        from heddle.physical.writers import write_rows

        assert op.input is not None, "a writer has an input"
        work = Work()
        meter = Meter(op, self._env, work)
        batches = self._read(op.input)

        def opened(sink: Uncommitted) -> None:
            self._is_writing(op.id, sink)

        try:
            written = write_rows(
                op, batches, self._env, self._stop, self._traps, self._store, meter, work, opened
            )
        except (StageFailed, Cancelled) as error:
            meter.finish("cancelled" if isinstance(error, Cancelled) else "failed", str(error))
            raise
        except OSError as error:
            meter.finish("failed", str(error))
            raise StageFailed(op, disk_error(op, error)) from error
        finally:
            with self._changed:
                self._writing.pop(op.id, None)
            batches.close()
        meter.finish("succeeded")
        self._wrote(written, meter.rows)

    def _is_writing(self, op_id: OpId, sink: Uncommitted) -> None:
        with self._changed:
            self._writing[op_id] = sink

    def _wrote(self, written: Written, rows: int) -> None:
        self._count(rows)
        with self._changed:
            self._result.written[written.op.id] = written

    def _count(self, rows: int) -> None:
        with self._changed:
            self._result.rows += rows

    def _read(self, op_id: OpId) -> Batches:
        """The rows of an operator: from its frame, or streamed."""
        op = self._plan.ops[op_id]
        match op:
            case Values():
                table = values_table(op)
                return at_least_one(table.to_batches(), table.schema)
            case ErrorRows():
                assert self._error_frame is not None
                return _frame_batches(self._error_frame)
            case _ if op_id in self._plan.spooled:
                return _frame_batches(self._queue.frame(op_id))
            case _:
                return self._stream(op)

    def _stream(self, op: Op) -> Batches:
        work = Work()
        with self._changed:
            self._works.append(work)
        match op:
            case Fragment():
                inputs = {relation: self._fragment_input(i) for relation, i in op.inputs.items()}
                batches = self._engines.stream(op, inputs, self._stop, work)
            case Step(members=members, input=int(below_id)) if members:
                from heddle.physical.fused import stream_fused

                batches = stream_fused(
                    op, self._read(below_id), self._env, self._stop, self._traps.reject, work
                )
            case Step(lookup=LookupUse(), input=int(below_id)):
                from heddle.physical.lookups import stream_lookup

                batches = stream_lookup(
                    op, self._read(below_id), self._env, self._stop, self._traps.reject, work
                )
            case Step() if op.id in self._sources:
                batches = self._sources[op.id](self._stop, work)
            case Step():
                from heddle.physical.steps import stream_step

                below = None if op.input is None else self._read(op.input)
                batches = stream_step(op, below, self._env, self._stop, self._traps.reject, work)
            case Values() | ErrorRows():
                return self._read(op.id)
            case Scan() | Sink():
                raise AssertionError(f"{op.path} is read by a fragment or ends a task")
            case _:
                assert_never(op)
        watched = Meter(op, self._env, work).watch(batches)
        memo = self._env.memo
        return memo.keeping(op.id, watched) if memo is not None and self._shares else watched

    def _fragment_input(self, op_id: OpId) -> FragmentInput:
        op = self._plan.ops[op_id]
        match op:
            case Scan() | Values():
                return read_leaf(op, self._env)
            case ErrorRows():
                assert self._error_frame is not None
                return self._error_frame
            case _ if op_id in self._plan.spooled:
                return self._queue.frame(op_id)
            case _:
                return self._stream(op)


def _frame_batches(frame: Frame) -> Batches:
    for batches in frame.partitions(1):
        yield from batches
