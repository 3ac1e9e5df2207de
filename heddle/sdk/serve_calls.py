"""The calls of a plugin process: a thread a lane, which reads an input, calls the step, and answers."""

from __future__ import annotations

import json
import socket
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Final

import pyarrow as pa

from heddle.core.failure import StepError, contract_error, failure_of
from heddle.core.report import StepAnswered, StepLogged, StepReport, Tell
from heddle.core.step import RejectedRows, StepContext, Turn
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.columns import joined
from heddle.core.wire.failures import encode_failure
from heddle.core.wire.lanes import LaneError
from heddle.core.wire.payload import PayloadError, read
from heddle.core.wire.reports import encode_rejected, encode_report
from heddle.core.wire.segments import MappedSegments, SegmentError
from heddle.sdk.call_output import CallOutput
from heddle.sdk.chain import Member, run_chain
from heddle.sdk.plugin_lane import Limits, PluginLane
from heddle.sdk.registry import Binding, Registry
from heddle.sdk.serve_log import CURRENT, to_stderr

EARLY_CANCELS_MAX: Final = 1024


class Calls:
    """The calls under way, by id. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._active: dict[int, Call] = {}
        self._early: OrderedDict[int, None] = OrderedDict()
        self._draining = False

    @property
    def count(self) -> int:
        return len(self._active)

    @contextmanager
    def active(self, call: Call) -> Iterator[None]:
        """Raises `StepError` when no call may begin any more."""
        with self._changed:
            if self._draining:
                raise StepError("protocol", "the plugin is ending, and takes no more calls", "Draining")
            self._active[call.id] = call
            if self._early.pop(call.id, self) is None:
                call.cancel()
        try:
            yield
        finally:
            with self._changed:
                del self._active[call.id]
                self._changed.notify_all()

    def cancel(self, id: int) -> None:
        """Also for a call whose first frame is still on its way."""
        with self._changed:
            call = self._active.get(id)
            if call is not None:
                call.cancel()
                return
            self._early[id] = None
            if len(self._early) > EARLY_CANCELS_MAX:
                self._early.popitem(last=False)

    def drain(self, timeout_s: float | None = None, *, cancel: bool = False) -> None:
        """Let no call begin, and wait until those under way have ended."""
        with self._changed:
            self._draining = True
            if cancel:
                for call in self._active.values():
                    call.cancel()
            self._changed.wait_for(lambda: not self._active, timeout_s)


class Lanes:
    """Listens from the start; `serve` begins to answer."""

    def __init__(self, socket_path: str, registry: Registry, calls: Calls, limits: Limits) -> None:
        self._registry = registry
        self._calls = calls
        self._limits = limits
        self._segments = MappedSegments()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(socket_path)
        self._listener.listen(socket.SOMAXCONN)

    def serve(self) -> None:
        threading.Thread(target=self._accept, name="heddle-lanes", daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            try:
                threading.Thread(
                    target=self._lane, args=(connection,), name="heddle-lane", daemon=True
                ).start()
            except RuntimeError as error:  # the system has no thread to give
                sys.stderr.write(f"heddle: a lane could not be served: {error}\n")
                connection.close()

    def _lane(self, connection: socket.socket) -> None:
        lane = PluginLane(connection, self._limits)
        try:
            while (frame := lane.receive()) is not None:
                if frame.WhichOneof("kind") != "call":
                    raise LaneError(f"a frame of the kind {frame.WhichOneof('kind')} outside of a call")
                Call(lane, self._segments, frame.call).serve(self._registry, self._calls)
                del frame
        except LaneError as error:
            sys.stderr.write(f"heddle: a lane was closed: {error}\n")
        finally:
            lane.close()


class Call:
    """One call over a lane."""

    def __init__(self, lane: PluginLane, segments: MappedSegments, begin: wire.Call) -> None:
        self.id = begin.call_id
        self._lane = lane
        self._segments = segments
        self._begin = begin
        self._cancelled = threading.Event()
        self._ended = False
        self._done = 0

    def cancel(self) -> None:
        self._cancelled.set()

    def is_cancelled(self) -> bool:
        """A lane that the engine has closed is a cancellation too."""
        return self._cancelled.is_set() or self._lane.hung_up

    def serve(self, registry: Registry, calls: Calls) -> None:
        """Answers with a `Result`, whatever happens. Raises `LaneError` when the lane is of no use."""
        failure = self._failure(registry, calls)
        # Nothing here refers to the input any more, so its memory is given back with this frame.
        self._ended = True
        self._lane.send(wire.PluginFrame(result=wire.Result(failure=failure, done=self._done)))

    def tell(self, report: StepReport, member: int = 0) -> None:
        """From any thread; after the call's end log lines go to stderr."""
        if self._ended:
            if isinstance(report, StepLogged):
                to_stderr(report)
            return
        with suppress(LaneError):  # the step will see that it is cancelled
            self._lane.send(encode_report(report, member))

    def _failure(self, registry: Registry, calls: Calls) -> wire.Failure | None:
        token = CURRENT.set(self.tell)
        try:
            return self._run(registry, calls)
        except LaneError:
            raise
        except BaseException as error:
            self._done = 0
            return _encoded(error)
        finally:
            CURRENT.reset(token)

    def _run(self, registry: Registry, calls: Calls) -> wire.Failure | None:
        begin = self._begin
        if begin.forgotten:
            self._segments.forget(begin.forgotten)
        batches = self._input()
        with ExitStack() as stack:
            stack.enter_context(calls.active(self))
            binding = stack.enter_context(registry.in_use(begin.binding_id))
            followers = [stack.enter_context(registry.in_use(f.binding_id)) for f in begin.followers]
            if self._cancelled.is_set():
                raise _cancelled()
            if followers:
                return self._perform_chain([binding, *followers], batches)
            self._perform(binding, batches)
        return None

    def _input(self) -> list[pa.Table]:
        """The batches of the input. All are read from the lane, also when one is of no use."""
        begin = self._begin
        if not begin.has_input:
            return []
        tables: list[pa.Table] = []
        problem = ""
        batches = [begin.batch] if begin.HasField("batch") else []
        ended = begin.end
        while True:
            for batch in batches:
                try:
                    tables.append(self._table(batch))
                except (PayloadError, SegmentError) as error:
                    problem = str(error)
            if ended:
                break
            frame = self._lane.receive_in_call()
            kind = frame.WhichOneof("kind")
            if kind not in ("batch", "end"):
                raise LaneError(f"a frame of the kind {kind} in the midst of an input")
            ended = kind == "end"
            batches = [] if ended else [frame.batch]
        if problem or not tables:
            raise _protocol(problem or "a call with an input came without a batch")
        return tables

    def _table(self, batch: wire.Batch) -> pa.Table:
        if batch.WhichOneof("place") != "slice":
            return read(batch.inline)
        piece = batch.slice
        try:
            memory = self._segments.input(piece.segment, piece.offset, piece.length, self._lane.released)
        except SegmentError:
            self._lane.released(piece.segment.id)
            raise
        return read(memory)

    def _perform(self, binding: Binding, batches: list[pa.Table]) -> None:
        input = _joined(batches)
        only = input if len(batches) == 1 else None
        batches.clear()
        rows = input.num_rows if input is not None else 0
        context = self._context(self._begin.context, binding, rows, self.tell)
        if self._begin.context.operation:
            self._answer(binding, context)
            return
        output = CallOutput(self._lane, self._segments, _segment(self._begin.grant))
        tables = binding.step.call(input, context)
        assert isinstance(tables, Generator)
        try:
            if only is None:
                for table in tables:
                    self._check_cancelled()
                    output.send(table)
            else:
                self._send_answer(tables, only, output)
        finally:
            tables.close()
        for rejected in context.rejections:
            self._reject(rejected)

    def _answer(self, binding: Binding, context: StepContext) -> None:
        told = self._begin.context
        answer = binding.step.ask(told.operation, json.loads(told.argument_json or "null"), context)
        try:
            frame = encode_report(StepAnswered(answer))
        except (TypeError, ValueError) as error:
            raise contract_error(f"`{binding.step.name}` answered with what is no JSON: {error}") from error
        self._lane.send(frame)

    def _perform_chain(self, bindings: list[Binding], batches: list[pa.Table]) -> wire.Failure | None:
        """Sends what the steps made that did as their links say; gives the failure of the one behind them."""
        input = _joined(batches)
        if input is None:
            raise _protocol("a chain came without an input")
        only = input if len(batches) == 1 else None
        batches.clear()
        members = [self._member(number, binding) for number, binding in enumerate(bindings)]
        end = run_chain(members, input, self.is_cancelled)
        self._check_cancelled()
        failure = None if end.failure is None else _encoded(end.failure)
        if end.done:
            output = CallOutput(self._lane, self._segments, _segment(self._begin.grant))
            if only is None:
                output.send(end.table)
            else:
                output.send_only(end.table, only)
        self._done = end.done
        return failure

    def _member(self, number: int, binding: Binding) -> Member:
        if binding.link is None:
            raise _protocol("a binding without a link stands in a chain")
        told = wire.Context()
        told.CopyFrom(self._begin.context)
        if number:
            follower = self._begin.followers[number - 1]
            told.step = follower.step
            told.ClearField("idempotency_key")
            if follower.HasField("idempotency_key"):
                told.idempotency_key = follower.idempotency_key
        tell = partial(self.tell, member=number)

        def context(rows: int) -> StepContext:
            CURRENT.set(tell)
            return self._context(told, binding, rows, tell)

        return Member(binding.step, binding.link, context)

    def _send_answer(self, tables: Iterator[pa.Table], input: pa.Table, output: CallOutput) -> None:
        """Only a single table can name columns of the input, so one is held back."""
        held = next(tables, None)
        following = next(tables, None)
        if held is not None and following is None:
            output.send_only(held, input)
        elif held is not None:
            output.send(held)
        while following is not None:
            self._check_cancelled()
            output.send(following)
            following = next(tables, None)

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise _cancelled()

    def _context(self, told: wire.Context, binding: Binding, rows: int, tell: Tell) -> StepContext:
        return StepContext(
            run_id=told.run_id,
            workflow=told.workflow,
            step=told.step,
            attempt=told.attempt,
            idempotency_key=told.idempotency_key if told.HasField("idempotency_key") else None,
            deadline=told.deadline_s if told.HasField("deadline_s") else None,
            cancelled=self.is_cancelled,
            row_count=rows,
            base=binding.base,
            tell=tell,
            parameters=binding.parameters,
            columns=binding.columns,
            turn=Turn(told.turn.max_rows, told.turn.max_wait_s) if told.HasField("turn") else None,
        )

    def _reject(self, rejected: RejectedRows) -> None:
        for frame in encode_rejected(rejected):
            self._lane.send(frame)


def _joined(batches: list[pa.Table]) -> pa.Table | None:
    try:
        return joined(batches) if batches else None
    except pa.ArrowInvalid as error:
        raise _protocol("the batches of an input have different schemas") from error


def _segment(grant: wire.Grant) -> wire.Segment | None:
    return grant.segment if grant.HasField("segment") else None


def _protocol(message: str) -> StepError:
    return StepError("protocol", message, "ProtocolError")


def _cancelled() -> StepError:
    return StepError("cancelled", "the call was cancelled", "CancelledError")


def _encoded(error: BaseException) -> wire.Failure:
    failure = encode_failure(failure_of(error))
    _forget_frames(error)
    return failure


def _forget_frames(error: BaseException) -> None:
    """What the frames of an exception refer to must not outlive the call: its input is lent."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        traceback.clear_frames(current.__traceback__)
        pending += [current.__cause__, current.__context__]
