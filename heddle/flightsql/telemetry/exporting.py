"""Sending spans to a collector by OTLP: what fails is told once, and nothing waits for it.

OpenTelemetry's own exporters do the sending, and the retrying within a batch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from heddle.errors import UsageError
from heddle.serve_settings import SPAN_PROTOCOLS, TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

LIBRARY: Final = "opentelemetry"
REASON_CHARS_MAX: Final = 160
PATH: Final = "/v1/traces"
DEFAULT_ENDPOINTS: Final = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}


class Said(logging.Handler):
    """What OpenTelemetry logs in this thread, while somebody listens. Without a handler Python would write it
    to stderr, with tracebacks, as often as it comes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._listening = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        lines: list[str] | None = getattr(self._listening, "lines", None)
        if lines is not None:
            text = " ".join(record.getMessage().split())
            lines.append(text if len(text) < REASON_CHARS_MAX else text[:REASON_CHARS_MAX] + "…")

    @contextmanager
    def heard(self) -> Iterator[list[str]]:
        lines: list[str] = []
        self._listening.lines = lines
        try:
            yield lines
        finally:
            self._listening.lines = None


class Exporter(SpanExporter):
    """Another exporter, watched: `notify` is told once of what it fails of."""

    def __init__(self, exporter: SpanExporter, where: str, said: Said, notify: Callable[[str], None]) -> None:
        self.sent = 0
        self.lost = 0
        self.works = True
        """Whether the last spans that were sent were taken."""
        self._exporter = exporter
        self._where = where
        self._said = said
        self._notify = notify
        self._lock = threading.Lock()
        self._told = False
        self._given_up = False
        self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._given_up:
            self.lost += len(spans)
            return SpanExportResult.FAILURE
        with self._said.heard() as lines:
            result = self._exporter.export(spans)
        self.works = result is SpanExportResult.SUCCESS
        if self.works:
            self.sent += len(spans)
        else:
            self.lost += len(spans)
            self._tell(f" ({lines[0]})" if lines else "")
        return result

    def give_up(self) -> None:
        """Send nothing more; a request that is under way has its own time limit."""
        self._given_up = True
        self._tell("")
        self.shutdown()

    def shutdown(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """There is no buffer."""
        return True

    def _tell(self, why: str) -> None:
        with self._lock:
            if self._told:
                return
            self._told = True
        self._notify(f"{self._where} does not take spans, which are lost for as long as that lasts{why}")


def span_exporter(
    settings: TelemetrySettings, headers: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[SpanExporter, str]:
    """What sends, and where to in words. Raises `UsageError`."""
    protocol = settings.protocol or _variable(environ, "PROTOCOL") or SPAN_PROTOCOLS[0]
    if protocol not in SPAN_PROTOCOLS:
        raise UsageError(
            f"the environment's OTEL_EXPORTER_OTLP_PROTOCOL is `{protocol}`, which cannot be used",
            help="it is " + " or ".join(SPAN_PROTOCOLS),
        )
    endpoint = settings.endpoint
    shown = endpoint or _variable(environ, "ENDPOINT") or DEFAULT_ENDPOINTS[protocol]
    given = dict(headers) or None
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.exporter import InvalidCompressionValueException
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as ByGrpc

        try:
            return ByGrpc(endpoint, headers=given), _shown(shown)
        except InvalidCompressionValueException as error:
            raise UsageError("the environment's OTEL_EXPORTER_OTLP_COMPRESSION is not known") from error
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as ByHttp

    if endpoint is not None and not endpoint.endswith(PATH):
        endpoint = endpoint.rstrip("/") + PATH
    return ByHttp(endpoint, headers=given), _shown(shown)


def _variable(environ: Mapping[str, str], name: str) -> str:
    """That for traces goes before that for everything."""
    return environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")


def _shown(endpoint: str) -> str:
    """Without a user and a password."""
    url = urlsplit(endpoint)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}" if url.netloc else endpoint
