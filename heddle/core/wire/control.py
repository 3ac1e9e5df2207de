"""The control channel's methods, once for both ends: names, request and response types.

`ControlClient` is the engine's end; `serve_control` answers with the methods of an object of the plugin's.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from heddle.core.wire import plugin_pb2 as wire

SERVICE: Final = "heddle.plugin.v1.PluginControl"
PROTOCOL: Final = 1
"""The one version that this release speaks."""

METHODS: Final[dict[str, tuple[type[Message], type[Message]]]] = {
    "Handshake": (wire.HandshakeRequest, wire.HandshakeResponse),
    "Describe": (wire.DescribeRequest, wire.DescribeResponse),
    "OpenResource": (wire.OpenResourceRequest, wire.OpenResourceResponse),
    "CheckResource": (wire.CheckResourceRequest, wire.CheckResourceResponse),
    "CloseResource": (wire.CloseResourceRequest, wire.CloseResourceResponse),
    "BindStep": (wire.BindStepRequest, wire.BindStepResponse),
    "InferSchema": (wire.InferSchemaRequest, wire.InferSchemaResponse),
    "ReleaseStep": (wire.ReleaseStepRequest, wire.ReleaseStepResponse),
    "Cancel": (wire.CancelRequest, wire.CancelResponse),
    "Health": (wire.HealthRequest, wire.HealthResponse),
    "Drain": (wire.DrainRequest, wire.DrainResponse),
}

CONTROL_THREADS: Final = 32
"""Made when they are needed; so many slow requests may be under way before `Cancel` must wait for one."""
MESSAGE_BYTES_MAX: Final = 16 << 20

Response = TypeVar("Response", bound=Message)

_OPTIONS: Final = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
]


class ControlHandler(Protocol):
    """Answers a request by its type; each answer is of the response type that belongs to it."""

    def answer(self, request: Message) -> Message: ...


class ControlClient:
    """Raises `grpc.RpcError` when the plugin is gone or does not answer in time."""

    def __init__(self, socket_path: str) -> None:
        # Without a name of its own the escaped path would be the authority, which strict servers refuse.
        options = [*_OPTIONS, ("grpc.default_authority", "localhost")]
        self._channel = grpc.insecure_channel(f"unix:{socket_path}", options)
        self._calls: dict[type[Message], Callable[..., Any]] = {
            request: self._channel.unary_unary(
                f"/{SERVICE}/{name}", request.SerializeToString, response.FromString
            )
            for name, (request, response) in METHODS.items()
        }

    def call(self, request: Message, response: type[Response], timeout_s: float | None = None) -> Response:
        answer = self._calls[type(request)](request, timeout=timeout_s)
        assert isinstance(answer, response), type(answer)
        return answer

    def close(self) -> None:
        self._channel.close()


def serve_control(socket_path: str, handler: ControlHandler) -> grpc.Server:
    """A started server."""
    server = grpc.server(ThreadPoolExecutor(CONTROL_THREADS, "heddle-control"), options=_OPTIONS)
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            lambda request, _context: handler.answer(request), request.FromString, response.SerializeToString
        )
        for name, (request, response) in METHODS.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"unix:{socket_path}")
    server.start()
    return server
