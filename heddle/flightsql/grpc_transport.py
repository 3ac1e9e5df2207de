"""The way in and out by gRPC: one handler for each method of Flight, over the threads of grpcio's server.

Streams have threads of their own, so clients that read slowly delay nobody who asks something small. Rows
leave as bytes that were made once (`frames`).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError

from heddle.flightsql.access_log import Access
from heddle.flightsql.actions import ACTIONS
from heddle.flightsql.calls import Caller
from heddle.flightsql.commands import name_of, parse
from heddle.flightsql.frames import FrameError, read_put
from heddle.flightsql.grpc_status import status_of
from heddle.flightsql.requests import Requests
from heddle.flightsql.service import Service
from heddle.flightsql.wire import flight_pb2 as flight

SERVICE: Final = "arrow.flight.protocol.FlightService"
STREAMS_MAX: Final = 512
REQUESTS_MAX: Final = 128
"""More than the statements that may wait to be admitted: each may hold one."""

T = TypeVar("T")
Context: TypeAlias = Any
"""`grpc.ServicerContext`, whose types have no `peer_certificate` and the like."""


class FlightHandlers:
    """`handler` is what a `grpc.Server` takes; `close` after that has stopped."""

    def __init__(self, service: Service, requests: Requests | None, *, secure: bool) -> None:
        """`requests` is told of each. `secure`: clients come by TLS, and may have certificates."""
        self.requests = requests
        self.secure = secure
        self._service = service
        self._streams = ThreadPoolExecutor(STREAMS_MAX, thread_name_prefix="flightsql-stream")
        self._requests = ThreadPoolExecutor(REQUESTS_MAX, thread_name_prefix="flightsql-request")

    def handler(self) -> grpc.GenericRpcHandler:
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Handshake": grpc.stream_stream_rpc_method_handler(
                self._in(self._streams, self._handshake),
                None,
                flight.HandshakeResponse.SerializeToString,
            ),
            "ListFlights": grpc.unary_stream_rpc_method_handler(
                self._in(self._requests, self._unimplemented),
                None,
                flight.FlightInfo.SerializeToString,
            ),
            "GetFlightInfo": grpc.unary_unary_rpc_method_handler(
                self._in(self._requests, self._info),
                None,
                flight.FlightInfo.SerializeToString,
            ),
            "PollFlightInfo": grpc.unary_unary_rpc_method_handler(
                self._in(self._requests, self._poll),
                None,
                flight.PollInfo.SerializeToString,
            ),
            "GetSchema": grpc.unary_unary_rpc_method_handler(
                self._in(self._requests, self._schema),
                None,
                flight.SchemaResult.SerializeToString,
            ),
            "DoGet": grpc.unary_stream_rpc_method_handler(self._in(self._streams, self._get), None, None),
            "DoPut": grpc.stream_stream_rpc_method_handler(
                self._in(self._streams, self._put),
                None,
                flight.PutResult.SerializeToString,
            ),
            "DoExchange": grpc.stream_stream_rpc_method_handler(
                self._in(self._requests, self._unimplemented), None, None
            ),
            "DoAction": grpc.unary_stream_rpc_method_handler(
                self._in(self._requests, self._act),
                None,
                flight.Result.SerializeToString,
            ),
            "ListActions": grpc.unary_stream_rpc_method_handler(
                self._in(self._requests, self._actions),
                None,
                flight.ActionType.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def close(self) -> None:
        """Calls that do not end are not waited for."""
        self._streams.shutdown(wait=False, cancel_futures=True)
        self._requests.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _in(pool: ThreadPoolExecutor, method: Callable[[Any, Context], T]) -> Callable[[Any, Context], T]:
        """The method, which grpcio then calls in a thread of `pool`."""

        def call(request: Any, context: Context) -> T:
            return method(request, context)

        call.experimental_thread_pool = pool  # type: ignore[attr-defined]
        return call

    def _info(self, request: bytes, context: Context) -> flight.FlightInfo:
        with _Call(self, "GetFlightInfo", context) as call:
            descriptor = _descriptor(request, call)
            return self._service.info(call.caller(), descriptor)

    def _poll(self, request: bytes, context: Context) -> flight.PollInfo:
        with _Call(self, "PollFlightInfo", context) as call:
            descriptor = _descriptor(request, call)
            return self._service.poll(call.caller(), descriptor)

    def _schema(self, request: bytes, context: Context) -> flight.SchemaResult:
        with _Call(self, "GetSchema", context) as call:
            descriptor = _descriptor(request, call)
            return flight.SchemaResult(schema=self._service.schema(call.caller(), descriptor))

    def _get(self, request: bytes, context: Context) -> Iterator[bytes]:
        with _Call(self, "DoGet", context) as call:
            ticket = parse(flight.Ticket, request, "the ticket")
            call.command = ticket.ticket
            with closing(self._service.frames(call.caller(), ticket.ticket)) as frames:  # type: ignore[type-var]
                for frame in frames:
                    call.size_bytes += len(frame)
                    yield frame

    def _put(self, frames: Iterator[bytes], context: Context) -> Iterator[flight.PutResult]:
        with _Call(self, "DoPut", context) as call:
            caller = call.caller()
            stream = read_put(_received(frames, call))
            call.command = stream.descriptor_cmd
            yield flight.PutResult(app_metadata=self._service.put(caller, stream))

    def _act(self, request: bytes, context: Context) -> Iterator[flight.Result]:
        with _Call(self, "DoAction", context) as call:
            action = parse(flight.Action, request, "the action")
            call.what = action.type[:80]

            def set_header(name: str, value: str) -> None:
                context.send_initial_metadata(((name, value),))

            body = self._service.act(call.caller(), action.type, action.body, set_header)
            if body is not None:
                yield flight.Result(body=body)

    def _actions(self, _: bytes, context: Context) -> Iterator[flight.ActionType]:
        with _Call(self, "ListActions", context) as call:
            call.caller()
            for kind, description in ACTIONS.items():
                yield flight.ActionType(type=kind, description=description)

    def _handshake(self, requests: Iterator[bytes], context: Context) -> Iterator[flight.HandshakeResponse]:
        """Clients send their right as a header; older ones as the payload of the first message."""
        with _Call(self, "Handshake", context) as call:
            header = call.headers.get("authorization")
            if header is None:
                first = parse(flight.HandshakeRequest, next(requests, b""), "the handshake")
                header = _basic(first.payload) if first.payload else None
            token = self._service.handshake(header, call.certificate, call.peer)
            right = (("authorization", f"Bearer {token}"),)
            context.send_initial_metadata(right)
            context.set_trailing_metadata(right)
            yield flight.HandshakeResponse(payload=token.encode())

    def _unimplemented(self, _: object, context: Context) -> Iterator[Any]:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Flight SQL has no use for this method")
        yield from ()

    def make_caller(self, call: _Call) -> Caller:
        on_gone = call.context.add_callback
        return self._service.caller(call.headers, call.certificate, call.peer, on_gone, call.trace)


class _Call:
    """One request: who it is from, how it ended, and who is told of it."""

    def __init__(self, handlers: FlightHandlers, method: str, context: Context) -> None:
        self.context = context
        self.command: bytes | None = None
        self.what = ""
        self.size_bytes = 0
        self.received_bytes = 0
        self.peer: str = context.peer()
        self.headers = {key: value for key, value in context.invocation_metadata() if type(value) is str}
        self._handlers = handlers
        self._method = method
        self._viewer = ""
        self._began_s = time.monotonic()
        requests = handlers.requests
        self.trace = None if requests is None else requests.begin(method, self.headers, self.peer)

    @property
    def certificate(self) -> bytes | None:
        if not self._handlers.secure:
            return None
        found = self.context.auth_context().get("x509_pem_cert")
        return found[0] if found else None

    def caller(self) -> Caller:
        """Raises `Refused`."""
        caller = self._handlers.make_caller(self)
        self._viewer = caller.viewer.name
        return caller

    def __enter__(self) -> _Call:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        code, message = grpc.StatusCode.OK, ""
        if isinstance(error, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
        elif isinstance(error, Exception):
            code, message = status_of(error)
        if self._handlers.requests is not None:
            self._handlers.requests.end(self._access(code), self.trace)
        if isinstance(error, Exception):
            self.context.abort(code, message)

    def _access(self, code: grpc.StatusCode) -> Access:
        what = self.what or (name_of(self.command) if self.command is not None else "")
        took_s = time.monotonic() - self._began_s
        sizes = (self.size_bytes, self.received_bytes)
        return Access(self._method, what, self._viewer, self.peer, code.name, took_s, *sizes)


def _received(frames: Iterator[bytes], call: _Call) -> Iterator[bytes]:
    """What the client puts. Raises `FrameError` when the client has gone."""
    while True:
        try:
            frame = next(frames)
        except StopIteration:
            return
        except Exception as error:  # grpcio raises the bare class
            raise FrameError("the stream has ended before its end") from error
        call.received_bytes += len(frame)
        yield frame
        del frame  # or it would be kept until the next one is there


def _descriptor(request: bytes, call: _Call) -> flight.FlightDescriptor:
    descriptor = parse(flight.FlightDescriptor, request, "the descriptor")
    call.command = descriptor.cmd
    return descriptor


def _basic(payload: bytes) -> str | None:
    """A `BasicAuth` message as the header that says the same."""
    try:
        right = flight.BasicAuth.FromString(payload)
    except DecodeError:
        return None
    return "Basic " + base64.b64encode(f"{right.username}:{right.password}".encode()).decode()
