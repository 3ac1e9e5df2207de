"""What a client's messages hold, found in their bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from heddle.flightsql.flight_data import (
    ALIGNMENT_BYTES,
    FIELDS_MAX,
    LARGE_BODY_BYTES,
    WireError,
    flight_parts,
)
from heddle.flightsql.wire.flight_pb2 import FlightData, FlightDescriptor


@given(st.binary(max_size=300), st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=300))
def test_the_parts_are_those_of_generated_code(
    cmd: bytes, header: bytes, metadata: bytes, body: bytes
) -> None:
    descriptor = FlightDescriptor(type=FlightDescriptor.CMD, cmd=cmd)
    message = FlightData(
        flight_descriptor=descriptor, data_header=header, app_metadata=metadata, data_body=body
    )
    parts = flight_parts(message.SerializeToString())
    assert FlightDescriptor.FromString(parts.descriptor.tobytes()) == descriptor
    assert (parts.header.tobytes(), parts.body.tobytes()) == (header, body)


@given(st.binary(max_size=60))
def test_noise_is_read_as_generated_code_reads_it_or_refused(noise: bytes) -> None:
    try:
        parts = flight_parts(noise)
    except WireError:
        return
    try:
        message = FlightData.FromString(noise)
    except DecodeError:  # it looks into the descriptor as well
        return
    assert (parts.header.tobytes(), parts.body.tobytes()) == (message.data_header, message.data_body)


@pytest.mark.parametrize(
    "message",
    [b"\x12", b"\x12\x05ab", b"\xff" * 11, b"\x0b", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x09abc"],
)
def test_what_ends_too_early_is_refused(message: bytes) -> None:
    with pytest.raises(WireError):
        flight_parts(message)


def test_a_message_has_few_fields() -> None:
    field = b"\x20\x07"
    assert not flight_parts(field * FIELDS_MAX).header
    with pytest.raises(WireError):
        flight_parts(field * (FIELDS_MAX + 1))


@pytest.mark.parametrize("before", range(ALIGNMENT_BYTES))
@pytest.mark.parametrize("size", [32, LARGE_BODY_BYTES])
def test_a_body_lies_as_arrow_needs_it(before: int, size: int) -> None:
    sent = b"12345678" * (size // 8)
    message = FlightData(data_header=b"h" * before, data_body=sent)
    body = flight_parts(message.SerializeToString()).placed_body()
    assert pa.py_buffer(body).address % ALIGNMENT_BYTES == 0
    assert body == sent
