"""A schema registry that speaks Confluent's protocol over HTTP, since none can be installed here: subjects
with versions, schemas by id, references, errors with their codes, a password.

Protobuf's schemas are registered as descriptors, as Confluent's own clients do; a real registry also compiles
their text.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class RegistryServer:
    """`fail_next` answers are that status instead; `requests` are the methods and paths that came."""

    def __init__(self, password: str | None = None) -> None:
        self.password = password
        self.requests: list[str] = []
        self.fail_next: list[int] = []
        self._lock = threading.Lock()
        self._schemas: list[dict[str, Any]] = []
        self._subjects: dict[str, list[int]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> RegistryServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def register(
        self,
        subject: str,
        schema: str,
        kind: str = "AVRO",
        references: list[dict[str, Any]] | None = None,
    ) -> int:
        entry = {"schema": schema, "schemaType": kind, "references": references or []}
        with self._lock:
            if entry not in self._schemas:
                self._schemas.append(entry)
            id = self._schemas.index(entry) + 1
            versions = self._subjects.setdefault(subject, [])
            if id not in versions:
                versions.append(id)
            return id

    def answer(self, method: str, path: str, body: bytes, authorization: str | None) -> tuple[int, Any]:
        self.requests.append(f"{method} {path}")
        if self.fail_next:
            return self.fail_next.pop(0), {"error_code": 50001, "message": "Error in the backend datastore"}
        if self.password is not None:
            wanted = base64.b64encode(f"heddle:{self.password}".encode()).decode()
            if authorization != f"Basic {wanted}":
                return 401, {"error_code": 401, "message": "Unauthorized"}
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        match method, parts:
            case "POST", ["subjects", subject, "versions"]:
                given = json.loads(body)
                id = self.register(subject, given["schema"], given["schemaType"], given.get("references"))
                return 200, {"id": id}
            case "GET", ["subjects", subject, "versions", version]:
                ids = self._subjects.get(subject)
                if ids is None:
                    return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
                number = len(ids) if version == "latest" else int(version)
                if not 0 < number <= len(ids):
                    return 404, {"error_code": 40402, "message": f"Version {version} not found."}
                id = ids[number - 1]
                return 200, {"subject": subject, "version": number, "id": id, **self._schema(id)}
            case "GET", ["schemas", "ids", id]:
                if not 0 < int(id) <= len(self._schemas):
                    return 404, {"error_code": 40403, "message": "Schema not found"}
                return 200, self._schema(int(id))
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _schema(self, id: int) -> dict[str, Any]:
        found = dict(self._schemas[id - 1])
        if found["schemaType"] == "AVRO":
            del found["schemaType"]  # as a registry leaves it out
        return found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._respond("GET")

            def do_POST(self) -> None:
                self._respond("POST")

            def log_message(self, format: str, *args: object) -> None:
                pass

            def _respond(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = registry.answer(method, self.path, body, self.headers.get("Authorization"))
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler
