"""A small web service, in threads of its opener's process: users, orders in pages, and what it was asked."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

ORDERS = [{"id": n, "total": n * 1.5, "at": "2026-01-02T03:04:05Z"} for n in range(7)]
PAGE = 3
PASSWORD = "hush: it is a password"
BASIC = "Basic " + b64encode(f"ada:{PASSWORD}".encode()).decode()
TOKEN = "token-that-nobody-may-see"


@dataclass(frozen=True, slots=True)
class Seen:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any

    @property
    def parts(self) -> list[str]:
        return [unquote(part) for part in self.path.split("/")]


class Shop:
    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.shop = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/api"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers."""
        page = int(seen.query.get("page", ["0"])[0])
        rows = ORDERS[page * PAGE : page * PAGE + PAGE]
        following = page + 1 if (page + 1) * PAGE < len(ORDERS) else None
        link = {"Link": f'<{self.url}/linked?page={following}>; rel="next"'} if following else {}
        match seen.parts[2:]:
            case ["users", name]:
                known = {"data": {"name": name, "length": len(name), "tags": [name]}}
                return (200, known, {}) if name != "nobody" else (404, {"error": "no such user"}, {})
            case ["score"] if isinstance(seen.body, list):
                return 200, [{"score": len(str(row["name"]))} for row in seen.body], {}
            case ["score"]:
                return 200, {"score": len(str(seen.body["name"]))}, {}
            case ["linked"]:
                return 200, rows, link
            case ["paged"]:
                return 200, {"data": {"items": rows}, "next": following}, {}
            case ["elsewhere"]:
                return 200, rows, {"Link": "<http://127.0.0.1:9/api/linked>; rel=next"}
            case ["round"]:
                return 200, rows, {"Link": f'<{self.url}/round>; rel="next"'}
            case ["private"]:
                allowed = seen.headers.get("Authorization") in (BASIC, f"Bearer {TOKEN}")
                said = {"you sent": seen.headers.get("Authorization")}
                return (200, {"ok": True}, {}) if allowed else (401, said, {})
            case ["wrong"]:
                return 200, {"score": "many"}, {}
            case ["echoed"]:
                return 418, {"you sent": seen.headers.get("Authorization")}, {}
            case ["moved"]:
                return 302, None, {"Location": "http://127.0.0.1:9/"}
            case _:
                return 200, {"path": seen.path}, {}


class _Server(ThreadingHTTPServer):
    shop: Shop


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", "0"))
        body = json.loads(self.rfile.read(length)) if length else None
        seen = Seen(self.command, address.path, parse_qs(address.query), dict(self.headers.items()), body)
        self.server.shop.requests.append(seen)
        status, answer, headers = self.server.shop.answer(seen)
        text = b"" if answer is None or self.command == "HEAD" else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: `requests` has them."""
