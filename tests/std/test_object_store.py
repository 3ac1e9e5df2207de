"""Readers over an object store: a small server that speaks enough of S3 on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafusion import SessionContext

from heddle.std.readers import ReaderError, describe, register

BUCKET = "shop"


class S3Handler(BaseHTTPRequestHandler):
    """`GET` and `HEAD` of objects with ranges, and the listing of a bucket."""

    objects: dict[str, bytes]
    signed: list[bool]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.signed.append("AWS4-HMAC-SHA256" in self.headers.get("Authorization", ""))
        address = urlsplit(self.path)
        bucket, _, key = unquote(address.path).lstrip("/").partition("/")
        if bucket != BUCKET:
            return self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        if not key:
            return self._answer(200, self._listing(parse_qs(address.query).get("prefix", [""])[0]))
        if key not in self.objects:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        data = self.objects[key]
        asked = self.headers.get("Range")
        if asked is None:
            return self._answer(200, data)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start = int(first) if first else len(data) - int(last)
        end = min(int(last), len(data) - 1) if first and last else len(data) - 1
        self._answer(206, data[start : end + 1], f"bytes {start}-{end}/{len(data)}")

    def _listing(self, prefix: str) -> bytes:
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>x</ETag>"
            "<LastModified>2024-05-01T00:00:00.000Z</LastModified></Contents>"
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()

    def _answer(self, status: int, body: bytes, content_range: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Wed, 01 May 2024 00:00:00 GMT")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[S3Handler]]:
    class Handler(S3Handler):
        objects = {  # noqa: RUF012 - the fixture's own
            "a.csv": b"id,name\n1,ada\n",
            "b c.csv": b"id,name\n2,grace\n",
            "sales/1.parquet": parquet(pa.table({"id": [1, 2], "v": [0.5, 1.5]})),
            "sales/2.parquet": parquet(pa.table({"id": [3], "v": [2.5]})),
            "hive/day=2024-05-01/x.parquet": parquet(pa.table({"v": [1]})),
            "broken.parquet": b"nothing",
        }
        signed: list[bool] = []  # noqa: RUF012 - the fixture's own

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    try:
        yield Handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read(step: str, path: str, **config: object) -> pa.Table:
    settings = {"path": path, **config}
    context = SessionContext()
    register(context, "t", step, settings, Path())  # type: ignore[arg-type]
    return context.table("t").to_arrow_table()


def test_objects_are_read_like_files(store: type[S3Handler]) -> None:
    assert describe("csv", {"path": f"s3://{BUCKET}/a.csv"}, Path()).names == ["id", "name"]
    assert read("csv", f"s3://{BUCKET}/a.csv").to_pylist() == [{"id": 1, "name": "ada"}]
    assert read("csv", f"s3://{BUCKET}/b c.csv").to_pylist() == [{"id": 2, "name": "grace"}]
    assert sorted(read("parquet", f"s3://{BUCKET}/sales/")["id"].to_pylist()) == [1, 2, 3]
    assert read("parquet", f"s3://{BUCKET}/hive/", partitions={"day": "string"}).to_pylist() == [
        {"v": 1, "day": "2024-05-01"}
    ]
    assert store.signed
    assert all(store.signed)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("s3://shop/nope.parquet", "there is no such object, or nothing below that address"),
        ("s3://other/a.parquet", "the object store did not answer as expected"),
        ("s3://shop/broken.parquet", "this is not a whole Parquet file"),
    ],
)
def test_what_goes_wrong_is_said(store: type[S3Handler], path: str, message: str) -> None:
    with pytest.raises(ReaderError) as caught:
        read("parquet", path)
    assert caught.value.message.startswith(f"cannot read `{path}`: ")
    assert message in caught.value.message
    assert "hush" not in str(caught.value)
