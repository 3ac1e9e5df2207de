"""ClickHouse's HTTP interface over its engine: `python -m fhub.clickhouse.server FOLDER PORT`.

SQL, types and formats are the engine's (chdb). Here is what the server adds: addresses, users, compression,
the headers of an answer, and a log of the queries in FOLDER/queries.jsonl. A user other than
nobody is named by CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import secrets
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from fhub.clickhouse.server.answer import ENCODINGS, Answer
from fhub.clickhouse.server.body import read_body
from fhub.clickhouse.server.engine import VERSION, Engine, QueryError, Summary
from fhub.clickhouse.server.request import Request, parse_request

# So much of an answer is waited for before its head is sent: errors until then have their status.
BUFFER_BYTES = 1 << 20
# As the server maps its own errors; all others are 500.
STATUS = {
    **dict.fromkeys(
        (6, 26, 27, 36, 38, 41, 43, 44, 53, 62, 69, 70, 72, 117, 130, 131, 164, 321, 386, 456), 400
    ),
    **dict.fromkeys((16, 46, 47, 50, 56, 60, 63, 73, 81, 115), 404),
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    194: 401,
    48: 501,
    159: 408,
    202: 503,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    engine: ClassVar[Engine]
    user: ClassVar[str]
    password: ClassVar[str]
    log_path: ClassVar[Path]
    log_lock: ClassVar[Lock] = Lock()

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        arguments = dict(parse_qsl(address.query, keep_blank_values=True))
        self._query_id = arguments.get("query_id") or str(uuid.uuid4())
        if address.path == "/ping" or (self.command == "GET" and "query" not in arguments):
            read_body(self)
            return self._say(200, "Ok.\n")
        try:
            body, files = self._decoded_body(arguments)
            self._authenticate(arguments)
            default_format = arguments.get("default_format") or self.headers.get("X-ClickHouse-Format")
            arguments.setdefault("database", self.headers.get("X-ClickHouse-Database", ""))
            request = parse_request(
                arguments,
                body,
                files,
                default_format=default_format or "TabSeparated",
                query_id=self._query_id,
                read_only=self.command == "GET",
            )
        except QueryError as error:
            return self._refuse(error)
        self._run(request)
        return None

    def _run(self, request: Request) -> None:
        summary = Summary()
        started = time.monotonic()
        pieces = self.engine.run(request, summary)
        failure: QueryError | None = None
        tag = secrets.token_hex(8)
        try:
            first = _beginning(pieces, sys.maxsize if request.wait_end else BUFFER_BYTES)
            answer = self._begin_answer(request, summary, tag)
            answer.write(first)
            try:
                for piece in pieces:
                    answer.write(piece)
            except QueryError as error:
                # The status is sent: the error stands at the end of a stream that is cut.
                failure = error
                self._log(request, summary, started, failure)
                text = f"{error}\n".encode()
                answer.write(b"\r\n__exception__\r\n%s\r\n%s" % (tag.encode(), text))
                answer.write(b"%d %s\r\n__exception__\r\n" % (len(text), tag.encode()))
                self.close_connection = True
                return
            self._log(request, summary, started, None)
            answer.close()
        except QueryError as error:
            self._log(request, summary, started, error)
            self._refuse(error)
        except (BrokenPipeError, ConnectionResetError):
            self._log(request, summary, started, None)
            self.close_connection = True
        finally:
            pieces.close()

    def _begin_answer(self, request: Request, summary: Summary, tag: str) -> Answer:
        self.send_response(200)
        self.send_header("X-ClickHouse-Format", request.format)
        self.send_header("X-ClickHouse-Exception-Tag", tag)
        self._send_common()
        if request.setting("send_progress_in_http_headers"):
            for told in summary.progress:
                self.send_header(
                    "X-ClickHouse-Progress", json.dumps({name: str(n) for name, n in told.items()})
                )
        counts = {name: str(n) for name, n in asdict(summary).items() if name != "progress"}
        self.send_header("X-ClickHouse-Summary", json.dumps(counts))
        encoding = None
        if request.setting("enable_http_compression"):
            accepted = self.headers.get("Accept-Encoding", "")
            encoding = next((name for name in ENCODINGS if name in accepted), None)
        if encoding is not None:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return Answer(self.wfile, encoding)

    def _authenticate(self, arguments: dict[str, str]) -> None:
        user, password = "default", ""
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            try:
                user, _, password = base64.b64decode(credentials).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise QueryError("Code: 516. DB::Exception: Invalid authentication header.") from error
        elif "X-ClickHouse-User" in self.headers:
            user, password = self.headers["X-ClickHouse-User"], self.headers.get("X-ClickHouse-Key", "")
        elif "user" in arguments:
            user, password = arguments["user"], arguments.get("password", "")
        if (user, password) != (self.user, self.password):
            raise QueryError(
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or "
                "there is no user with such name. (AUTHENTICATION_FAILED)"
            )

    def _decoded_body(self, arguments: dict[str, str]) -> tuple[bytes, dict[str, bytes]]:
        """The body without its encodings; a form's fields go to the arguments, its files stand beside."""
        body = read_body(self)
        encoding = self.headers.get("Content-Encoding", "")
        if arguments.get("decompress") == "1" or arguments.get("compress") == "1":
            raise QueryError("Code: 48. DB::Exception: Blocks compressed by ClickHouse. (NOT_IMPLEMENTED)")
        if encoding in ENCODINGS:
            with pa.CompressedInputStream(pa.BufferReader(body), encoding) as stream:
                body = stream.read()
        elif encoding:
            raise QueryError(
                f"Code: 48. DB::Exception: Unknown compression method {encoding}. (NOT_IMPLEMENTED)"
            )
        kind, options = parse_options_header(self.headers.get("Content-Type"))
        if kind != "multipart/form-data":
            return body, {}
        parser = MultiPartParser(max_form_memory_size=None)
        fields, files = parser.parse(io.BytesIO(body), options["boundary"].encode(), len(body))
        arguments.update(fields.items())
        return b"", {name: file.read() for name, file in files.items()}

    def _refuse(self, error: QueryError) -> None:
        self._say(STATUS.get(error.code, 500), f"{error}\n", error.code)

    def _say(self, status: int, text: str, exception_code: int | None = None) -> None:
        self.send_response(status)
        self._send_common()
        if exception_code is not None:
            self.send_header("X-ClickHouse-Exception-Code", str(exception_code))
        data = text.encode()
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send_common(self) -> None:
        self.send_header("X-ClickHouse-Query-Id", self._query_id)
        self.send_header("X-ClickHouse-Server-Display-Name", "heddle")
        self.send_header("X-ClickHouse-Timezone", os.environ["TZ"])

    def _log(self, request: Request, summary: Summary, started: float, failure: QueryError | None) -> None:
        record = {
            "query_id": request.query_id,
            "sql": request.sql,
            "format": request.format,
            "database": request.database,
            "parameters": request.parameters,
            "settings": request.settings,
            "external": {table.name: table.data.decode(errors="replace") for table in request.external},
            "inserted_bytes": len(request.inserted or b""),
            "read_rows": summary.read_rows,
            "written_rows": summary.written_rows,
            "result_rows": summary.result_rows,
            "exception_code": failure.code if failure else 0,
            "elapsed_s": round(time.monotonic() - started, 6),
        }
        with self.log_lock, self.log_path.open("a") as log:
            log.write(json.dumps(record) + "\n")


def _beginning(pieces: Iterator[bytes], size_bytes: int) -> bytes:
    begun = bytearray()
    while len(begun) < size_bytes and (piece := next(pieces, None)) is not None:
        begun += piece
    return bytes(begun)


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    os.environ["TZ"] = "UTC"
    time.tzset()
    Handler.engine = Engine(folder / "data")
    Handler.user = os.environ.get("CLICKHOUSE_USER", "default")
    Handler.password = os.environ.get("CLICKHOUSE_PASSWORD", "")
    Handler.log_path = folder / "queries.jsonl"
    Handler.server_version = f"ClickHouse/{VERSION}"
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
