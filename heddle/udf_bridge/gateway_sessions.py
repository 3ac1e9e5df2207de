"""What the clients of a gateway have: settings of resources, bound steps, calls under way.

A session begins with the first request that carries its id and ends when its client says so, or when the
client was silent for the session's lease. Whatever it had is then closed, so that nothing outlives a client.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from heddle.core.record import record
from heddle.core.signature import ModuleSignature
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.description import decode_row, encode_row
from heddle.core.wire.payload import PayloadError, decode_schema
from heddle.udf_bridge.connection import failure_of_lost
from heddle.udf_bridge.hosts import Host, PluginHosts
from heddle.udf_bridge.lane_call import LeaseExpiredError, PluginLostError
from heddle.udf_bridge.remote import RemoteEndpoint
from heddle.udf_bridge.transport import Report, ResourceBinding, StepBinding, StepFailure

LEASE_S: Final = 60.0
WATCH_S: Final = 0.25
"""How often it is looked whether clients are still there."""
EARLY_CANCELS_MAX: Final = 1024


@record(frozen=True, slots=True)
class ServedPlugin:
    """The plugin behind a gateway; `base` is where relative paths in settings start."""

    hosts: PluginHosts
    host: Host
    module: ModuleSignature
    base: str


class RunningCall:
    """A call under way: the plugin's side asks `cancelled` and leaves what wakes it."""

    def __init__(self, is_gone: Callable[[], bool]) -> None:
        self.is_gone = is_gone
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []
        self._cancelled = False

    def cancelled(self) -> bool:
        return self._cancelled

    def on_cancel(self, wake: Callable[[], None]) -> Callable[[], None]:
        with self._lock:
            at_once = self._cancelled
            if not at_once:
                self._wakers.append(wake)
        if at_once:
            wake()
        return lambda: self._forget(wake)

    def cancel(self) -> None:
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def _forget(self, wake: Callable[[], None]) -> None:
        with self._lock:
            if wake in self._wakers:
                self._wakers.remove(wake)


class GatewaySession:
    """One client's. Thread-safe."""

    def __init__(self, plugin: ServedPlugin) -> None:
        self._plugin = plugin
        self._lock = threading.Lock()
        self._resources: dict[int, ResourceBinding] = {}
        self._steps: dict[int, RemoteEndpoint] = {}
        self._calls: dict[int, RunningCall] = {}
        self._early_cancels: dict[int, None] = {}
        self._closed = False
        self._lease_s = LEASE_S
        self._seen_at = time.monotonic()

    @property
    def calls(self) -> int:
        """Calls under way."""
        return len(self._calls)

    @property
    def expired(self) -> bool:
        return time.monotonic() - self._seen_at > self._lease_s

    def touch(self) -> None:
        self._seen_at = time.monotonic()

    def open_resource(self, request: wire.OpenResourceRequest) -> wire.OpenResourceResponse:
        """Take note of a resource; the first step that is bound to it opens it."""
        module = self._plugin.module
        if request.type not in module.resources:
            return wire.OpenResourceResponse(failure=_unknown(module, "resource", request.type))
        if request.lease_s > 0:
            self._lease_s = min(LEASE_S, request.lease_s)
        resource = ResourceBinding(request.name, module, request.type, json.loads(request.config_json))
        with self._lock:
            id = _new_id()
            self._resources[id] = resource
        return wire.OpenResourceResponse(resource_id=id)

    def close_resource(self, request: wire.CloseResourceRequest) -> wire.CloseResourceResponse:
        """Steps that are bound to it keep it open."""
        with self._lock:
            self._resources.pop(request.resource_id, None)
        return wire.CloseResourceResponse()

    def bind(self, request: wire.BindStepRequest) -> wire.BindStepResponse:
        plugin = self._plugin
        signature = plugin.module.step(request.step, head=True)
        if signature is None:
            return wire.BindStepResponse(failure=_unknown(plugin.module, "step", request.step))
        try:
            resources = {slot: self._resources[id] for slot, id in request.resources.items()}
        except KeyError:
            return wire.BindStepResponse(failure=expired("a resource of the step is not open here"))
        binding = StepBinding(
            request.step,
            plugin.module,
            signature,
            json.loads(request.config_json),
            resources,
            plugin.base,
            decode_schema(request.columns) if request.columns else None,
            parameters=json.loads(request.parameters_json or "{}"),
        )
        endpoint = RemoteEndpoint(plugin.hosts, plugin.host, binding, _unheard)
        try:
            endpoint.bind()
        except StepFailure as failure:
            return wire.BindStepResponse(failure=encode_step_failure(failure))
        with self._lock:
            id = _new_id()
            if not self._closed:
                self._steps[id] = endpoint
                return wire.BindStepResponse(binding_id=id)
        endpoint.close()
        return wire.BindStepResponse(failure=expired("the session has ended"))

    def infer(self, request: wire.InferSchemaRequest) -> wire.InferSchemaResponse:
        try:
            key = self._step(request.binding_id).key[1]
            row = self._plugin.host.connection().infer(key, decode_row(request.input))
        except StepFailure as failure:
            return wire.InferSchemaResponse(failure=encode_step_failure(failure))
        except PluginLostError as lost:
            crashed = failure_of_lost(self._plugin.module.namespace, lost)
            return wire.InferSchemaResponse(failure=encode_step_failure(crashed))
        except LeaseExpiredError as error:
            return wire.InferSchemaResponse(failure=expired(str(error)))
        except PayloadError as error:
            return wire.InferSchemaResponse(
                failure=wire.Failure(kind=wire.Failure.PROTOCOL, message=str(error))
            )
        return wire.InferSchemaResponse(output=encode_row(row))

    def release(self, request: wire.ReleaseStepRequest) -> wire.ReleaseStepResponse:
        with self._lock:
            endpoint = self._steps.pop(request.binding_id, None)
        if endpoint is not None:
            endpoint.close()
        return wire.ReleaseStepResponse()

    @contextmanager
    def calling(
        self, call: wire.Call, is_gone: Callable[[], bool]
    ) -> Iterator[tuple[RemoteEndpoint, RunningCall]]:
        """A call's step, and the call while it is under way. Raises `LeaseExpiredError`.

        `is_gone` is asked only while this is open.
        """
        endpoint = self._step(call.binding_id)
        running = RunningCall(is_gone)
        with self._lock:
            self._calls[call.call_id] = running
            cancelled = call.call_id in self._early_cancels
            self._early_cancels.pop(call.call_id, None)
        if cancelled:
            running.cancel()
        try:
            yield endpoint, running
        finally:
            with self._lock:
                self._calls.pop(call.call_id, None)
            self.touch()

    def cancel(self, request: wire.CancelRequest) -> wire.CancelResponse:
        """Also a call whose rows are still on their way."""
        with self._lock:
            running = self._calls.get(request.call_id)
            if running is None and len(self._early_cancels) < EARLY_CANCELS_MAX:
                self._early_cancels[request.call_id] = None
        if running is not None:
            running.cancel()
        return wire.CancelResponse()

    def cancel_orphans(self) -> None:
        """Cancel the calls whose clients are gone."""
        with self._lock:
            gone = [call for call in self._calls.values() if call.is_gone()]
        for call in gone:
            call.cancel()

    def cancel_all(self) -> None:
        with self._lock:
            calls = list(self._calls.values())
        for call in calls:
            call.cancel()

    def close(self) -> None:
        """Cancel what is under way and give everything back, what was bound last first."""
        self.cancel_all()
        with self._lock:
            self._closed = True
            endpoints = list(self._steps.values())
            self._steps.clear()
            self._resources.clear()
        with ExitStack() as closing:
            for endpoint in endpoints:
                closing.callback(endpoint.close)

    def _step(self, id: int) -> RemoteEndpoint:
        with self._lock:
            endpoint = self._steps.get(id)
        if endpoint is None:
            raise LeaseExpiredError("the step is not bound here: the client was silent for too long")
        return endpoint


class GatewaySessions:
    """The sessions by id, and the thread that ends those whose clients are gone. Thread-safe."""

    def __init__(self, plugin: ServedPlugin) -> None:
        self._plugin = plugin
        self._lock = threading.Lock()
        self._sessions: dict[str, GatewaySession] = {}
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="heddle-gateway-watch", daemon=True)
        self._watcher.start()

    @property
    def calls(self) -> int:
        with self._lock:
            return sum(session.calls for session in self._sessions.values())

    def session(self, id: str) -> GatewaySession:
        """The session, begun if need be; its lease starts anew."""
        with self._lock:
            found = self._sessions.get(id)
            if found is None:
                found = self._sessions[id] = GatewaySession(self._plugin)
            found.touch()
            return found

    def end(self, id: str) -> None:
        with self._lock:
            session = self._sessions.pop(id, None)
        if session is not None:
            session.close()

    def cancel_all(self) -> None:
        with self._lock:
            sessions = list(self._sessions.values())
        for session in sessions:
            session.cancel_all()

    def close(self) -> None:
        self._ending.set()
        self._watcher.join()
        with self._lock:
            ids = list(self._sessions)
        for id in ids:
            self.end(id)

    def _watch(self) -> None:
        while not self._ending.wait(WATCH_S):
            with self._lock:
                sessions = dict(self._sessions)
            for id, session in sessions.items():
                session.cancel_orphans()
                if session.expired:
                    self.end(id)


def encode_step_failure(failure: StepFailure) -> wire.Failure:
    return wire.Failure(
        message=failure.message,
        error_type=failure.error_type,
        stack_trace=failure.stack_trace,
        transient=failure.transient,
    )


def expired(message: str) -> wire.Failure:
    return wire.Failure(kind=wire.Failure.EXPIRED, message=message, error_type="Expired")


def _new_id() -> int:
    """Never one that a client still knows of a session that has ended."""
    return secrets.randbits(63)


def _unknown(module: ModuleSignature, what: str, name: str) -> wire.Failure:
    message = f"the plugin `{module.namespace}` has no {what} `{name}` where it is served"
    return wire.Failure(kind=wire.Failure.CONFIG, message=message, error_type="Unknown")


def _unheard(report: Report) -> None:
    """What the process says is the gateway's to tell, once for all sessions."""
