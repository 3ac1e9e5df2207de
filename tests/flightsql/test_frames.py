"""Record batches as messages, and messages as record batches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain, repeat

import pyarrow as pa
import pytest

from heddle.flightsql.flight_data import ALIGNMENT_BYTES
from heddle.flightsql.frames import (
    MESSAGE_BYTES_MAX,
    ROWS_MAX,
    SLACK_BYTES_MAX,
    FrameError,
    empty_frame,
    encoder,
    parts,
    read_put,
    schema_frame,
)
from heddle.flightsql.wire import flight_sql_pb2 as sql
from heddle.flightsql.wire.flight_pb2 import FlightData
from tests.flightsql.clients import every_type
from tests.flightsql.clients.raw import put_requests, table_of

COMMAND = sql.CommandStatementIngest(table="t")


def frames(rows: pa.Table | None) -> Iterator[bytes]:
    return put_requests(COMMAND, rows)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_every_type_comes_as_it_went(compression: str) -> None:
    given = every_type.everything().drop_columns(["kind"])
    encode = encoder(given.schema, compression)  # type: ignore[arg-type]
    sent = [schema_frame(given.schema), *(encode(batch) for batch in given.to_batches())]
    found = table_of(sent)
    assert found.schema.equals(given.schema)
    assert found.to_pylist() == given.to_pylist()


def test_a_frame_is_the_message_that_others_make() -> None:
    batch = pa.record_batch([pa.array([1, None])], names=["x"])
    frame = encoder(batch.schema, "none")(batch)
    assert FlightData.FromString(frame).SerializeToString() == frame


def test_a_batch_without_rows() -> None:
    schema = pa.schema([("x", pa.int64()), ("y", pa.list_(pa.string()))])
    assert table_of([schema_frame(schema), empty_frame(schema)]).num_rows == 0


def test_large_batches_are_cut() -> None:
    batch = pa.record_batch([pa.array(["x" * 100_000] * 300)], names=["x"])
    cut = list(parts(batch))
    assert all(part.nbytes <= MESSAGE_BYTES_MAX for part in cut)
    assert pa.Table.from_batches(cut).equals(pa.Table.from_batches([batch]))


def test_rows_of_many_sizes_are_cut() -> None:
    """A cut by rows alone would leave parts that are too large."""
    texts = ["", *["y" * (3 << 20)] * 8, *[""] * 10_000]
    cut = list(parts(pa.record_batch([pa.array(texts)], names=["x"])))
    assert all(part.nbytes <= MESSAGE_BYTES_MAX for part in cut)
    assert sum(part.num_rows for part in cut) == len(texts)


def test_one_large_row_stays_whole() -> None:
    batch = pa.record_batch([pa.array(["x" * (20 << 20)])], names=["x"])
    assert [part.num_rows for part in parts(batch)] == [1]


def test_many_rows_without_bytes_are_cut() -> None:
    batch = pa.record_batch([pa.nulls(3 * ROWS_MAX)], names=["x"])
    assert [part.num_rows for part in parts(batch)] == [ROWS_MAX] * 3


def test_what_is_put_is_read() -> None:
    given = every_type.everything()
    stream = read_put(frames(given))
    assert stream.schema.equals(given.schema)
    assert pa.Table.from_batches(list(stream.batches), stream.schema).to_pylist() == given.to_pylist()
    assert b"CommandStatementIngest" in stream.descriptor_cmd


def test_a_command_without_rows() -> None:
    stream = read_put(frames(None))
    assert (len(stream.schema), list(stream.batches)) == (0, [])


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_noise_is_refused(at: int) -> None:
    """Bytes that are changed, wherever, make an error or other values, and nothing worse."""
    given = frames(pa.table({"x": ["a", "bc", None], "y": [[1], None, []]}))
    sent = [FlightData.FromString(frame) for frame in given]
    for frame in sent:
        for name in ("data_header", "data_body"):
            noise = bytearray(getattr(frame, name))
            if at < len(noise):
                noise[at] ^= 0xFF
                setattr(frame, name, bytes(noise))
    try:
        for batch in read_put(frame.SerializeToString() for frame in sent).batches:
            batch.to_pylist()
    except (FrameError, UnicodeDecodeError, pa.ArrowException, ValueError):
        return


def test_a_body_that_is_shorter_than_its_header_says_takes_nothing_of_what_follows() -> None:
    schema, rows = map(FlightData.FromString, frames(pa.table({"x": list(range(1000))})))
    rows.data_body = rows.data_body[:-8]
    coming = repeat(rows.SerializeToString(), 10)
    batches = read_put(chain([schema.SerializeToString()], coming)).batches
    with pytest.raises(FrameError):
        next(batches)
    assert len(list(coming)) == 9


@pytest.mark.parametrize("before", range(ALIGNMENT_BYTES))
@pytest.mark.parametrize("rows", [1_000, 100_000])
def test_a_batch_keeps_its_rows_and_not_the_message(rows: int, before: int) -> None:
    """Wherever its body lies."""
    sent = [*frames(pa.table({"x": list(range(rows))}))]
    message = FlightData.FromString(sent[1])
    message.app_metadata = bytes(2 * SLACK_BYTES_MAX + before)
    sent[1] = message.SerializeToString()
    references = sys.getrefcount(sent[1])
    stream = read_put(iter(sent))
    (batch,) = stream.batches
    references -= sys.getrefcount(sent[1])
    assert (references, stream.compact) == (0, True)
    assert batch["x"].to_pylist() == list(range(rows))


def test_a_batch_keeps_nothing_of_a_body_that_is_not_its_rows() -> None:
    """Its header tells of a body that is larger than the columns."""
    unused_bytes = 8 * SLACK_BYTES_MAX
    schema, rows = map(FlightData.FromString, frames(pa.table({"x": [*range(1000), None]})))
    size_bytes = len(rows.data_body)
    assert rows.data_header.count(size_bytes.to_bytes(8, "little")) == 1
    rows.data_header = rows.data_header.replace(
        size_bytes.to_bytes(8, "little"), (size_bytes + unused_bytes).to_bytes(8, "little")
    )
    rows.data_body += bytes(unused_bytes)
    before = pa.total_allocated_bytes()
    (batch,) = read_put(iter([schema.SerializeToString(), rows.SerializeToString()])).batches
    assert batch["x"].to_pylist() == [*range(1000), None]
    assert pa.total_allocated_bytes() - before < SLACK_BYTES_MAX


def test_an_empty_stream_is_refused() -> None:
    with pytest.raises(FrameError):
        read_put(iter(()))


def test_what_the_transport_raises_goes_on() -> None:
    class Gone(Exception):
        pass

    def broken() -> Iterator[bytes]:
        yield next(frames(pa.table({"x": [1]})))
        raise Gone

    stream = read_put(broken())
    with pytest.raises(Gone):
        list(stream.batches)
