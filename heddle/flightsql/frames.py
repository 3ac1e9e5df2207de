"""Record batches and the bytes of `FlightData`, which gRPC carries as they are.

A message of Arrow IPC is a header (a flatbuffer) and a body. `FlightData` has them as its fields 2 and 1000;
generated code would copy the body twice more on its way out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.ipc

from heddle.core.record import record
from heddle.flightsql.wire.flight_pb2 import FlightData

MESSAGE_BYTES: Final = 1 << 20
"""Small batches are put together until they have so many bytes."""
MESSAGE_BYTES_SPLIT: Final = 4 << 20
"""A larger batch is cut into parts of about this size."""
MESSAGE_BYTES_MAX: Final = 8 << 20
"""What no message exceeds but a row that is larger: clients take 16 MiB and no more."""
ROWS_MAX: Final = 1 << 20

Compression: TypeAlias = Literal["none", "lz4", "zstd"]
Encode: TypeAlias = Callable[[pa.RecordBatch], bytes]

_HEADER: Final = b"\x12"
_BODY: Final = b"\xc2\x3e"
_CONTINUATION: Final = b"\xff\xff\xff\xff"


class FrameError(ValueError):
    """What a client put is no stream of record batches."""


def schema_message(schema: pa.Schema) -> bytes:
    """As `FlightInfo.schema` and the like have it: with its length before it."""
    return schema.serialize().to_pybytes()  # type: ignore[no-any-return]


def schema_frame(schema: pa.Schema) -> bytes:
    """The first frame of a stream."""
    return _frame(pa.ipc.read_message(schema.serialize()))


def encoder(schema: pa.Schema, compression: Compression) -> Encode:
    """Makes the frame of a batch of `schema`, which has no dictionaries."""
    if compression == "none":
        return lambda batch: _frame(pa.ipc.read_message(batch.serialize()))
    options = pa.ipc.IpcWriteOptions(compression=compression)
    start = len(schema.serialize())

    def encode(batch: pa.RecordBatch) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema, options=options) as writer:
            writer.write_batch(batch)
        return _frame(pa.ipc.read_message(sink.getvalue().slice(start)))

    return encode


def empty_frame(schema: pa.Schema) -> bytes:
    """A batch without rows: it tells proxies that a silent stream is alive."""
    arrays = [pa.array([], field.type) for field in schema]
    return _frame(pa.ipc.read_message(pa.RecordBatch.from_arrays(arrays, schema=schema).serialize()))


def parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch cut so that no message exceeds `MESSAGE_BYTES_MAX`, as far as rows go."""
    size_bytes = batch.nbytes
    if size_bytes <= MESSAGE_BYTES_MAX and batch.num_rows <= ROWS_MAX:
        yield batch
        return
    count = max(-(-size_bytes // MESSAGE_BYTES_SPLIT), -(-batch.num_rows // ROWS_MAX))
    rows = max(1, -(-batch.num_rows // count))
    for start in range(0, batch.num_rows, rows):
        yield from _halved(batch.slice(start, rows))


def _halved(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows < 2 or batch.nbytes <= MESSAGE_BYTES_MAX:
        yield batch
        return
    middle = batch.num_rows // 2
    yield from _halved(batch.slice(0, middle))
    yield from _halved(batch.slice(middle))


def _frame(message: Any) -> bytes:
    header, body = memoryview(message.metadata), message.body
    if body is None or not body.size:
        return b"".join((_HEADER, _varint(len(header)), header))
    return b"".join((_HEADER, _varint(len(header)), header, _BODY, _varint(body.size), memoryview(body)))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


@record(frozen=True, slots=True)
class PutStream:
    """What a client puts: `descriptor_cmd` is its command, then come the batches."""

    descriptor_cmd: bytes
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def read_put(frames: Iterator[FlightData]) -> PutStream:
    """Reads the first frame. Raises `FrameError`, also while the batches are read."""
    first = next(frames, None)
    if first is None:
        raise FrameError("the stream is empty: its first message has the command and the schema")
    command = first.flight_descriptor.cmd
    if not first.data_header:
        return PutStream(command, pa.schema([]), iter(()))
    source = _Input(first, frames)
    try:
        reader = pa.ipc.open_stream(pa.PythonFile(source, mode="r"))
    except (pa.ArrowException, OSError, EOFError) as error:
        raise FrameError("the first message has no schema that can be read") from error
    return PutStream(command, reader.schema, _batches(reader, source))


def _batches(reader: Any, source: _Input) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = reader.read_next_batch()
            batch.validate(full=True)
        except StopIteration:
            return
        except (pa.ArrowException, OSError, EOFError) as error:
            if source.failure is not None:
                raise source.failure from None
            raise FrameError("a message is no record batch of the stream's schema") from error
        yield batch


class _Input:
    """Frames as the stream of bytes that Arrow's reader takes. What their iterator raises is kept in
    `failure`, since Arrow would make another error of it."""

    def __init__(self, first: FlightData, frames: Iterator[FlightData]) -> None:
        self._frames = frames
        self._pieces: list[memoryview] = []
        self.failure: Exception | None = None
        self.closed = False
        self._take(first)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def read(self, size: int) -> bytes | memoryview:
        if not self._pieces and not self._next():
            return b""
        piece = self._pieces[0]
        if len(piece) == size:
            return self._pieces.pop(0)
        if len(piece) > size:
            self._pieces[0] = piece[size:]
            return piece[:size]
        taken = bytearray()
        while len(taken) < size and (self._pieces or self._next()):
            piece = self._pieces[0][: size - len(taken)]
            taken += piece
            rest = self._pieces.pop(0)[len(piece) :]
            if len(rest):
                self._pieces.insert(0, rest)
        return bytes(taken)

    def _next(self) -> bool:
        """Whether there is another frame with a batch."""
        try:
            for frame in self._frames:
                if frame.data_header:
                    self._take(frame)
                    return True
        except Exception as error:  # whatever the transport raises goes to who reads the batches
            self.failure = error
            raise
        return False

    def _take(self, frame: FlightData) -> None:
        header = frame.data_header
        padding = -len(header) % 8
        length = (len(header) + padding).to_bytes(4, "little")
        start = b"".join((_CONTINUATION, length, header, b"\0" * padding))
        self._pieces += [memoryview(start[:4]), memoryview(start[4:8]), memoryview(start[8:])]
        if frame.data_body:
            self._pieces.append(memoryview(frame.data_body))
