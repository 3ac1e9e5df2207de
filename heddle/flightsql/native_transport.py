"""The way in and out by pyarrow's own Flight server, C++ around our handlers: what clients put is read, and
what they get is sent, without a copy and without Python's lock.

It answers from the same `Service` as gRPC's transport. It has no `PollFlightInfo` and no handshake, and for
some failures no status of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final, TypeAlias

import grpc
import pyarrow as pa
import pyarrow.ipc
from pyarrow import flight

from heddle.core.data_bytes import data_bytes
from heddle.database.errors import QueryError
from heddle.flightsql.access_log import Access
from heddle.flightsql.actions import ACTIONS
from heddle.flightsql.calls import Caller
from heddle.flightsql.commands import name_of
from heddle.flightsql.frames import FrameError, PutStream
from heddle.flightsql.native_calls import MIDDLEWARE, Arrival, Arrivals, Departures
from heddle.flightsql.native_status import native_error
from heddle.flightsql.requests import Requests
from heddle.flightsql.service import Service
from heddle.flightsql.wire import flight_pb2

Context: TypeAlias = Any
"""`flight.ServerCallContext`, which is there until its call has ended."""
_NO_DATA: Final = "never sent a data message"


class NativeFlight(flight.FlightServerBase):  # type: ignore[misc]
    """Serves from its construction to the end of `stop`."""

    def __init__(
        self, service: Service, requests: Requests | None, location: str, login_url: str, **tls: object
    ) -> None:
        """`requests` is told of each. `tls` is what pyarrow's server takes. Raises `pa.ArrowException` and
        `OSError` where it cannot listen."""
        self.service = service
        self.requests = requests
        self.departures = Departures()
        self.arrivals = Arrivals(login_url)
        self.is_stopped = False
        try:
            super().__init__(location, middleware={MIDDLEWARE: self.arrivals}, **tls)
        except BaseException:
            self.departures.close()
            raise

    def stop(self, limit_s: float) -> bool:
        """Whether all calls have ended in time. One whose client takes nothing, or puts nothing, holds it up;
        what such a client has put is forgotten."""
        self.is_stopped = True
        ending = threading.Thread(target=self.shutdown, name="flightsql-native-stop", daemon=True)
        ending.start()
        ending.join(limit_s)
        self.departures.close()
        return not ending.is_alive()

    def get_flight_info(self, context: Context, descriptor: Any) -> flight.FlightInfo:
        with _Call(self, "GetFlightInfo", context) as call:
            info = self.service.info(call.caller(), _descriptor(descriptor, call))
            return flight.FlightInfo.deserialize(info.SerializeToString())

    def get_schema(self, context: Context, descriptor: Any) -> flight.SchemaResult:
        with _Call(self, "GetSchema", context) as call:
            schema = self.service.schema(call.caller(), _descriptor(descriptor, call))
            message = flight_pb2.SchemaResult(schema=schema)
            return flight.SchemaResult.deserialize(message.SerializeToString())

    def do_get(self, context: Context, ticket: flight.Ticket) -> flight.GeneratorStream:
        call = _Call(self, "DoGet", context)
        stream = self._read(call, ticket.ticket)
        schema = next(stream)
        return flight.GeneratorStream(schema, stream, options=call.write_options)

    def do_put(self, context: Context, descriptor: Any, reader: Any, writer: Any) -> None:
        with _Call(self, "DoPut", context) as call:
            call.command = descriptor.command or b""
            caller = call.caller()
            stream = PutStream(call.command, _schema(reader), self._received(reader, call))
            writer.write(pa.py_buffer(self.service.put(caller, stream)))

    def do_action(self, context: Context, action: flight.Action) -> list[flight.Result]:
        with _Call(self, "DoAction", context) as call:
            call.what = action.type[:80]
            body = action.body.to_pybytes() if action.body is not None else b""
            result = self.service.act(call.caller(), action.type, body, context.add_header)
            return [] if result is None else [flight.Result(pa.py_buffer(result))]

    def list_actions(self, context: Context) -> list[tuple[str, str]]:
        with _Call(self, "ListActions", context) as call:
            call.caller()
            return list(ACTIONS.items())

    def list_flights(self, context: Context, criteria: bytes) -> Iterator[flight.FlightInfo]:
        with _Call(self, "ListFlights", context):
            raise _no_use()

    def do_exchange(self, context: Context, descriptor: Any, reader: Any, writer: Any) -> None:
        with _Call(self, "DoExchange", context):
            raise _no_use()

    def _read(self, call: _Call, ticket: bytes) -> Iterator[Any]:
        """The schema first, then the rows. Its end, or that nobody wants more of it, ends the call."""
        with call:
            call.command = ticket
            with closing(self.service.batches(call.caller(), ticket)) as batches:  # type: ignore[type-var]
                for batch in batches:
                    if isinstance(batch, pa.RecordBatch):
                        call.size_bytes += data_bytes(batch)
                    yield batch

    def _received(self, reader: Any, call: _Call) -> Iterator[pa.RecordBatch]:
        """What the client puts. Raises `FrameError` for noise, and when the client has gone: the end of a
        stream alone does not tell."""
        while not self.is_stopped:
            try:
                batch = reader.read_chunk().data
                if batch is not None:
                    batch.validate(full=True)
            except StopIteration:
                break
            except (pa.ArrowException, OSError, EOFError) as error:
                raise FrameError("a message is no record batch of the stream's schema") from error
            if batch is not None:
                call.received_bytes += pa.ipc.get_record_batch_size(batch)
                yield batch
        if self.is_stopped or call.is_gone():
            raise FrameError("the stream has ended before its end")


class _Call:
    """One request: who it is from, how it ended, and who is told of it."""

    def __init__(self, server: NativeFlight, method: str, context: Context) -> None:
        arrival: Arrival = context.get_middleware(MIDDLEWARE)
        self.headers = arrival.headers
        self.peer: str = context.peer()
        self.is_gone: Callable[[], bool] = context.is_cancelled
        self.command: bytes | None = None
        self.what = ""
        self.size_bytes = 0
        self.received_bytes = 0
        self.write_options: pa.ipc.IpcWriteOptions | None = None
        self._server = server
        self._method = method
        self._viewer = ""
        self._began_s = time.monotonic()
        requests = server.requests
        self.trace = None if requests is None else requests.begin(method, self.headers, self.peer)

    def caller(self) -> Caller:
        """Raises `Refused`."""
        caller = self._server.service.caller(
            self.headers, None, self.peer, self._on_gone, self.trace, transport="native"
        )
        self._viewer = caller.viewer.name
        if caller.options.ipc_compression != "none":
            self.write_options = pa.ipc.IpcWriteOptions(compression=caller.options.ipc_compression)
        return caller

    def __enter__(self) -> _Call:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._server.departures.forget(self.is_gone)
        code, sent = grpc.StatusCode.OK, None
        if isinstance(error, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
        elif isinstance(error, Exception):
            code, sent = native_error(error)
        if self._server.requests is not None:
            self._server.requests.end(self._access(code), self.trace)
        if sent is not None:
            raise sent from None

    def _on_gone(self, callback: Callable[[], None]) -> bool:
        self._server.departures.watch(self.is_gone, callback)
        return True

    def _access(self, code: grpc.StatusCode) -> Access:
        what = self.what or (name_of(self.command) if self.command is not None else "")
        took_s = time.monotonic() - self._began_s
        sizes = (self.size_bytes, self.received_bytes)
        return Access(self._method, what, self._viewer, self.peer, code.name, took_s, *sizes)


def _descriptor(descriptor: Any, call: _Call) -> flight_pb2.FlightDescriptor:
    found = flight_pb2.FlightDescriptor.FromString(descriptor.serialize())
    call.command = found.cmd
    return found


def _schema(reader: Any) -> pa.Schema:
    """Without columns where the client puts none. Raises `FrameError`."""
    try:
        return reader.schema
    except (pa.ArrowException, OSError, EOFError) as error:
        if _NO_DATA in str(error):
            return pa.schema([])
        raise FrameError("the first message has no schema that can be read") from error


def _no_use() -> QueryError:
    return QueryError("unsupported", "Flight SQL has no use for this method")
