"""A collector of spans: takes them by OTLP over HTTP or gRPC, and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from heddle.core.record import record
from tests.waiting import until

HTTP_OK = 200


class Collector:
    """`spans` are those that came, `resources` who sent them, `headers` what came with the last request."""

    def __init__(self) -> None:
        self.url = ""
        self.status = HTTP_OK
        self.headers: dict[str, str] = {}
        self.resources: list[dict[str, object]] = []
        self._spans: list[Span] = []
        self._lock = threading.Lock()

    def take(self, sent: bytes, headers: dict[str, str]) -> None:
        request = ExportTraceServiceRequest.FromString(sent)
        with self._lock:
            self.headers = headers
            for group in request.resource_spans:
                self.resources.append(values(group.resource.attributes))
                for scope in group.scope_spans:
                    self._spans += scope.spans

    @property
    def spans(self) -> list[Span]:
        with self._lock:
            return list(self._spans)

    def clear(self) -> None:
        with self._lock:
            self._spans.clear()

    def wait_for(self, wanted: Callable[[Span], bool], what: str) -> Span:
        """The first one of them."""
        until(lambda: any(map(wanted, self.spans)), f"there is no span {what}")
        return next(span for span in self.spans if wanted(span))

    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def below(self, parent: Span) -> dict[str, Span]:
        return {span.name: span for span in self.spans if span.parent_span_id == parent.span_id}


def values(attributes: Any) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def http_collector() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces" and collector.status == HTTP_OK:
                collector.take(sent, {key.lower(): value for key, value in self.headers.items()})
            echoed = self.headers.get("authorization", "no").rpartition(" ")[2]
            self.send_response(collector.status, f"{echoed} is not right")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_port}"
        yield collector
        server.shutdown()
        thread.join()


@contextmanager
def grpc_collector() -> Iterator[Collector]:
    collector = Collector()

    class Servicer(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:
            collector.take(request.SerializeToString(), dict(context.invocation_metadata()))
            return ExportTraceServiceResponse()

    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        add_TraceServiceServicer_to_server(Servicer(), server)
        collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield collector
        server.stop(0).wait()


@record(frozen=True, slots=True)
class Parent:
    """A client's span; `sampled` is whether it wants spans below it."""

    trace: str
    span: str
    sampled: bool = True

    @property
    def header(self) -> tuple[str, str]:
        return "traceparent", f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"
