"""One call over a lane: input goes out in segments or inline, output comes back, with what is told between.

A call always ends with the plugin's `Result`, because only then is it sure that the plugin no longer
touches the memory it was lent. One that does not end after a cancellation costs the plugin its life.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.core.failure import CONTRACT
from heddle.core.step import RejectedRows, Turn
from heddle.core.wire import columns
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.lanes import FRAME_BYTES_MAX, INLINE_BYTES_MAX, Lane, LaneError
from heddle.core.wire.payload import Payload, PayloadError, payloads, read, to_stream
from heddle.core.wire.reports import decode_rejected, decode_report
from heddle.udf_bridge.segments import OwnedSegment, SegmentPool
from heddle.udf_bridge.transport import (
    CallContext,
    Reporter,
    StepContractError,
    StepFailure,
)

PAYLOAD_BYTES_MAX: Final = 64 << 20
"""A larger input goes in several batches, so that no segment is huge."""
INLINE_PART_BYTES: Final = FRAME_BYTES_MAX // 2
CANCEL_GRACE_S: Final = 2.0

EngineLane: TypeAlias = Lane[wire.EngineFrame, wire.PluginFrame]


class PluginLostError(Exception):
    """The plugin's process ended, or no longer keeps to the protocol. The message says which."""


class PluginGoneError(PluginLostError):
    """The process had ended before the call reached it, so the call may be made again, whatever it does."""


class LeaseExpiredError(Exception):
    """A resource of the binding is closed: it must be opened and bound anew."""


class CalledPlugin(Protocol):
    """What a call needs of the plugin's process."""

    @property
    def segments(self) -> SegmentPool: ...

    def cancel(self, call_id: int) -> None:
        """Tell the plugin; does not wait for an effect."""
        ...

    def kill(self) -> None: ...

    def ending(self) -> str:
        """How the process ended, for people."""
        ...


def encode_context(context: CallContext) -> wire.Context:
    """What a plugin is told of a call's run."""
    return wire.Context(
        run_id=context.run_id,
        workflow=context.workflow,
        step=context.step,
        attempt=context.attempt,
        idempotency_key=context.idempotency_key,
        deadline_s=context.deadline_s,
        operation=context.operation,
        argument_json=json.dumps(context.argument) if context.operation else "",
        turn=_turn(context.turn) if context.turn is not None else None,
    )


def _turn(turn: Turn) -> wire.Turn:
    return wire.Turn(max_rows=turn.max_rows, max_wait_s=turn.max_wait_s)


class LaneCall:
    """Use it once: `run` gives the output, `grant_bytes` afterwards the size of its largest batch.

    With `followers` it is a chain, with a reporter for each of its steps; `done` of them then gave what they
    promise, and a failure is that of the step behind them.
    """

    def __init__(
        self,
        lane: EngineLane,
        plugin: CalledPlugin,
        call_id: int,
        context: CallContext,
        reports: Sequence[Reporter],
        followers: Sequence[wire.Follower] = (),
    ) -> None:
        self._lane = lane
        self._plugin = plugin
        self._pool = plugin.segments
        self._id = call_id
        self._context = context
        self._reports = reports
        self._followers = followers
        self._deadline = time.monotonic() + context.deadline_s if context.deadline_s is not None else None
        self._sent: pa.Table | None = None
        self._grant: OwnedSegment | None = None
        self._timed_out = False
        self._asked_to_end = threading.Event()
        self._killer: threading.Timer | None = None
        self.grant_bytes = 0
        self.done = 0
        self.ended = False

    def run(
        self, binding_id: int, input: pa.Table | None, refused: list[RejectedRows], grant_bytes: int
    ) -> Iterator[pa.Table]:
        """The output's tables; they may lie in shared memory. Raises `StepFailure`, `PluginLostError`,
        `LeaseExpiredError`."""
        forget = self._context.on_cancel(self._cancel)
        try:
            self._begin(binding_id, input, grant_bytes)
            yield from self._output(refused)
        except LaneError as error:
            raise self._lost(error) from error
        finally:
            forget()
            self._finish()

    def _begin(self, binding_id: int, input: pa.Table | None, grant_bytes: int) -> None:
        context = self._context
        call = wire.Call(
            call_id=self._id,
            binding_id=binding_id,
            context=encode_context(context),
            has_input=input is not None,
            end=True,
            forgotten=self._pool.forgotten(),
            followers=self._followers,
        )
        batches = self._placed(input) if input is not None else iter(())
        first = next(batches, None)
        if first is not None:
            call.batch.CopyFrom(first)
        second = next(batches, None)
        call.end = second is None
        if grant_bytes:
            call.grant.CopyFrom(self._granted(grant_bytes))
        self._lane.send(wire.EngineFrame(call=call))
        if second is None:
            self._sent = input
            return
        self._lane.send(wire.EngineFrame(batch=second))
        for batch in batches:
            self._lane.send(wire.EngineFrame(batch=batch))
        self._lane.send(wire.EngineFrame(end=wire.EndInput()))

    def _placed(self, table: pa.Table) -> Iterator[wire.Batch]:
        if data_bytes(table) <= INLINE_BYTES_MAX:
            stream = to_stream(table)
            if stream.size <= INLINE_BYTES_MAX:
                yield wire.Batch(inline=stream.to_pybytes())
                return
        for part in payloads(table, PAYLOAD_BYTES_MAX):
            if part.size_bytes <= INLINE_BYTES_MAX:
                yield wire.Batch(inline=part.to_bytes())
                continue
            segment = self._pool.take(part.size_bytes)
            if segment is not None:
                part.write(segment.memory)
                yield wire.Batch(slice=wire.Slice(segment=segment.wire, offset=0, length=part.size_bytes))
                continue
            yield from self._inline(part)

    def _inline(self, part: Payload) -> Iterator[wire.Batch]:
        for smaller in payloads(pa.Table.from_batches(part.batches), INLINE_PART_BYTES):
            if smaller.size_bytes > FRAME_BYTES_MAX - INLINE_BYTES_MAX:
                raise StepFailure(
                    f"a single row of {smaller.size_bytes >> 20} MB does not fit into a message to the "
                    "plugin, and its shared memory is used up; make the row smaller",
                    "OutOfMemory",
                    "",
                )
            yield wire.Batch(inline=smaller.to_bytes())

    def _output(self, refused: list[RejectedRows]) -> Iterator[pa.Table]:
        while True:
            frame = self._received()
            for id in frame.released:
                self._pool.give_back(id)
            match frame.WhichOneof("kind"):
                case "batch" if not self._asked_to_end.is_set():
                    yield self._table(frame.batch)
                case "batch":
                    self._take_slice(frame.batch)
                case "rejection":
                    refused.append(decode_rejected(frame.rejection))
                case "need":
                    self._lane.send(wire.EngineFrame(grant=self._granted(frame.need.size_bytes)))
                case "result":
                    self.ended = True
                    self.done = frame.result.done
                    self._raise_failure(frame.result)
                    return
                case None:
                    pass  # only `released`
                case other:
                    told = decode_report(frame)
                    if told is None:
                        raise LaneError(f"a frame of the kind {other}, which is not known here")
                    if frame.member >= len(self._reports):
                        raise LaneError(f"a report of step {frame.member}, which the call does not have")
                    self._reports[frame.member](told)

    def _received(self) -> wire.PluginFrame:
        if self._deadline is not None and not self._timed_out:
            self._timed_out = not self._lane.wait(self._deadline - time.monotonic())
            if self._timed_out:
                self._cancel()
        frame = self._lane.receive()
        if frame is None:
            raise LaneError("the lane was closed in mid-call")
        return frame

    def _table(self, batch: wire.Batch) -> pa.Table:
        held = self._take_slice(batch)
        try:
            table = read(held if held is not None else batch.inline)
            if batch.columns:
                if self._sent is None:
                    raise LaneError("columns of an input that was not sent as one batch")
                table = columns.restored(table, self._sent, batch.columns)
        except (PayloadError, pa.ArrowInvalid, IndexError) as error:
            raise LaneError(f"a batch that cannot be read ({error})") from error
        return table

    def _take_slice(self, batch: wire.Batch) -> pa.Buffer | None:
        """The memory of an output that lies in a segment; None for one that is inline."""
        if batch.WhichOneof("place") != "slice":
            return None
        grant, self._grant = self._grant, None
        if grant is None or batch.slice.segment.id != grant.id or batch.slice.offset:
            raise LaneError("a batch in a segment that was not granted")
        if batch.slice.length > grant.memory.size:
            raise LaneError("a batch that ends behind its segment")
        self.grant_bytes = max(self.grant_bytes, batch.slice.length)
        return self._pool.lent_slice(grant, batch.slice.length)

    def _granted(self, size_bytes: int) -> wire.Grant:
        self._return_grant()
        self._grant = self._pool.take(size_bytes)
        return wire.Grant(segment=self._grant.wire) if self._grant is not None else wire.Grant()

    def _return_grant(self) -> None:
        if self._grant is not None:
            self._pool.give_back(self._grant.id)
            self._grant = None

    def _raise_failure(self, result: wire.Result) -> None:
        if self._timed_out:
            raise self._timeout()
        if result.HasField("failure"):
            if result.failure.kind == wire.Failure.EXPIRED:
                raise LeaseExpiredError(result.failure.message)
            raise step_failure(result.failure)

    def _timeout(self) -> StepFailure:
        return StepFailure(
            f"no answer within {self._context.deadline_s or 0:g} s", "Timeout", "", transient=True
        )

    def _cancel(self) -> None:
        """Ask the plugin to end the call; when it does not, end the plugin. From any thread."""
        if self.ended or self._asked_to_end.is_set():
            return
        self._asked_to_end.set()
        self._killer = threading.Timer(CANCEL_GRACE_S, self._plugin.kill)
        self._killer.daemon = True
        self._killer.start()
        self._plugin.cancel(self._id)

    def _finish(self) -> None:
        """Also for a consumer that stopped reading: the call is cancelled and read to its end."""
        if not self.ended and not self._lost_already:
            self._cancel()
            with suppress(LaneError, StepFailure, LeaseExpiredError):
                for _ in self._output([]):
                    pass
        if self._killer is not None:
            self._killer.cancel()
        if self.ended:
            self._return_grant()

    def _lost(self, error: LaneError) -> StepFailure | PluginLostError:
        self._lost_already = True
        if self._timed_out:
            return self._timeout()
        self._plugin.kill()
        return PluginLostError(f"{error}: {self._plugin.ending()}")

    _lost_already = False


def step_failure(failure: wire.Failure, prefix: str = "") -> StepFailure:
    """A failure of user code, as the executor takes it."""
    if failure.error_type == CONTRACT:
        return StepContractError(f"{prefix}{failure.message}")
    return StepFailure(
        f"{prefix}{failure.message}",
        failure.error_type or "Error",
        failure.stack_trace,
        transient=failure.transient,
    )
