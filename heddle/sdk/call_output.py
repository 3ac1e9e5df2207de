"""A call's output on its way to the engine: inline, in a granted segment, or left out where untouched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.core.failure import StepError
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.columns import untouched, without_untouched
from heddle.core.wire.lanes import LaneError
from heddle.core.wire.payload import Payload, inline_payloads, payload, payloads, to_stream
from heddle.core.wire.segments import MappedSegments
from heddle.sdk.plugin_lane import FRAME_SLACK_BYTES, PluginLane

PAYLOAD_BYTES_MAX: Final = 64 << 20
"""A larger output goes in several batches, so that no segment is huge."""


class CallOutput:
    """`grant` is the segment that came with the call; it serves one batch."""

    def __init__(self, lane: PluginLane, segments: MappedSegments, grant: wire.Segment | None) -> None:
        self._lane = lane
        self._segments = segments
        self._grant = grant

    def send(self, table: pa.Table) -> None:
        """One of several tables of the output. Raises `LaneError` and `StepError`."""
        if not self._sent_small(table, hold=False):
            self._send_large(table)

    def send_only(self, table: pa.Table, input: pa.Table) -> None:
        """The whole output of a call whose input was one batch: large columns that are the same memory do
        not travel. Raises `LaneError` and `StepError`."""
        if self._sent_small(table, hold=True):
            return
        sources = untouched(table, input)
        if not (sources and self._sent_without(table, sources)):
            self._send_large(table)

    def _sent_small(self, table: pa.Table, *, hold: bool) -> bool:
        inline_bytes_max = self._lane.limits.inline_bytes_max
        if data_bytes(table) > inline_bytes_max:
            return False
        stream = to_stream(table)
        if stream.size > inline_bytes_max:
            return False
        self._send(wire.Batch(inline=stream.to_pybytes()), hold=hold)
        return True

    def _send_large(self, table: pa.Table) -> None:
        for part in payloads(table, PAYLOAD_BYTES_MAX):
            if not self._sent_whole(part, ()):
                self._send_cut(part)

    def _sent_without(self, table: pa.Table, sources: Sequence[int]) -> bool:
        rest = without_untouched(table, sources)
        return self._sent_whole(payload(rest.schema, rest.to_batches()), sources)

    def _sent_whole(self, part: Payload, sources: Sequence[int]) -> bool:
        """Whether it could be sent as one batch."""
        if part.size_bytes <= self._lane.limits.inline_bytes_max:
            self._send(wire.Batch(inline=part.to_bytes(), columns=sources))
            return True
        segment = self._granted(part.size_bytes)
        if segment is not None:
            part.write(self._segments.output(segment))
            self._send(wire.Batch(slice=wire.Slice(segment=segment, length=part.size_bytes), columns=sources))
            return True
        if part.size_bytes <= self._lane.limits.frame_bytes_max - FRAME_SLACK_BYTES:
            self._send(wire.Batch(inline=part.to_bytes(), columns=sources))
            return True
        return False

    def _send_cut(self, part: Payload) -> None:
        room = self._lane.limits.frame_bytes_max - FRAME_SLACK_BYTES
        for smaller in inline_payloads(part, room):
            if smaller.size_bytes > room:
                raise StepError(
                    "step",
                    f"a single row of {smaller.size_bytes >> 20} MB does not fit into a message to the "
                    "engine, whose shared memory is used up; give the run more memory (--memory)",
                    "OutOfMemory",
                )
            self._send(wire.Batch(inline=smaller.to_bytes()))

    def _granted(self, size_bytes: int) -> wire.Segment | None:
        """A segment that is large enough; None when there is none to be had."""
        granted, self._grant = self._grant, None
        if granted is not None and granted.size_bytes >= size_bytes:
            return granted
        self._lane.send(wire.PluginFrame(need=wire.Need(size_bytes=size_bytes)))
        frame = self._lane.receive_in_call()
        if frame.WhichOneof("kind") != "grant":
            raise LaneError(f"a frame of the kind {frame.WhichOneof('kind')} where a grant is wanted")
        if not frame.grant.HasField("segment"):
            return None
        if frame.grant.segment.size_bytes < size_bytes:
            raise LaneError("a grant that is smaller than what was asked for")
        return frame.grant.segment

    def _send(self, batch: wire.Batch, *, hold: bool = False) -> None:
        self._lane.send(wire.PluginFrame(batch=batch), hold=hold)
