"""Steps behind a gateway on another host: a transport whose endpoints call over Arrow Flight.

A client keeps one session on its gateway for all runs of an engine, and keeps it alive while a run uses it.
A call that loses its gateway fails as one whose plugin died: it is worth another attempt.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final, TypeAlias

import pyarrow as pa
from google.protobuf.message import DecodeError, Message
from pyarrow import flight

from heddle import __version__
from heddle.core.config import ConfigValue
from heddle.core.signature import ModuleSignature
from heddle.core.step import RejectedRows
from heddle.core.types import OPEN_ROW, RowType
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.control import METHODS, PROTOCOL, Response
from heddle.core.wire.description import decode_row, encode_row
from heddle.core.wire.payload import encode_schema
from heddle.udf_bridge.address import TOKEN_VARIABLE, GatewayAddress
from heddle.udf_bridge.asking import answer_of
from heddle.udf_bridge.flight_call import ExchangeOptions, FlightCall, lost_gateway
from heddle.udf_bridge.gateway_sessions import LEASE_S
from heddle.udf_bridge.keys import BindingKey, Once, ResourceKey, binding_key
from heddle.udf_bridge.lane_call import LeaseExpiredError, PluginLostError, step_failure
from heddle.udf_bridge.merging import Mergers
from heddle.udf_bridge.session import ContractedSession, step_name
from heddle.udf_bridge.transport import (
    CallContext,
    Endpoint,
    Reporter,
    StepBinding,
    StepFailure,
)
from heddle.udf_bridge.unprotected import HoldsSecret, refuse_secrets

DESCRIBE_TIMEOUT_S: Final = 5.0
CANCEL_TIMEOUT_S: Final = 1.0
RELEASE_TIMEOUT_S: Final = 5.0
BIND_TIMEOUT_S: Final = 300.0
"""Opening a resource may take long; a gateway that is gone must not hold a run for ever."""

RECONNECT: Final = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
"""A gateway that is back must not wait for two minutes, which is what gRPC's own settings come to."""

Addresses: TypeAlias = Callable[[ModuleSignature], GatewayAddress]
"""From what an import resolved to, to its gateway. Raises `StepFailure`."""

_METHOD_NAMES: Final = {request: name for name, (request, _) in METHODS.items()}


class FlightTransport:
    """`clients` and `mergers` belong to the engine and serve all its runs; the transport is one run's."""

    def __init__(
        self, clients: GatewayClients, mergers: Mergers, addresses: Addresses, holds_secret: HoldsSecret
    ) -> None:
        self._clients = clients
        self._mergers = mergers
        self._addresses = addresses
        self._holds_secret = holds_secret

    def open(self, binding: StepBinding, report: Reporter) -> ContractedSession:
        """Binds the step on its gateway, which opens the resources. Raises `StepFailure`."""
        if not binding.signature.runnable:
            raise StepFailure(f"`{step_name(binding)}` is declared but has no body", "Unsupported", "")
        address = self._addresses(binding.module)
        if not address.url.is_private:
            refuse_secrets(binding, address.url, self._holds_secret)
        client = self._clients.client(address, binding.module)
        remote = FlightEndpoint(client, binding, report)
        remote.bind()
        endpoint: Endpoint = self._mergers.merged(binding, remote, report) or remote
        return ContractedSession(binding, endpoint)

    def open_chain(self, bindings: Sequence[StepBinding], report: Reporter) -> None:
        """A gateway is called once for each step."""

    def close(self) -> None:
        """Sessions give their resources back themselves."""


class FlightEndpoint:
    """Implements `Endpoint`."""

    keeps_deadlines = True

    def __init__(self, client: GatewayClient, binding: StepBinding, report: Reporter) -> None:
        self._client = client
        self._key = binding_key(binding)
        self._report = report
        self._lock = threading.Lock()
        self._closed = False
        client.use(self._key)

    @property
    def key(self) -> tuple[GatewayAddress, str, BindingKey]:
        """Equal for endpoints whose calls may be merged."""
        return self._client.address, self._client.code_hash, self._key

    def bind(self) -> None:
        """Raises `StepFailure`; then the endpoint is closed."""
        try:
            self._client.bind(self._key)
        except PluginLostError as lost:
            self.close()
            raise failure_of_lost_gateway(self._client.name, lost) from lost
        except StepFailure:
            self.close()
            raise

    def call(
        self,
        input: pa.Table | None,
        context: CallContext,
        refused: list[RejectedRows],
        report: Reporter | None = None,
    ) -> Iterator[pa.Table]:
        """`report` stands in for the endpoint's own, in a call that serves several."""
        try:
            yield from self._client.call(self._key, input, context, refused, report or self._report)
        except PluginLostError as lost:
            raise failure_of_lost_gateway(self._client.name, lost) from lost

    def ask(self, context: CallContext) -> ConfigValue:
        return answer_of(lambda report: self.call(None, context, [], report), self._report)

    def infer(self, input: RowType | None) -> RowType:
        try:
            return self._client.infer(self._key, input)
        except PluginLostError as lost:
            raise failure_of_lost_gateway(self._client.name, lost) from lost

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._client.release(self._key)


class GatewayClient:
    """A session on a gateway, for one plugin as it was planned with. Thread-safe."""

    def __init__(self, name: str, address: GatewayAddress, code_hash: str, lease_s: float = LEASE_S) -> None:
        """Connects with the first request. `code_hash` empty: whatever code is served."""
        self.name = name
        self.address = address
        self.code_hash = code_hash
        self._lease_s = lease_s
        self._flight = _connected(name, address)
        self._session = secrets.token_hex(16)
        self._call_ids = count(1)
        self._lock = threading.Lock()
        self._uses: Counter[BindingKey] = Counter()
        self._bindings: Once[BindingKey] = Once()
        self._introduced = False
        self._calls: set[FlightCall] = set()
        self._closing = threading.Event()
        self._keeper: threading.Thread | None = None

    def describe(self) -> tuple[wire.DescribeResponse, str]:
        """What the plugin offers, and its code's hash. Raises `StepFailure`, `PluginLostError`."""
        self._shake_hands()
        bodies = self._ask(wire.DescribeRequest(), DESCRIBE_TIMEOUT_S)
        description = _decoded(bodies, wire.DescribeResponse)
        return description, bodies[1].decode("ascii", "replace") if len(bodies) > 1 else ""

    def health(self) -> wire.HealthResponse:
        """Raises `StepFailure`, `PluginLostError`."""
        return self._answer(wire.HealthRequest(), wire.HealthResponse, DESCRIBE_TIMEOUT_S)

    def use(self, key: BindingKey) -> None:
        """Count a user of a binding, which stays until the last has gone."""
        with self._lock:
            self._uses[key] += 1
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="heddle-gateway-keep", daemon=True)
                self._keeper.start()

    def bind(self, key: BindingKey) -> int:
        """The binding's id, made with the first use. Raises `StepFailure`, `PluginLostError`."""
        return self._bindings.get(key, lambda: self._bind(key))

    def infer(self, key: BindingKey, input: RowType | None) -> RowType:
        """The output's row of a binding. Raises `StepFailure`, `PluginLostError`."""
        request = wire.InferSchemaRequest(binding_id=self.bind(key), input=encode_row(input or OPEN_ROW))
        response = self._answer(request, wire.InferSchemaResponse, BIND_TIMEOUT_S)
        if response.HasField("failure"):
            raise step_failure(response.failure)
        return decode_row(response.output)

    def call(
        self,
        key: BindingKey,
        input: pa.Table | None,
        context: CallContext,
        refused: list[RejectedRows],
        report: Reporter,
    ) -> Iterator[pa.Table]:
        """Raises `StepFailure`, `PluginLostError`."""
        binding_id = self.bind(key)
        try:
            yield from self._call(binding_id, input, context, refused, report)
        except LeaseExpiredError:
            self._introduced = False  # the gateway may be another one by now
            if self.bind(key) == binding_id:
                self._bindings.pop(key)
            yield from self._call(self.bind(key), input, context, refused, report)

    def release(self, key: BindingKey) -> None:
        """One user less; the last gives the binding back."""
        with self._lock:
            self._uses[key] -= 1
            unused = not self._uses[key]
            self._uses += Counter()
        if not unused:
            return
        binding_id = self._bindings.pop(key)
        if binding_id is not None:
            request = wire.ReleaseStepRequest(binding_id=binding_id)
            with suppress(PluginLostError, StepFailure):
                self._answer(request, wire.ReleaseStepResponse, RELEASE_TIMEOUT_S)

    def close(self) -> None:
        """End the session: the gateway gives back what it still has."""
        self._closing.set()
        if self._keeper is not None:
            self._keeper.join(CANCEL_TIMEOUT_S)
            with suppress(PluginLostError, StepFailure):
                self._answer(wire.DrainRequest(), wire.DrainResponse, RELEASE_TIMEOUT_S)
        self._flight.close()

    def cancel(self, call_id: int) -> None:
        """Raises `StepFailure`, `PluginLostError`."""
        self._answer(wire.CancelRequest(call_id=call_id), wire.CancelResponse, CANCEL_TIMEOUT_S)

    def _call(
        self,
        binding_id: int,
        input: pa.Table | None,
        context: CallContext,
        refused: list[RejectedRows],
        report: Reporter,
    ) -> Iterator[pa.Table]:
        options = ExchangeOptions(str(self.address.url), self._headers(), self.cancel)
        call = FlightCall(self._flight, options, next(self._call_ids), context, report)
        with self._lock:
            self._calls.add(call)
        try:
            yield from call.run(binding_id, input, refused)
        finally:
            with self._lock:
                self._calls.discard(call)

    def _bind(self, key: BindingKey) -> int:
        if not self._introduced:
            self._introduce()
        opened = {slot: self._open(resource) for slot, resource in key.resources}
        request = wire.BindStepRequest(
            step=key.step,
            config_json=key.config_json,
            resources=opened,
            parameters_json=key.parameters_json,
            columns=encode_schema(key.columns) if key.columns is not None else b"",
        )
        response = self._answer(request, wire.BindStepResponse, BIND_TIMEOUT_S)
        for resource_id in opened.values():
            close = wire.CloseResourceRequest(resource_id=resource_id)
            self._answer(close, wire.CloseResourceResponse, RELEASE_TIMEOUT_S)
        if response.HasField("failure"):
            raise step_failure(response.failure)
        return response.binding_id

    def _open(self, key: ResourceKey) -> int:
        request = wire.OpenResourceRequest(
            type=key.type, name=key.name, config_json=key.config_json, lease_s=self._lease_s
        )
        response = self._answer(request, wire.OpenResourceResponse, DESCRIBE_TIMEOUT_S)
        if response.HasField("failure"):
            raise step_failure(response.failure)
        return response.resource_id

    def _introduce(self) -> None:
        """Make sure that the gateway serves the code that the run was planned with."""
        _, code_hash = self.describe()
        if self.code_hash and code_hash != self.code_hash:
            raise StepFailure(
                f"{self.address.url} now serves other code of the plugin `{self.name}` than the program was "
                "checked with; run it again",
                "PluginChanged",
                "",
            )
        self._introduced = True

    def _shake_hands(self) -> None:
        request = wire.HandshakeRequest(
            protocol_min=PROTOCOL, protocol_max=PROTOCOL, engine_version=__version__
        )
        hello = self._answer(request, wire.HandshakeResponse, DESCRIBE_TIMEOUT_S)
        if hello.HasField("failure"):
            raise StepFailure(
                f"{self.address.url} ({hello.sdk}) and this engine (Heddle {__version__}, protocol "
                f"{PROTOCOL}) do not understand each other: {hello.failure.message}",
                "PluginStartError",
                "",
            )

    def _keep(self) -> None:
        """Renew the session's lease. Calls are given up when the gateway is silent for as long as that."""
        heard_at = time.monotonic()
        while not self._closing.wait(self._lease_s / 4):
            try:
                self._answer(wire.HealthRequest(), wire.HealthResponse, self._lease_s / 4)
                heard_at = time.monotonic()
            except (StepFailure, PluginLostError):
                if time.monotonic() - heard_at < self._lease_s:
                    continue
                with self._lock:
                    calls = list(self._calls)
                for call in calls:
                    call.give_up()

    def _answer(self, request: Message, response: type[Response], timeout_s: float) -> Response:
        return _decoded(self._ask(request, timeout_s), response)

    def _ask(self, request: Message, timeout_s: float) -> list[bytes]:
        action = flight.Action(_METHOD_NAMES[type(request)], request.SerializeToString())
        options = flight.FlightCallOptions(timeout=timeout_s, headers=self._headers())
        try:
            return [result.body.to_pybytes() for result in self._flight.do_action(action, options)]
        except flight.FlightUnauthenticatedError as error:
            raise StepFailure(
                f"{self.address.url} refuses the token for the plugin `{self.name}`: give the one that its "
                f"--token-file holds, in the variable {TOKEN_VARIABLE} or as `token` in heddle.toml",
                "Unauthenticated",
                "",
            ) from error
        except (flight.FlightError, pa.ArrowException, OSError) as error:
            raise lost_gateway(str(self.address.url), error) from error

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(b"heddle-session", self._session.encode())]
        if self.address.token is not None:
            headers.append((b"authorization", b"Bearer " + self.address.token.encode()))
        return headers


class GatewayClients:
    """The clients of an engine, by address, import path and code; close it with the engine. Thread-safe."""

    def __init__(self, lease_s: float = LEASE_S) -> None:
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._clients: dict[tuple[GatewayAddress, str, str], GatewayClient] = {}

    def client(self, address: GatewayAddress, module: ModuleSignature) -> GatewayClient:
        """Raises `StepFailure` when the address cannot be used."""
        key = (address, module.path, module.code_hash)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = GatewayClient(module.path, address, module.code_hash, self._lease_s)
            return self._clients[key]

    def close(self) -> None:
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()


def failure_of_lost_gateway(name: str, lost: PluginLostError) -> StepFailure:
    return StepFailure(f"the plugin `{name}` was lost: {lost}", "PluginCrashed", "", transient=True)


def _connected(name: str, address: GatewayAddress) -> Any:
    authority = None
    if address.authority is not None:
        try:
            authority = address.authority.read_bytes()
        except OSError as error:
            raise StepFailure(
                f"the certificate {address.authority} of the plugin `{name}` cannot be read "
                f"({error.strerror}); correct `authority` in heddle.toml",
                "PluginStartError",
                "",
            ) from error
    return flight.connect(str(address.url), tls_root_certs=authority, generic_options=RECONNECT)


def _decoded(bodies: list[bytes], response: type[Response]) -> Response:
    try:
        return response.FromString(bodies[0])
    except (DecodeError, IndexError) as error:
        raise PluginLostError("the gateway answered with what is no answer") from error
