"""Tables as Arrow IPC streams: measured, written straight into memory, read in place.

`Payload` is what one `Batch` of the protocol carries: record batches of one schema, whose encoded size is
known before anything is copied. Reading takes any buffer and copies nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import pyarrow as pa
import pyarrow.ipc

from heddle.core.data_bytes import data_bytes
from heddle.core.record import record

END_OF_STREAM: Final = b"\xff\xff\xff\xff\0\0\0\0"


class PayloadError(Exception):
    """Bytes that are not an Arrow IPC stream with a record batch."""


@record(frozen=True, slots=True)
class Payload:
    """`size_bytes` is exact: what `write` fills."""

    schema: pa.Schema
    batches: Sequence[pa.RecordBatch]
    size_bytes: int

    def write(self, target: pa.Buffer) -> None:
        """At the start of a mutable buffer of at least `size_bytes`."""
        self._stream(pa.FixedSizeBufferWriter(target))

    def to_bytes(self) -> bytes:
        sink = pa.BufferOutputStream()
        self._stream(sink)
        return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]

    def _stream(self, sink: pa.NativeFile) -> None:
        with pa.ipc.new_stream(sink, self.schema) as writer:
            for batch in self.batches:
                writer.write_batch(batch)


def payload(schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> Payload:
    """At least one batch, so that an empty table is one without rows."""
    given = list(batches) or [_no_rows(schema)]
    counter = pa.MockOutputStream()
    with pa.ipc.new_stream(counter, schema) as writer:
        for batch in given:
            writer.write_batch(batch)
    return Payload(schema, given, counter.size())


def to_stream(table: pa.Table) -> pa.Buffer:
    """A whole table as one payload, when its size need not be known before."""
    batches = table.to_batches()
    if len(batches) == 1 and not _has_dictionary(table.schema):
        # Twice as fast as a stream writer, whose options are read from the environment for each stream.
        return pa.py_buffer(b"".join((table.schema.serialize(), batches[0].serialize(), END_OF_STREAM)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in batches or [_no_rows(table.schema)]:
            writer.write_batch(batch)
    return sink.getvalue()


def inline_payloads(whole: Payload, size_bytes_max: int) -> Iterator[Payload]:
    """The same rows as payloads of at most `size_bytes_max`, but for single rows that are larger."""
    waiting = [whole]
    while waiting:
        current = waiting.pop()
        rows = sum(batch.num_rows for batch in current.batches)
        if current.size_bytes <= size_bytes_max or rows < 2:
            yield current
            continue
        table = pa.Table.from_batches(current.batches, current.schema)
        parts = min(rows, -(-current.size_bytes // size_bytes_max))
        bounds = [rows * i // parts for i in range(parts + 1)]
        pieces = [table.slice(start, end - start) for start, end in pairwise(bounds)]
        waiting += reversed([payload(piece.schema, piece.to_batches()) for piece in pieces])


def payloads(table: pa.Table, size_bytes_max: int) -> Iterator[Payload]:
    """The table as payloads of about `size_bytes_max` at most; a single row may be larger."""
    batches = table.to_batches()
    if not batches:
        yield payload(table.schema, ())
        return
    group: list[pa.RecordBatch] = []
    group_bytes = 0
    for batch in _cut(batches, size_bytes_max):
        size = data_bytes(batch)
        if group and group_bytes + size > size_bytes_max:
            yield payload(table.schema, group)
            group, group_bytes = [], 0
        group.append(batch)
        group_bytes += size
    yield payload(table.schema, group)


def read(data: pa.Buffer | bytes) -> pa.Table:
    """The table in place: its buffers are slices of `data`. Raises `PayloadError`."""
    try:
        with pa.ipc.open_stream(data) as reader:
            return reader.read_all()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise PayloadError(f"no Arrow stream could be read ({error})") from error


def encode_schema(schema: pa.Schema) -> bytes:
    """An Arrow IPC stream without batches."""
    sink = pa.BufferOutputStream()
    pa.ipc.new_stream(sink, schema).close()
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def decode_schema(data: bytes) -> pa.Schema:
    """Raises `PayloadError`."""
    try:
        return pa.ipc.open_stream(data).schema
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise PayloadError(f"no Arrow schema could be read ({error})") from error


def _cut(batches: Sequence[pa.RecordBatch], size_bytes_max: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        parts = -(-data_bytes(batch) // size_bytes_max) if batch.num_rows > 1 else 1
        rows = max(1, batch.num_rows // parts) if parts > 1 else batch.num_rows
        if not batch.num_rows:
            yield batch
        for start in range(0, batch.num_rows, max(rows, 1)):
            yield batch.slice(start, rows)


def _has_dictionary(schema: pa.Schema) -> bool:
    """Whether dictionaries stand in the stream beside the batches; nested types may hide one."""
    return any(t.num_fields or pa.types.is_dictionary(t) for t in schema.types)


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)
