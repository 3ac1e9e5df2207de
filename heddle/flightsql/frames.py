"""Record batches and the bytes of `FlightData`, which gRPC carries as they are.

A message of Arrow IPC is a header (a flatbuffer) and a body. `FlightData` has them as its fields 2 and 1000;
generated code would copy the body twice more on its way out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.ipc
from google.protobuf.message import DecodeError

from heddle.core.data_bytes import data_bytes
from heddle.core.record import record
from heddle.flightsql.flight_data import FlightParts, WireError, flight_parts
from heddle.flightsql.wire.flight_pb2 import FlightDescriptor

MESSAGE_BYTES: Final = 1 << 20
"""Small batches are put together until they have so many bytes."""
MESSAGE_BYTES_SPLIT: Final = 4 << 20
"""A larger batch is cut into parts of about this size."""
MESSAGE_BYTES_MAX: Final = 8 << 20
"""What no message exceeds but a row that is larger: clients take 16 MiB and no more."""
ROWS_MAX: Final = 1 << 20
SLACK_BYTES_MAX: Final = 1 << 20
"""What a batch may keep in memory beside its own bytes."""

Compression: TypeAlias = Literal["none", "lz4", "zstd"]
Encoding: TypeAlias = Literal[Compression, "batches"]
"""How rows wait for their reader: as frames, or as they are for a transport that makes its own messages."""
Piece: TypeAlias = bytes | pa.RecordBatch
Encode: TypeAlias = Callable[[pa.RecordBatch], Piece]

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


def encoder(schema: pa.Schema, encoding: Encoding) -> Encode:
    """Makes what waits of a batch of `schema`, which has no dictionaries."""
    if encoding == "batches":
        return _compact
    if encoding == "none":
        return plain_frame
    options = pa.ipc.IpcWriteOptions(compression=encoding)
    start = len(schema.serialize())

    def encode(batch: pa.RecordBatch) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema, options=options) as writer:
            writer.write_batch(batch)
        return _frame(pa.ipc.read_message(sink.getvalue().slice(start)))

    return encode


def plain_frame(batch: pa.RecordBatch) -> bytes:
    """Without compression."""
    return _frame(pa.ipc.read_message(batch.serialize()))


def piece_bytes(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.nbytes


def _compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without what lies around it: a few rows that are a part of many keep those in memory."""
    if batch.get_total_buffer_size() <= data_bytes(batch) + SLACK_BYTES_MAX:
        return batch
    return pa.ipc.read_record_batch(batch.serialize(), batch.schema)


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """Without rows: it tells proxies that a silent stream is alive."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def empty_frame(schema: pa.Schema) -> bytes:
    return plain_frame(empty_batch(schema))


def batch_of(frame: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """Of a frame that an encoder has made."""
    parts = flight_parts(frame)
    length = len(parts.header)
    start = b"".join((_CONTINUATION, length.to_bytes(4, "little"), parts.header, parts.body))
    return pa.ipc.read_record_batch(pa.ipc.read_message(start), schema)


def parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch cut so that no message exceeds `MESSAGE_BYTES_MAX`, as far as rows go."""
    size_bytes = data_bytes(batch)
    if size_bytes <= MESSAGE_BYTES_MAX and batch.num_rows <= ROWS_MAX:
        yield batch
        return
    count = max(-(-size_bytes // MESSAGE_BYTES_SPLIT), -(-batch.num_rows // ROWS_MAX))
    rows = max(1, -(-batch.num_rows // count))
    for start in range(0, batch.num_rows, rows):
        yield from _halved(batch.slice(start, rows))


def _halved(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows < 2 or data_bytes(batch) <= MESSAGE_BYTES_MAX:
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
    """What a client puts: `descriptor_cmd` is its command, then come the batches. With `compact` each keeps
    no memory beside its own rows and `SLACK_BYTES_MAX`."""

    descriptor_cmd: bytes
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    compact: bool = False


def read_put(frames: Iterator[bytes]) -> PutStream:
    """Reads the first frame. Raises `FrameError`, also while the batches are read."""
    given = next(frames, None)
    if given is None:
        raise FrameError("the stream is empty: its first message has the command and the schema")
    first = _parts(given)
    try:
        command = FlightDescriptor.FromString(first.descriptor.tobytes()).cmd
    except DecodeError as error:
        raise FrameError("the descriptor cannot be read") from error
    if not first.header:
        return PutStream(command, pa.schema([]), iter(()))
    source = _Input(first, frames)
    try:
        reader = pa.ipc.open_stream(pa.PythonFile(source, mode="r"))
    except (pa.ArrowException, OSError, EOFError) as error:
        raise FrameError("the first message has no schema that can be read") from error
    return PutStream(command, reader.schema, _batches(reader, source), compact=True)


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
        slack_bytes = source.kept_bytes - pa.ipc.get_record_batch_size(batch)
        yield batch if slack_bytes <= SLACK_BYTES_MAX else _apart(batch)


def _apart(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows in other memory. They may have dictionaries."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return pa.ipc.open_stream(sink.getvalue()).read_next_batch()


class _Input:
    """Frames as the stream of bytes that Arrow's reader takes. What their iterator raises is kept in
    `failure`, since Arrow would make another error of it. `kept_bytes` is what the last body keeps in
    memory."""

    def __init__(self, first: FlightParts, frames: Iterator[bytes]) -> None:
        self._frames = frames
        self._pieces: list[memoryview] = []
        self.failure: Exception | None = None
        self.kept_bytes = 0
        self.closed = False
        self._take(first)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def read(self, size: int) -> bytes | memoryview:
        """Never of two pieces: a header that tells of more than its frame has would keep all that comes."""
        if not self._pieces and not self._next():
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def _next(self) -> bool:
        """Whether there is another frame with a batch."""
        try:
            for frame in self._frames:
                parts = _parts(frame)
                if parts.header:
                    self._take(parts)
                    return True
        except Exception as error:  # whatever the transport raises goes to who reads the batches
            self.failure = error
            raise
        return False

    def _take(self, parts: FlightParts) -> None:
        header = parts.header
        padding = -len(header) % 8
        length = (len(header) + padding).to_bytes(4, "little")
        start = b"".join((_CONTINUATION, length, header, b"\0" * padding))
        self._pieces += [memoryview(start[:4]), memoryview(start[4:8]), memoryview(start[8:])]
        self.kept_bytes = 0
        if parts.body:
            body = parts.placed_body()
            self.kept_bytes = memoryview(body.obj).nbytes
            self._pieces.append(body)


def _parts(frame: bytes) -> FlightParts:
    try:
        return flight_parts(frame)
    except WireError as error:
        raise FrameError("a message of the stream cannot be read") from error
