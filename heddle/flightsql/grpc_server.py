"""The gRPC server: its port, its limits, health and reflection beside Flight, and its end in good order."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from heddle.errors import UsageError
from heddle.flightsql.grpc_transport import SERVICE, FlightHandlers
from heddle.flightsql.requests import Requests
from heddle.flightsql.security import Security
from heddle.flightsql.service import Service

RECEIVED_BYTES_MAX: Final = 128 << 20
"""Of one message: a batch that a client puts."""
METADATA_BYTES_MAX: Final = 64 << 10
"""JDBC sends every property of its URL that it does not know as a header."""
CONTROL_THREADS: Final = 4
REQUESTS_AT_ONCE_MAX: Final = 4096
DRAIN_S: Final = 30.0
"""How long what is under way may take when the server ends."""
STOP_S: Final = 1.0
STOPPED_S: Final = 5.0
"""Then the process ends with what cannot be cancelled, such as some joins."""

OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", RECEIVED_BYTES_MAX),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class GrpcServer:
    """Listens from `start` to the end of its `with`. Port 0 takes a free one; `url` says where."""

    def __init__(
        self, service: Service, security: Security, host: str, port: int, requests: Requests | None
    ) -> None:
        """Raises `UsageError` when it cannot listen there."""
        self._service = service
        self._handlers = FlightHandlers(service, requests, secure=security.credentials is not None)
        self._control = ThreadPoolExecutor(CONTROL_THREADS, thread_name_prefix="flightsql-control")
        self._server = grpc.server(
            self._control,
            handlers=[self._handlers.handler()],
            options=OPTIONS,
            maximum_concurrent_rpcs=REQUESTS_AT_ONCE_MAX,
        )
        self._health = health.HealthServicer(experimental_thread_pool=self._control)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'grpc' if security.credentials is None else 'grpc+tls'}://{shown}:"
        try:
            if security.credentials is None:
                bound = self._server.add_insecure_port(f"{shown}:{port}")
            else:
                bound = self._server.add_secure_port(f"{shown}:{port}", security.credentials())
        except RuntimeError as error:
            raise UsageError(
                f"the server cannot listen on {shown}:{port}",
                help="the port may be in use, or the host may not be one of this machine; "
                "`--flight 0` takes a free port",
            ) from error
        self.port: int = bound
        self.url += str(bound)

    def start(self) -> None:
        self._server.start()
        self._set_health(health_pb2.HealthCheckResponse.SERVING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def drain(self, limit_s: float = DRAIN_S) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._service.drain()
        until_s = time.monotonic() + limit_s
        pause = threading.Event()
        while self._service.under_way and time.monotonic() < until_s:
            pause.wait(0.05)

    def stop(self, grace_s: float = STOP_S) -> None:
        """Cut off what still runs after `grace_s`. The service is closed with it."""
        stopped = self._server.stop(grace_s)
        self._service.close()
        stopped.wait(STOPPED_S)
        self._handlers.close()
        self._control.shutdown(wait=False, cancel_futures=True)

    def _set_health(self, status: Any) -> None:
        for name in ("", SERVICE):
            self._health.set(name, status)
