"""A Flight SQL client of messages and bytes: what another client would hide is seen, and what none would send
can be sent.

Each method of `Raw` is one RPC. A failure is a `grpc.RpcError` with the code and the words that came.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Self
from urllib.parse import urlsplit

import grpc
import pyarrow as pa
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from heddle.flightsql.wire import flight_pb2 as flight

SERVICE: Final = "/arrow.flight.protocol.FlightService/"
UNARY: Final = ("GetFlightInfo", "PollFlightInfo", "GetSchema")
SERVER_STREAMS: Final = ("ListFlights", "DoGet", "DoAction", "ListActions")
TWO_WAY: Final = ("Handshake", "DoPut", "DoExchange")
METHODS: Final = (*UNARY, *SERVER_STREAMS, *TWO_WAY)
PATIENCE_S: Final = 60.0
TYPE_PREFIX: Final = "type.googleapis.com/arrow.flight.protocol.sql."

Headers = Sequence[tuple[str, str]]


class Raw:
    def __init__(self, uri: str, headers: Headers = ()) -> None:
        # With a pool of its own each client has a connection, and with it a session, of its own.
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self._channel = grpc.insecure_channel(urlsplit(uri).netloc, options=options)
        self._headers = tuple(headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._channel.close()

    def send(self, method: str, *requests: bytes, headers: Headers = ()) -> list[bytes]:
        """All replies to these bytes."""
        return list(self.stream(method, requests, headers=headers))

    def stream(self, method: str, requests: Iterable[bytes], headers: Headers = ()) -> grpc.Call:
        """The call itself, to be iterated over and cancelled."""
        settings = {"metadata": (*self._headers, *headers), "timeout": PATIENCE_S}
        path = SERVICE + method
        if method in TWO_WAY:
            return self._channel.stream_stream(path)(iter(requests), **settings)
        (request,) = requests
        if method in SERVER_STREAMS:
            return self._channel.unary_stream(path)(request, **settings)
        return iter([self._channel.unary_unary(path)(request, **settings)])

    def info(self, command: Message) -> flight.FlightInfo:
        return flight.FlightInfo.FromString(self.send("GetFlightInfo", descriptor(command))[0])

    def poll(self, asked: bytes) -> flight.PollInfo:
        """`asked` is a serialized descriptor: that of a command, or the one that the last answer named."""
        return flight.PollInfo.FromString(self.send("PollFlightInfo", asked)[0])

    def schema(self, command: Message) -> pa.Schema:
        found = flight.SchemaResult.FromString(self.send("GetSchema", descriptor(command))[0])
        return pa.ipc.read_schema(pa.py_buffer(found.schema))

    def get(self, ticket: flight.Ticket) -> pa.Table:
        return table_of(self.send("DoGet", ticket.SerializeToString()))

    def ask(self, command: Message) -> pa.Table:
        """The rows of a command. Its only endpoint's stream has the schema that its information promised."""
        info = self.info(command)
        (endpoint,) = info.endpoint
        found = self.get(endpoint.ticket)
        assert found.schema.equals(pa.ipc.read_schema(pa.py_buffer(info.schema)), check_metadata=True)
        return found

    def put(self, command: Message, rows: pa.Table | None = None) -> list[bytes]:
        """What the server says to a command with rows, or to one without a stream of rows."""
        return [
            flight.PutResult.FromString(reply).app_metadata
            for reply in self.send("DoPut", *put_requests(command, rows))
        ]

    def act(self, kind: str, body: Message, *, packed: bool = True) -> list[bytes]:
        """The bodies of an action's results. Those of SQL are packed, those of Flight itself are not."""
        content = pack(body) if packed else body.SerializeToString()
        request = flight.Action(type=kind, body=content).SerializeToString()
        return [flight.Result.FromString(reply).body for reply in self.send("DoAction", request)]


def pack(message: Message) -> bytes:
    packed = Any()
    packed.Pack(message)
    return packed.SerializeToString()


def unpack(body: bytes, target: Message) -> None:
    packed = Any.FromString(body)
    assert packed.Unpack(target), packed.type_url


def descriptor(command: Message | bytes) -> bytes:
    """A serialized FlightDescriptor of a command, or of bytes that stand in a command's place."""
    content = command if isinstance(command, bytes) else pack(command)
    return flight.FlightDescriptor(type=flight.FlightDescriptor.CMD, cmd=content).SerializeToString()


def put_requests(command: Message, rows: pa.Table | None) -> Iterator[bytes]:
    asked = flight.FlightDescriptor.FromString(descriptor(command))
    if rows is None:
        yield flight.FlightData(flight_descriptor=asked).SerializeToString()
        return
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    first = True
    for message in pa.ipc.MessageReader.open_stream(sink.getvalue()):
        data = flight.FlightData(
            data_header=message.metadata.to_pybytes(),
            data_body=message.body.to_pybytes() if message.body is not None else b"",
        )
        if first:
            data.flight_descriptor.CopyFrom(asked)
            first = False
        yield data.SerializeToString()


def table_of(stream: Iterable[bytes]) -> pa.Table:
    """The rows of a stream of FlightData; the schema stands first in it."""
    sink = io.BytesIO()
    for reply in stream:
        data = flight.FlightData.FromString(reply)
        padding = -(len(data.data_header)) % 8
        sink.write(struct.pack("<II", 0xFFFFFFFF, len(data.data_header) + padding))
        sink.write(data.data_header + b"\0" * padding + data.data_body)
    sink.write(struct.pack("<II", 0xFFFFFFFF, 0))
    return pa.ipc.open_stream(sink.getvalue()).read_all()
