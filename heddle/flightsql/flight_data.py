"""What a client's `FlightData` holds, found in its bytes without copying them.

Generated code copies a body when it parses a message, and again each time the body is read. A frame here is
the message's protobuf encoding: fields one after the other, each a tag and a value.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heddle.core.record import record

_DESCRIPTOR: Final = 1
_HEADER: Final = 2
_BODY: Final = 1000
_VARINT: Final = 0
_BYTES: Final = 2
_FIXED_BYTES: Final = {1: 8, 5: 4}
"""The kinds of fields that have numbers of a fixed size."""
_VARINT_BYTES_MAX: Final = 10
FIELDS_MAX: Final = 100
"""A client's message has four; each one costs, and a message may be large enough for millions."""
ALIGNMENT_BYTES: Final = 8
"""Of a body's start: Arrow's computations may end the process on numbers that lie elsewhere."""
LARGE_BODY_BYTES: Final = 256 << 10
"""A smaller one is copied sooner than Python's lock is given to another thread and taken back."""


class WireError(ValueError):
    """The bytes are no message."""


@record(frozen=True, slots=True)
class FlightParts:
    """Views into the frame: the descriptor's own encoding, and a message of Arrow IPC. What the frame does
    not have is empty."""

    descriptor: memoryview
    header: memoryview
    body: memoryview

    def placed_body(self) -> memoryview:
        """The body where Arrow needs it: a copy in memory of its own, unless it is small and lies well."""
        small = len(self.body) < LARGE_BODY_BYTES
        if small and pa.py_buffer(self.body).address % ALIGNMENT_BYTES == 0:
            return self.body
        own = pa.allocate_buffer(len(self.body))
        placed = memoryview(own).cast("B")
        if small:
            placed[:] = self.body
        else:
            pa.FixedSizeBufferWriter(own).write(self.body)  # without Python's lock
        return placed


def flight_parts(frame: bytes) -> FlightParts:
    """Raises `WireError`. As in generated code, the last one counts of a field that comes twice, and fields
    that are not known are passed over, up to `FIELDS_MAX` in all."""
    view = memoryview(frame)
    found = {_DESCRIPTOR: view[:0], _HEADER: view[:0], _BODY: view[:0]}
    at = count = 0
    while at < len(view):
        count += 1
        if count > FIELDS_MAX:
            raise WireError("there are too many fields")
        tag, at = _varint(view, at)
        field, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            size, at = _varint(view, at)
            end = at + size
            if field in found:
                found[field] = view[at:end]
        elif kind == _VARINT:
            _, end = _varint(view, at)
        elif kind in _FIXED_BYTES:
            end = at + _FIXED_BYTES[kind]
        else:
            raise WireError("a field has no kind that is known")
        if end > len(view) or field == 0:
            raise WireError("a field ends behind the message")
        at = end
    return FlightParts(found[_DESCRIPTOR], found[_HEADER], found[_BODY])


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    number = 0
    for index in range(min(_VARINT_BYTES_MAX, len(view) - at)):
        byte = view[at + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, at + index + 1
    raise WireError("a number has no end")
