"""The control channel of a plugin process: what the engine asks, and what answers it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from heddle import __version__
from heddle.core.config import ConfigValue
from heddle.core.failure import StepError, failure_of
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.control import PROTOCOL, serve_control
from heddle.core.wire.description import decode_row, encode_module, encode_row
from heddle.core.wire.failures import encode_failure
from heddle.core.wire.links import decode_link
from heddle.core.wire.payload import PayloadError, decode_schema
from heddle.sdk.loaded import LoadedModule
from heddle.sdk.plugin_lane import Limits
from heddle.sdk.registry import Registry
from heddle.sdk.serve_calls import Calls

SDK: Final = f"heddle-python {__version__}"

Answer = TypeVar("Answer", bound=Message)


def control(
    socket_path: str, module: LoadedModule, registry: Registry, calls: Calls, limits: Limits
) -> grpc.Server:
    """A started server."""
    return serve_control(socket_path, Control(module, registry, calls, limits))


class Control:
    """Implements `ControlHandler`."""

    def __init__(self, module: LoadedModule, registry: Registry, calls: Calls, limits: Limits) -> None:
        self._module = module
        self._registry = registry
        self._calls = calls
        self._limits = limits

    def answer(self, request: Message) -> Message:
        match request:
            case wire.HandshakeRequest():
                return self._handshake(request)
            case wire.DescribeRequest():
                os.environ.update(request.environment)
                return encode_module(self._module.signature, self._module.version)
            case wire.OpenResourceRequest():
                return _answered(wire.OpenResourceResponse, lambda: self._open(request))
            case wire.CheckResourceRequest():
                return _answered(wire.CheckResourceResponse, lambda: self._check(request))
            case wire.CloseResourceRequest():
                return _answered(wire.CloseResourceResponse, lambda: self._close(request))
            case wire.BindStepRequest():
                return _answered(wire.BindStepResponse, lambda: self._bind(request))
            case wire.InferSchemaRequest():
                return _answered(wire.InferSchemaResponse, lambda: self._infer(request))
            case wire.ReleaseStepRequest():
                self._registry.release(request.binding_id)
                return wire.ReleaseStepResponse()
            case wire.CancelRequest():
                self._calls.cancel(request.call_id)
                return wire.CancelResponse()
            case wire.HealthRequest():
                return wire.HealthResponse(calls=self._calls.count, problems=self._registry.problems())
            case wire.DrainRequest():
                self._calls.drain()
                return wire.DrainResponse(problems=self._registry.close_all())
            case _:
                raise AssertionError(f"no answer to {type(request).__name__}")

    def _handshake(self, request: wire.HandshakeRequest) -> wire.HandshakeResponse:
        hello = wire.HandshakeResponse(
            sdk=SDK,
            namespace=self._module.signature.namespace,
            environment=self._module.environment,
            chains=True,
        )
        if not request.protocol_min <= PROTOCOL <= request.protocol_max:
            hello.failure.CopyFrom(encode_failure(_no_common(request)))
            return hello
        try:
            self._limits.set(request.inline_bytes_max, request.frame_bytes_max)
        except ValueError as error:
            hello.failure.CopyFrom(encode_failure(StepError("protocol", str(error), "ProtocolError")))
            return hello
        hello.protocol = PROTOCOL
        return hello

    def _open(self, request: wire.OpenResourceRequest) -> wire.OpenResourceResponse:
        config = _config(request.config_json)
        id = self._registry.open(request.type, request.name, config, request.lease_s, request.base or ".")
        return wire.OpenResourceResponse(resource_id=id)

    def _check(self, request: wire.CheckResourceRequest) -> wire.CheckResourceResponse:
        return wire.CheckResourceResponse(problem=self._registry.check(request.resource_id) or "")

    def _close(self, request: wire.CloseResourceRequest) -> wire.CloseResourceResponse:
        self._registry.close(request.resource_id)
        return wire.CloseResourceResponse()

    def _bind(self, request: wire.BindStepRequest) -> wire.BindStepResponse:
        config = _config(request.config_json)
        try:
            link = decode_link(request.link) if request.HasField("link") else None
            columns = decode_schema(request.columns) if request.columns else None
        except PayloadError as error:
            raise StepError("protocol", str(error), "ProtocolError") from error
        parameters = _config(request.parameters_json)
        id = self._registry.bind(
            request.step, config, request.resources, request.base, link, parameters, columns
        )
        return wire.BindStepResponse(binding_id=id)

    def _infer(self, request: wire.InferSchemaRequest) -> wire.InferSchemaResponse:
        try:
            input = decode_row(request.input)
        except PayloadError as error:
            raise StepError("protocol", str(error), "ProtocolError") from error
        with self._registry.in_use(request.binding_id) as binding:
            return wire.InferSchemaResponse(output=encode_row(binding.step.infer(input)))


def _answered(response: Callable[..., Answer], answer: Callable[[], Answer]) -> Answer:
    try:
        return answer()
    except Exception as error:
        return response(failure=encode_failure(failure_of(error)))


def _config(text: str) -> dict[str, ConfigValue]:
    try:
        config = json.loads(text or "{}")
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise StepError("protocol", "the settings are no JSON object", "ProtocolError")
    return config


def _no_common(request: wire.HandshakeRequest) -> StepError:
    older = request.protocol_max < PROTOCOL
    side = "Heddle" if older else "the package `heddle` that the plugin runs with"
    theirs = (
        f"version {request.protocol_min}"
        if request.protocol_min == request.protocol_max
        else f"versions {request.protocol_min} to {request.protocol_max}"
    )
    return StepError(
        "protocol",
        f"the engine (Heddle {request.engine_version or 'unknown'}) speaks {theirs} of the plugin protocol, "
        f"and this plugin ({SDK}) speaks version {PROTOCOL}; update {side}",
        "NoCommonProtocol",
    )
