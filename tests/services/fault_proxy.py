"""A proxy in front of an HTTP server, with faults on order; with none ordered, answers are the server's.

It runs in threads of the process that opens it, so a test orders faults and reads the requests directly.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from fhub.clickhouse.server.body import read_body
from tests.services.service import HOST
from tests.waiting import PATIENCE_S

PIECE_BYTES = 64 * 1024
# Headers that are between two neighbours only.
_HOPS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Say:
    """An answer that the server was not asked for."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    """The server's answer, whose connection ends after so many bytes of the body. At once: without a head;
    `reset`: as if the machine had gone."""

    after_bytes: int = 0
    at_once: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """The server's answer, which stops after so many bytes of the body until the client goes. At once:
    without a head."""

    after_bytes: int = 0
    at_once: bool = False


Fault = Say | Cut | Stall | Callable[[Seen], Say]


@dataclass(slots=True)
class _Order:
    fault: Fault
    times: int
    skip: int
    text: bytes


class FaultProxy:
    """Opened with `with`. `url` takes the place of the server's; with `certificate` (and its key) by TLS."""

    def __init__(self, target: str, certificate: tuple[Path, Path] | None = None) -> None:
        address = urlsplit(target)
        assert address.hostname is not None
        self.target = (address.hostname, address.port or 80)
        self._path = address.path
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._lock = threading.Lock()
        self._orders: list[_Order] = []
        self._at_once = 0
        self._gathering = 0
        self._gathered = threading.Event()
        self.most_at_once = 0
        self.requests: list[Seen] = []
        self.stopping = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://{HOST}:{self._server.server_port}{self._path}"

    def fail(self, fault: Fault, *, times: int = 1, skip: int = 0, text: str = "") -> None:
        """Order a fault for `times` requests, of those that have `text` in their address or body, after
        `skip` of them. Faults are served in their order, one to a request."""
        with self._lock:
            self._orders.append(_Order(fault, times, skip, text.encode()))

    def gather(self, count: int) -> None:
        """Answer no request before so many are there at once. If they do not come, the first are answered
        after a time, and `most_at_once` says how many there were."""
        self._gathering = count

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()

    def begin(self, seen: Seen) -> Fault | None:
        """Note a request; gives the fault that is due for it."""
        with self._lock:
            self.requests.append(seen)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            if self._at_once >= self._gathering:
                self._gathered.set()
            fault = self._due(seen)
        self._gathered.wait(PATIENCE_S)
        return fault

    def _due(self, seen: Seen) -> Fault | None:
        for order in self._orders:
            if order.text not in seen.path.encode() and order.text not in seen.body:
                continue
            if order.skip:
                order.skip -= 1
                return None
            order.times -= 1
            if not order.times:
                self._orders.remove(order)
            return order.fault
        return None

    def end(self) -> None:
        with self._lock:
            self._at_once -= 1

    def secured(self, connection: socket.socket) -> socket.socket:
        if self._context is None:
            return connection
        # The hand-shake is made by the connection's own thread, when it first reads.
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__((HOST, 0), _Handler)
        self.proxy = proxy
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        secured = self.proxy.secured(connection)
        self._open.add(secured)
        return secured, address

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Clients that keep theirs open do not keep the proxy."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has gone in the meantime
                continue

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go when they like: a connection that ends early is what this proxy is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        proxy = self.server.proxy
        seen = Seen(self.command, self.path, dict(self.headers.items()), read_body(self))
        fault = proxy.begin(seen)
        try:
            if callable(fault):
                fault = fault(seen)
            match fault:
                case Say(status, body, headers):
                    self._say(status, body, headers)
                case Cut(at_once=True):
                    self._break(fault.reset)
                case Stall(at_once=True):
                    self._stall()
                case _:
                    self._forward(seen, fault)
        finally:
            proxy.end()

    do_GET = do_PUT = do_DELETE = do_POST

    def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _forward(self, seen: Seen, fault: Cut | Stall | None) -> None:
        connection = http.client.HTTPConnection(*self.server.proxy.target)
        try:
            kept = {name: value for name, value in seen.headers.items() if name.lower() not in _HOPS}
            connection.request(seen.method, seen.path, seen.body, kept)
            answer = connection.getresponse()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOPS:
                    self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self._pass_on(_pieces(answer), fault):
                self.wfile.write(b"0\r\n\r\n")
        except (http.client.HTTPException, ConnectionError):
            self._break(reset=False)
        finally:
            connection.close()

    def _pass_on(self, pieces: Iterator[bytes], fault: Cut | Stall | None) -> bool:
        """Whether the answer came to its end. A fault that is due later than that comes at the end."""
        left = fault.after_bytes if fault is not None else None
        for piece in pieces:
            sent = piece[:left]
            if sent:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent))
            if left is not None:
                left -= len(sent)
                if not left:
                    break
        match fault:
            case None:
                return True
            case Stall():
                self._stall()
            case Cut():
                self._break(fault.reset)
        return False

    def _stall(self) -> None:
        while not self.server.proxy.stopping.wait(0.02):
            self.connection.settimeout(0.02)
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.close_connection = True

    def _break(self, reset: bool) -> None:
        if reset:
            # Nothing lingers, and no end is said before: the system answers with a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: `requests` has them."""


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read1(PIECE_BYTES):
        yield piece
