"""`/metrics`, on a port of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final, Self
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from heddle.errors import UsageError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client import CollectorRegistry

    from heddle.serve_settings import MetricsAddress

PATH: Final = "/metrics"
SILENT_S: Final = 10.0
"""How long a client may take to send its request."""


class MetricsPage:
    """Answers inside its `with`; `url` says where."""

    def __init__(self, address: MetricsAddress, registry: CollectorRegistry) -> None:
        """Raises `UsageError` when it cannot listen there."""
        shown = f"[{address.host}]" if ":" in address.host else address.host
        try:
            family, *_, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
            self._server = _Server(family, str(place[0]), address.port)
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served on {shown}:{address.port}: {error.strerror or error}",
                help="`--metrics 0` takes a free port",
            ) from error
        self._server.set_app(_only_metrics(make_wsgi_app(registry)))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", args=(0.1,), daemon=True
        )
        self.url = f"http://{shown}:{self._server.server_port}{PATH}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(WSGIRequestHandler):
    timeout = SILENT_S

    def log_message(self, format: str, *args: Any) -> None:
        """Requests have no lines."""


class _Server(ThreadingWSGIServer):
    def __init__(self, family: socket.AddressFamily, host: str, port: int) -> None:
        self.address_family = family
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without asking DNS for the host's name, as an HTTP server does otherwise."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


def _only_metrics(app: WSGIApplication) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == PATH:
            return app(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"metrics are at {PATH}\n".encode()]

    return answer
