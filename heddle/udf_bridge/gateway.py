"""A plugin served to engines on other hosts: a Flight server before the ordinary local plugin process.

Requests of the control channel are Flight actions with the same messages; a call is a `DoExchange` whose
rows are the stream's batches and whose other frames are its metadata (protocol.md, "Not on this host").
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
from google.protobuf.message import DecodeError, Message
from pyarrow import flight

from heddle import __version__
from heddle.core.record import record
from heddle.core.report import StepReport
from heddle.core.signature import ModuleSignature
from heddle.core.step import RejectedRows, Turn
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.control import METHODS, PROTOCOL
from heddle.core.wire.payload import payloads
from heddle.core.wire.reports import encode_rejected, encode_report
from heddle.udf_bridge.address import GatewayUrl
from heddle.udf_bridge.gateway_sessions import (
    GatewaySession,
    GatewaySessions,
    ServedPlugin,
    encode_step_failure,
    expired,
)
from heddle.udf_bridge.hosts import PluginHosts
from heddle.udf_bridge.lane_call import LeaseExpiredError
from heddle.udf_bridge.launch import Launch
from heddle.udf_bridge.transport import CallContext, PluginOutput, PluginStopped, Report, StepFailure

SESSION_HEADER: Final = "heddle-session"
TOKEN_HEADER: Final = "authorization"
TOKEN_PREFIX: Final = b"Bearer "
BATCH_BYTES_MAX: Final = 16 << 20
DRAIN_S: Final = 10.0
"""How long calls under way may take when the gateway ends; then they are cancelled."""
_CALLER: Final = "caller"

Tell: TypeAlias = Callable[[StepReport], None]


class GatewayError(Exception):
    """A gateway that cannot be started. `help` is the cure."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


@record(frozen=True, slots=True)
class GatewaySettings:
    """Where it listens and what it asks of callers. Port 0 takes a free one."""

    url: GatewayUrl
    token: str | None = None
    certificate: Path | None = None
    key: Path | None = None


class Gateway:
    """Serves from its making until `close`. `url` says where."""

    def __init__(self, plugin: ServedPlugin, description: wire.DescribeResponse, settings: GatewaySettings):
        """Raises `GatewayError`."""
        self._sessions = GatewaySessions(plugin)
        try:
            self._server = _Server(plugin, description, self._sessions, settings)
        except (pa.ArrowException, OSError) as error:
            self._sessions.close()
            raise GatewayError(
                f"it cannot listen on {settings.url}",
                "the port may be in use, the host may not be one of this machine, or the certificate and "
                "its key may not be PEM files that belong together",
            ) from error
        self.url = GatewayUrl(settings.url.scheme, settings.url.host, self._server.port)

    def close(self) -> None:
        """Take no more calls, let those under way end, give everything back."""
        self._server.ending = True
        until = time.monotonic() + DRAIN_S
        pause = threading.Event()
        while self._sessions.calls and time.monotonic() < until:
            pause.wait(0.02)
        self._sessions.cancel_all()
        self._sessions.close()
        self._server.shutdown()


def serve_plugin(
    hosts: PluginHosts,
    launch: Launch,
    module: ModuleSignature,
    settings: GatewaySettings,
    notify: Callable[[str], None],
) -> Gateway:
    """A gateway before a plugin of this host, whose process is started. `notify` is told what that writes.

    Raises `GatewayError`, `StepFailure`.
    """
    _require_token(settings)

    def tell(report: Report) -> None:
        match report:
            case PluginOutput(plugin, _, line):
                notify(f"{plugin}: {line}")
            case PluginStopped(plugin, reason):
                notify(f"{plugin} ended: {reason}")
            case _:
                pass  # told to the engine whose call it is

    host = hosts.host(launch)
    host.subscribe(tell)
    description = host.connection().description
    return Gateway(ServedPlugin(hosts, host, module, str(Path.cwd())), description, settings)


class _Caller(flight.ServerMiddleware):  # type: ignore[misc]
    """Which session a request belongs to."""

    def __init__(self, session: str) -> None:
        self.session = session


class _Doorkeeper(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Lets in who knows the token."""

    def __init__(self, token: str | None) -> None:
        self._expected = TOKEN_PREFIX + token.encode() if token is not None else None

    def start_call(self, info: Any, headers: dict[str, list[str | bytes]]) -> _Caller:
        given = _header(headers, TOKEN_HEADER)
        if self._expected is not None and not hmac.compare_digest(given, self._expected):
            raise flight.FlightUnauthenticatedError("the token is missing or wrong")
        return _Caller(_header(headers, SESSION_HEADER).decode("ascii", "replace"))


class _Server(flight.FlightServerBase):  # type: ignore[misc]
    def __init__(
        self,
        plugin: ServedPlugin,
        description: wire.DescribeResponse,
        sessions: GatewaySessions,
        settings: GatewaySettings,
    ) -> None:
        self.ending = False
        self._plugin = plugin
        self._description = description
        self._all = sessions
        certificates = None
        if settings.certificate is not None and settings.key is not None:
            certificates = [(settings.certificate.read_bytes(), settings.key.read_bytes())]
        super().__init__(
            str(settings.url),
            tls_certificates=certificates,
            middleware={_CALLER: _Doorkeeper(settings.token)},
        )

    def do_action(self, context: Any, action: Any) -> Iterator[bytes]:
        if action.type not in METHODS:
            raise flight.FlightServerError(f"there is no action `{action.type}`")
        try:
            request = METHODS[action.type][0].FromString(action.body.to_pybytes())
        except DecodeError as error:
            raise flight.FlightServerError(f"the body of `{action.type}` cannot be read") from error
        yield self._answer(request, self._session_id(context)).SerializeToString()
        if isinstance(request, wire.DescribeRequest):
            yield self._plugin.module.code_hash.encode()

    def do_exchange(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        try:
            call = wire.Call.FromString(descriptor.command)
        except DecodeError as error:
            raise flight.FlightServerError("the call cannot be read") from error
        session = self._open_session(self._session_id(context))
        input = reader.read_all() if call.has_input else None
        session.touch()
        answer = _Answer(writer)
        answer.end(self._performed(session, call, input, answer, context.is_cancelled))

    def _performed(
        self,
        session: GatewaySession,
        call: wire.Call,
        input: pa.Table | None,
        answer: _Answer,
        is_gone: Callable[[], bool],
    ) -> wire.Failure | None:
        refused: list[RejectedRows] = []
        try:
            with session.calling(call, is_gone) as (endpoint, running):
                context = _context(call.context, running.cancelled, running.on_cancel)
                tables = endpoint.call(input, context, refused, answer.tell)
                with closing(tables):  # type: ignore[type-var]
                    for table in tables:
                        answer.send(table)
        except StepFailure as failure:
            return encode_step_failure(failure)
        except LeaseExpiredError as error:
            return expired(str(error))
        answer.reject(refused)
        return None

    def _answer(self, request: Message, session_id: str) -> Message:
        match request:
            case wire.HandshakeRequest():
                return self._handshake(request)
            case wire.DescribeRequest():
                return self._description
            case wire.HealthRequest():
                if session_id:
                    self._session(session_id)
                degraded = self._plugin.host.degraded
                return wire.HealthResponse(calls=self._all.calls, problems=[degraded] if degraded else [])
            case wire.DrainRequest():
                self._all.end(session_id)
                return wire.DrainResponse()
            case wire.CancelRequest():
                return self._session(session_id).cancel(request)
            case wire.OpenResourceRequest():
                return self._open_session(session_id).open_resource(request)
            case wire.CloseResourceRequest():
                return self._session(session_id).close_resource(request)
            case wire.BindStepRequest():
                return self._open_session(session_id).bind(request)
            case wire.InferSchemaRequest():
                return self._session(session_id).infer(request)
            case wire.ReleaseStepRequest():
                return self._session(session_id).release(request)
            case _:
                raise flight.FlightServerError(f"{type(request).__name__} is not for gateways")

    def _handshake(self, request: wire.HandshakeRequest) -> wire.HandshakeResponse:
        sdk = f"heddle gateway {__version__}"
        if request.protocol_min <= PROTOCOL <= request.protocol_max:
            namespace = self._plugin.module.namespace
            return wire.HandshakeResponse(protocol=PROTOCOL, sdk=sdk, namespace=namespace)
        message = (
            f"it speaks version {PROTOCOL}, the engine {request.protocol_min} to {request.protocol_max}; "
            f"update the {'gateway' if request.protocol_min > PROTOCOL else 'engine'}"
        )
        return wire.HandshakeResponse(
            sdk=sdk, failure=wire.Failure(kind=wire.Failure.PROTOCOL, message=message)
        )

    def _session_id(self, context: Any) -> str:
        id: str = context.get_middleware(_CALLER).session
        return id

    def _open_session(self, id: str) -> GatewaySession:
        """For what begins something new."""
        if self.ending:
            raise flight.FlightUnavailableError("the gateway is ending")
        return self._session(id)

    def _session(self, id: str) -> GatewaySession:
        if not id:
            raise flight.FlightServerError(f"the request has no header `{SESSION_HEADER}`")
        return self._all.session(id)


class _Answer:
    """What goes back to the caller of one exchange."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._schema: pa.Schema | None = None

    def send(self, table: pa.Table) -> None:
        """Raises `StepFailure` for another schema than that of the batches before."""
        if self._schema is None:
            self._schema = table.schema
            self._writer.begin(table.schema)
        elif not table.schema.equals(self._schema, check_metadata=True):
            raise StepFailure("the step returned batches of different columns", "ContractError", "")
        for part in payloads(table, BATCH_BYTES_MAX):
            for batch in part.batches:
                self._writer.write_batch(batch)

    def tell(self, report: Report) -> None:
        """Everything else that is reported concerns the process, not the call."""
        if isinstance(report, StepReport):
            self._frame(encode_report(report))

    def reject(self, refused: list[RejectedRows]) -> None:
        for rejected in refused:
            for frame in encode_rejected(rejected):
                self._frame(frame)

    def end(self, failure: wire.Failure | None) -> None:
        with suppress(flight.FlightError, pa.ArrowException, OSError):  # the caller has gone
            self._frame(wire.PluginFrame(result=wire.Result(failure=failure)))

    def _frame(self, frame: wire.PluginFrame) -> None:
        self._writer.write_metadata(frame.SerializeToString())


def _context(
    told: wire.Context,
    cancelled: Callable[[], bool],
    on_cancel: Callable[[Callable[[], None]], Callable[[], None]],
) -> CallContext:
    return CallContext(
        told.run_id,
        told.workflow,
        told.step,
        told.attempt,
        told.idempotency_key if told.HasField("idempotency_key") else None,
        told.deadline_s if told.HasField("deadline_s") else None,
        cancelled,
        on_cancel,
        Turn(told.turn.max_rows, told.turn.max_wait_s) if told.HasField("turn") else None,
        told.operation,
        json.loads(told.argument_json or "null"),
    )


def _header(headers: dict[str, list[str | bytes]], name: str) -> bytes:
    first = next(iter(headers.get(name, [])), b"")
    return first.encode() if isinstance(first, str) else first


def _require_token(settings: GatewaySettings) -> None:
    url = settings.url
    if url.scheme == "grpc+tls" and (settings.certificate is None or settings.key is None):
        raise GatewayError("TLS needs a certificate and its key", "give both --tls-cert and --tls-key")
    if settings.token is None and not url.is_loopback:
        raise GatewayError(
            f"{url.host} can be reached from other hosts, and without a token everybody could run the "
            "plugin's steps",
            "give --token-file FILE, or listen on 127.0.0.1",
        )
