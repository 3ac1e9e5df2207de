"""A lane: a connection that carries length-prefixed protobuf frames, one call at a time."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import Final, Generic, TypeVar

from google.protobuf.message import DecodeError, Message

FRAME_BYTES_MAX: Final = 16 << 20
INLINE_BYTES_MAX: Final = 64 << 10
"""Below this, copying a payload through the socket is faster than handing over a segment."""

_PREFIX_BYTES: Final = 4
_READ_BYTES: Final = 1 << 16
_HELD_BYTES_MAX: Final = 1 << 17

Sent = TypeVar("Sent", bound=Message)
Received = TypeVar("Received", bound=Message)


class LaneError(Exception):
    """The peer closed the lane in mid-frame, or sent what is no frame."""


class Lane(Generic[Sent, Received]):
    """Frames of type `Sent` go out, frames of type `Received` come in. One thread uses it at a time."""

    def __init__(
        self,
        connection: socket.socket,
        received: type[Received],
        frame_bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        self._connection = connection
        self._received = received
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()
        self._held = b""

    def send(self, frame: Sent, *, hold: bool = False) -> None:
        """With `hold` the frame may wait for the next one, to save a system call. Raises `LaneError` when
        the peer is gone."""
        body = frame.SerializeToString()
        assert len(body) <= self._frame_bytes_max, f"a frame of {len(body)} bytes"
        data = b"".join((self._held, len(body).to_bytes(_PREFIX_BYTES, "little"), body))
        if hold and len(data) <= _HELD_BYTES_MAX:
            self._held = data
            return
        self._held = b""
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise LaneError(f"the lane is closed ({error.strerror})") from error

    def receive(self) -> Received | None:
        """The next frame; None when the peer closed the lane between two frames. Raises `LaneError`."""
        if not self._filled(_PREFIX_BYTES):
            return None
        length = int.from_bytes(self._buffer[:_PREFIX_BYTES], "little")
        if length > self._frame_bytes_max:
            raise LaneError(f"a frame of {length} bytes was announced; {self._frame_bytes_max} are allowed")
        end = _PREFIX_BYTES + length
        if not self._filled(end):
            raise LaneError("the lane was closed inside a frame")
        body = bytes(memoryview(self._buffer)[_PREFIX_BYTES:end])
        del self._buffer[:end]
        try:
            return self._received.FromString(body)
        except DecodeError as error:
            raise LaneError("a frame is not what the protocol says") from error

    def wait(self, timeout_s: float) -> bool:
        """Whether a frame, or the end of the lane, is there within the time."""
        if self._buffer:
            return True
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))

    def close(self) -> None:
        """Wakes a thread that waits in `receive`."""
        with suppress(OSError):  # the peer was first
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _filled(self, size: int) -> bool:
        """Whether the buffer holds `size` bytes, after reading what is missing."""
        while len(self._buffer) < size:
            missing = size - len(self._buffer)
            try:
                chunk = self._connection.recv(max(missing, _READ_BYTES))
            except OSError as error:
                raise LaneError(f"the lane is closed ({error.strerror})") from error
            if not chunk:
                if self._buffer:
                    raise LaneError("the lane was closed inside a frame")
                return False
            self._buffer += chunk
        return True
