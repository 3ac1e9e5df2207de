"""A lane as the plugin sees it: frames out from any thread, with the segments released since the last."""

from __future__ import annotations

import select
import socket
import threading
from collections import deque
from typing import Final

from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.lanes import FRAME_BYTES_MAX, INLINE_BYTES_MAX, Lane, LaneError

FRAME_SLACK_BYTES: Final = 64 << 10
"""What a frame may hold beside a payload."""


class Limits:
    """What the engine said in its handshake."""

    def __init__(self) -> None:
        self.inline_bytes_max = INLINE_BYTES_MAX
        self.frame_bytes_max = FRAME_BYTES_MAX

    def set(self, inline_bytes_max: int, frame_bytes_max: int) -> None:
        """0 stands for a limit that was not said. Raises `ValueError` for frames that hold nothing."""
        if 0 < frame_bytes_max < 2 * FRAME_SLACK_BYTES:
            raise ValueError(
                f"frame_bytes_max is {frame_bytes_max}; at least {2 * FRAME_SLACK_BYTES} is needed"
            )
        self.frame_bytes_max = frame_bytes_max or FRAME_BYTES_MAX
        self.inline_bytes_max = min(
            inline_bytes_max or INLINE_BYTES_MAX, self.frame_bytes_max - FRAME_SLACK_BYTES
        )


class PluginLane:
    """One thread receives; any may send."""

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        self.limits = limits
        self._lane = Lane[wire.PluginFrame, wire.EngineFrame](
            connection, wire.EngineFrame, limits.frame_bytes_max
        )
        # A finalizer may log, and so send, in the midst of a `send` of the same thread.
        self._sending = threading.RLock()
        self._released: deque[int] = deque()
        self._hangup = select.poll()
        self._hangup.register(connection, select.POLLRDHUP)

    def released(self, segment_id: int) -> None:
        """Nothing refers to the segment's slice any more. Called by finalizers, so it takes no lock."""
        self._released.append(segment_id)

    def send(self, frame: wire.PluginFrame, *, hold: bool = False) -> None:
        """With `hold` it may wait for the next frame. Raises `LaneError`."""
        with self._sending:
            while self._released:
                frame.released.append(self._released.popleft())
            self._lane.send(frame, hold=hold)

    def receive(self) -> wire.EngineFrame | None:
        """Raises `LaneError`."""
        return self._lane.receive()

    def receive_in_call(self) -> wire.EngineFrame:
        """Raises `LaneError`, also for a lane that was closed between two frames."""
        frame = self._lane.receive()
        if frame is None:
            raise LaneError("the engine closed the lane in mid-call")
        return frame

    @property
    def hung_up(self) -> bool:
        """Whether the engine has closed the lane."""
        return bool(self._hangup.poll(0))

    def close(self) -> None:
        self._lane.close()
