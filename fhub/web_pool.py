"""urllib3's connections, which can be shut by the call that waits for them."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from fhub.calls import Request

CURRENT = threading.local()
"""`request` is what the thread has under way."""


class _Plain(HTTPConnection):
    """`used` is its socket, which a connection for one answer forgets while that is still read."""

    used: socket.socket | None = None

    def request(self, *arguments: Any, **named: Any) -> None:
        _begun(self)
        super().request(*arguments, **named)
        self.used = self.sock

    def shut(self) -> None:
        _shut(self.sock or self.used)


class _Secure(HTTPSConnection):
    used: socket.socket | None = None

    def request(self, *arguments: Any, **named: Any) -> None:
        _begun(self)
        super().request(*arguments, **named)
        self.used = self.sock

    def shut(self) -> None:
        _shut(self.sock or self.used)


def _begun(connection: _Plain | _Secure) -> None:
    request: Request = CURRENT.request
    request.connection = connection


def _shut(used: socket.socket | None) -> None:
    with suppress(OSError):  # it has gone in the meantime
        if used is not None:
            used.shutdown(socket.SHUT_RDWR)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


def open_pool(
    scheme: str, host: str, port: int | None, size: int, authority: str | None
) -> HTTPConnectionPool:
    """`authority`: a PEM file with what vouches for the server's certificate; without it, the system's."""
    if scheme == "http":
        return _PlainPool(host, port, maxsize=size, retries=False)
    context = ssl.create_default_context(cafile=authority)
    return _SecurePool(host, port, maxsize=size, retries=False, ssl_context=context)
