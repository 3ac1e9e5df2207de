"""A started plugin: handshake, description, opened resources, bound steps, lanes for calls.

Everything here belongs to one process; a new process gets a new connection, in which resources are opened
and steps bound again when they are next used.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Final

import grpc
import pyarrow as pa
from google.protobuf.message import Message

from heddle import __version__
from heddle.core.record import record
from heddle.core.signature import ModuleSignature
from heddle.core.step import RejectedRows
from heddle.core.types import OPEN_ROW, RowType
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.columns import joined
from heddle.core.wire.control import PROTOCOL, ControlClient, Response
from heddle.core.wire.description import DescriptionError, decode_module, decode_row, encode_row
from heddle.core.wire.lanes import FRAME_BYTES_MAX, INLINE_BYTES_MAX, Lane
from heddle.core.wire.links import encode_link
from heddle.core.wire.payload import PayloadError, encode_schema
from heddle.udf_bridge.keys import BindingKey, Once, ResourceKey
from heddle.udf_bridge.lane_call import (
    EngineLane,
    LaneCall,
    LeaseExpiredError,
    PluginGoneError,
    PluginLostError,
    step_failure,
)
from heddle.udf_bridge.launch import declared_environment
from heddle.udf_bridge.process import PluginProcess, PluginStartError
from heddle.udf_bridge.segments import SegmentPool, SharedMemory
from heddle.udf_bridge.transport import (
    CallContext,
    ChainEnd,
    PluginStarted,
    Reporter,
    StepFailure,
)

HANDSHAKE_TIMEOUT_S: Final = 30.0
CANCEL_TIMEOUT_S: Final = 1.0
DRAIN_TIMEOUT_S: Final = 5.0
DESCRIBE_TIMEOUT_S: Final = 60.0
"""How long a plugin may ask its service for the columns of a step, or whether it is there."""
IDLE_SEGMENT_BYTES: Final = 64 << 20
"""What a plugin's pool keeps when no call is under way."""


@record(frozen=True, slots=True)
class Unused:
    """Ids of bindings and resources that the plugin still holds, and nobody else knows any more."""

    bindings: tuple[int, ...]
    resources: tuple[int, ...]


class Connection:
    """Implements `CalledPlugin`. Thread-safe.

    `lease_s` is how long the plugin keeps a resource that nothing uses; 0: until it is told to close it.
    """

    def __init__(
        self, process: PluginProcess, environ: Mapping[str, str], shared: SharedMemory, report: Reporter
    ) -> None:
        """Waits until the plugin is ready. Raises `PluginStartError`."""
        self.process = process
        self.name = process.launch.name
        self.segments = SegmentPool(shared)
        self._call_ids = count(1)
        self._idle_lanes: list[EngineLane] = []
        self._resources: Once[ResourceKey] = Once()
        self._bindings: Once[BindingKey] = Once()
        self._calls = 0
        self._started = 0
        self._calls_lock = threading.Lock()
        self.lease_s = 0.0
        self.chains = False
        self._grant_bytes: dict[int, int] = {}
        process.wait_ready()
        self.control = ControlClient(process.control_path)
        self.description = self._introduced(environ)
        report(PluginStarted(self.name, process.pid, time.monotonic() - process.started_at))

    @property
    def alive(self) -> bool:
        return self.process.alive

    @property
    def calls(self) -> int:
        """Calls under way."""
        return self._calls

    @property
    def started(self) -> int:
        """Calls that have begun, ever."""
        return self._started

    def module(self, path: str, code_hash: str, origin: str) -> ModuleSignature:
        """What the plugin offers. Raises `PluginStartError`."""
        try:
            return decode_module(self.description, path, code_hash, origin)
        except DescriptionError as error:
            raise PluginStartError(
                f"the plugin `{self.name}` describes itself wrongly: {error}; its SDK must be repaired"
            ) from error

    def bind(self, key: BindingKey) -> int:
        """The binding's id, made with the first use. Raises `StepFailure`, `PluginLostError`."""
        return self._bindings.get(key, lambda: self._bind(key))

    def infer(self, key: BindingKey, input: RowType | None) -> RowType:
        """The output's row of a binding. Raises `StepFailure`, `PluginLostError`."""
        request = wire.InferSchemaRequest(binding_id=self.bind(key), input=encode_row(input or OPEN_ROW))
        response = self._ask(request, wire.InferSchemaResponse, DESCRIBE_TIMEOUT_S)
        if response.HasField("failure"):
            raise step_failure(response.failure)
        try:
            return decode_row(response.output)
        except PayloadError as error:
            raise PluginLostError(str(error)) from error

    def check_resource(self, key: ResourceKey) -> str | None:
        """What is wrong with a resource, None when it is healthy. Raises `StepFailure`, `PluginLostError`."""
        resource_id = self._resources.get(key, lambda: self._open(key))
        request = wire.CheckResourceRequest(resource_id=resource_id)
        response = self._ask(request, wire.CheckResourceResponse, DESCRIBE_TIMEOUT_S)
        if response.HasField("failure"):
            raise step_failure(response.failure)
        return response.problem or None

    def call(
        self,
        key: BindingKey,
        input: pa.Table | None,
        context: CallContext,
        refused: list[RejectedRows],
        report: Reporter,
    ) -> Iterator[pa.Table]:
        """Raises `StepFailure`, `PluginLostError`."""
        with self._counted():
            try:
                yield from self._call(self.bind(key), input, context, refused, report)
            except LeaseExpiredError:
                self.forget(key)
                yield from self._call(self.bind(key), input, context, refused, report)

    def call_chain(
        self,
        keys: Sequence[BindingKey],
        input: pa.Table,
        contexts: Sequence[CallContext],
        reports: Sequence[Reporter],
    ) -> ChainEnd:
        """One call of several steps, whose keys have links. Raises `StepFailure` when it failed as a whole,
        and `PluginLostError`."""
        with self._counted():
            try:
                return self._call_chain(keys, input, contexts, reports)
            except LeaseExpiredError:
                for key in keys:
                    self.forget(key)
                return self._call_chain(keys, input, contexts, reports)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """A call under way; when it was the last one, memory is given back."""
        with self._calls_lock:
            self._calls += 1
            self._started += 1
        try:
            yield
        finally:
            with self._calls_lock:
                self._calls -= 1
                idle = self._calls == 0
            if idle:
                self.segments.trim(IDLE_SEGMENT_BYTES)

    def give_up(self, bindings: Sequence[BindingKey], resources: Sequence[ResourceKey]) -> Unused:
        """Forget what no session uses any more, so that the next to want it makes it anew; to be released."""
        bound = [self._bindings.pop(key) for key in bindings]
        opened = [self._resources.pop(key) for key in resources]
        return Unused(tuple(i for i in bound if i is not None), tuple(i for i in opened if i is not None))

    def release(self, unused: Unused) -> None:
        """Give back what was given up."""
        with suppress(grpc.RpcError):
            for binding_id in unused.bindings:
                request = wire.ReleaseStepRequest(binding_id=binding_id)
                self.control.call(request, wire.ReleaseStepResponse, DRAIN_TIMEOUT_S)
            for resource_id in unused.resources:
                close = wire.CloseResourceRequest(resource_id=resource_id)
                self.control.call(close, wire.CloseResourceResponse, DRAIN_TIMEOUT_S)

    def forget(self, key: BindingKey) -> None:
        """The plugin has closed the resources of a binding."""
        self._bindings.pop(key)
        for _, resource in key.resources:
            self._resources.pop(resource)

    def cancel(self, call_id: int) -> None:
        with suppress(grpc.RpcError, ValueError):
            self.control.call(wire.CancelRequest(call_id=call_id), wire.CancelResponse, CANCEL_TIMEOUT_S)

    def kill(self) -> None:
        self.process.kill()

    def ending(self) -> str:
        return self.process.ending() + self.process.tail_text()

    def close(self) -> None:
        """Drain and end the process. What a resource's close raised is in the plugin's output."""
        with suppress(grpc.RpcError):
            if self.process.alive:
                self.control.call(wire.DrainRequest(), wire.DrainResponse, DRAIN_TIMEOUT_S)
        self.discard()

    def discard(self) -> None:
        """Give up what belongs to a process that ended, or end it."""
        self.control.close()
        while self._idle_lanes:
            self._idle_lanes.pop().close()
        self.process.stop()
        self.segments.close()

    def _call_chain(
        self,
        keys: Sequence[BindingKey],
        input: pa.Table,
        contexts: Sequence[CallContext],
        reports: Sequence[Reporter],
    ) -> ChainEnd:
        first, *rest = [self.bind(key) for key in keys]
        followers = [
            wire.Follower(binding_id=id, step=context.step, idempotency_key=context.idempotency_key)
            for id, context in zip(rest, contexts[1:], strict=True)
        ]
        lane = self._lane()
        call = LaneCall(lane, self, next(self._call_ids), contexts[0], reports, followers)
        tables: list[pa.Table] = []
        failed: StepFailure | None = None
        try:
            tables += call.run(first, input, [], self._grant_bytes.get(first, 0))
        except StepFailure as failure:
            if not call.ended:
                raise
            failed = failure
        finally:
            self._after(first, call, lane)
        if contexts[0].cancelled():
            raise failed or StepFailure("the call was cancelled", "CancelledError", "")
        if call.done > len(keys) or bool(call.done) != bool(tables) or (failed and call.done == len(keys)):
            raise PluginLostError(
                f"it ended a chain of {len(keys)} steps after {call.done} in no allowed way"
            )
        return ChainEnd(call.done, joined(tables) if tables else input, failed)

    def _call(
        self,
        binding_id: int,
        input: pa.Table | None,
        context: CallContext,
        refused: list[RejectedRows],
        report: Reporter,
    ) -> Iterator[pa.Table]:
        lane = self._lane()
        call = LaneCall(lane, self, next(self._call_ids), context, (report,))
        try:
            yield from call.run(binding_id, input, refused, self._grant_bytes.get(binding_id, 0))
        finally:
            self._after(binding_id, call, lane)

    def _after(self, binding_id: int, call: LaneCall, lane: EngineLane) -> None:
        self._grant_bytes[binding_id] = call.grant_bytes
        if call.ended:
            self._idle_lanes.append(lane)
        else:
            lane.close()

    def _lane(self) -> EngineLane:
        try:
            return self._idle_lanes.pop()
        except IndexError:
            pass  # all are busy: one more
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self.process.lanes_path)
        except OSError as error:
            connection.close()
            raise PluginGoneError(self.ending()) from error
        return Lane(connection, wire.PluginFrame)

    def _introduced(self, environ: Mapping[str, str]) -> wire.DescribeResponse:
        try:
            hello = self.control.call(
                wire.HandshakeRequest(
                    protocol_min=PROTOCOL,
                    protocol_max=PROTOCOL,
                    engine_version=__version__,
                    inline_bytes_max=INLINE_BYTES_MAX,
                    frame_bytes_max=FRAME_BYTES_MAX,
                ),
                wire.HandshakeResponse,
                HANDSHAKE_TIMEOUT_S,
            )
            if hello.HasField("failure") or hello.protocol != PROTOCOL:
                raise PluginStartError(_no_common_protocol(self.name, hello))
            self.chains = hello.chains
            names = (*hello.environment, *self.process.launch.environment)
            declared = declared_environment(environ, names)
            description = self.control.call(
                wire.DescribeRequest(environment=declared), wire.DescribeResponse, HANDSHAKE_TIMEOUT_S
            )
        except grpc.RpcError as error:
            self.discard()
            raise PluginStartError(
                f"the plugin `{self.name}` did not answer ({_status(error)}){self.process.tail_text()}"
            ) from error
        except PluginStartError:
            self.discard()
            raise
        if description.HasField("failure"):
            self.discard()
            raise PluginStartError(f"the plugin `{self.name}`: {description.failure.message}")
        return description

    def _bind(self, key: BindingKey) -> int:
        resources = {
            slot: self._resources.get(resource, lambda r=resource: self._open(r))  # type: ignore[misc]
            for slot, resource in key.resources
        }
        request = wire.BindStepRequest(
            step=key.step,
            config_json=key.config_json,
            resources=resources,
            base=key.base,
            link=encode_link(key.link) if key.link is not None else None,
            parameters_json=key.parameters_json,
            columns=encode_schema(key.columns) if key.columns is not None else b"",
        )
        response = self._ask(request, wire.BindStepResponse)
        if response.HasField("failure"):
            refused = response.failure.kind == wire.Failure.CONFIG
            prefix = f"the settings of `{self.name}.{key.step}` were refused: " if refused else ""
            raise step_failure(response.failure, prefix)
        return response.binding_id

    def _open(self, key: ResourceKey) -> int:
        request = wire.OpenResourceRequest(
            type=key.type,
            name=key.name,
            config_json=key.config_json,
            lease_s=self.lease_s,
            base=key.base,
        )
        response = self._ask(request, wire.OpenResourceResponse)
        if response.HasField("failure"):
            where = f"the resource `{key.name}` ({self.name}.{key.type})"
            raise step_failure(response.failure, f"{where} could not be opened: ")
        return response.resource_id

    def _ask(self, request: Message, response: type[Response], timeout_s: float | None = None) -> Response:
        try:
            return self.control.call(request, response, timeout_s)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                message = f"the plugin `{self.name}` gave no answer within {timeout_s:g} s"
                raise StepFailure(message, "Timeout", "", transient=True) from error
            if not self.process.alive or error.code() is grpc.StatusCode.UNAVAILABLE:
                raise PluginGoneError(self.ending()) from error
            raise PluginLostError(f"it answered with an error ({_status(error)})") from error


def failure_of_lost(name: str, lost: PluginLostError) -> StepFailure:
    return StepFailure(f"the plugin `{name}` ended in mid-call ({lost})", "PluginCrashed", "", transient=True)


def _no_common_protocol(name: str, hello: wire.HandshakeResponse) -> str:
    said = hello.failure.message if hello.HasField("failure") else f"it chose version {hello.protocol}"
    return (
        f"the plugin `{name}` ({hello.sdk or 'SDK unknown'}) and this engine (Heddle {__version__}, protocol "
        f"{PROTOCOL}) do not understand each other: {said}"
    )


def _status(error: grpc.RpcError) -> str:
    return str(error.code().name).lower().replace("_", " ") if isinstance(error, grpc.Call) else "no status"
