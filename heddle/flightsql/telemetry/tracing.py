"""The spans of one server: what makes them, and their way out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Self, TypeAlias
from uuid import uuid4

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from heddle import __version__
from heddle.errors import UsageError
from heddle.flightsql.peers import peer_of
from heddle.flightsql.telemetry.exporting import LIBRARY, Exporter, Said, span_exporter
from heddle.flightsql.telemetry.spans import Maker, RequestTrace

if TYPE_CHECKING:
    from heddle.flightsql.security import Headers
    from heddle.serve_settings import TelemetrySettings

SERVICE: Final = "arrow.flight.protocol.FlightService"
FLUSH_S: Final = 3.0
"""How long the end of a server waits until what is left is sent."""
FLUSH_FAILED_S: Final = 0.5
"""The same where the collector has not taken what was sent last."""
GIVEN_UP_S: Final = 1.0
"""How long it waits until nothing is sent any more."""
INSTANCE_ID: Final = "service.instance.id"
UNNAMED: Final = "unknown_service"
"""What OpenTelemetry calls a service that nobody has named."""

Text: TypeAlias = Callable[[str], str | None]


class Tracing:
    """A context manager: leaving sends what is left, if that goes quickly. Thread-safe."""

    def __init__(
        self,
        settings: TelemetrySettings,
        headers: Mapping[str, str],
        environ: Mapping[str, str],
        catalog: str,
        mask: Callable[[str], str],
        notify: Callable[[str], None],
    ) -> None:
        """`mask` takes secrets out of statements. Raises `UsageError` for settings that cannot be used."""
        self._said = Said()
        logging.getLogger(LIBRARY).addHandler(self._said)
        try:
            with self._said.heard() as lines:
                sender, where = span_exporter(settings, headers, environ)
                self._exporter = Exporter(sender, where, self._said, notify)
                self._provider = _provider(settings)
                self._made = _Made()
                self._provider.add_span_processor(self._made)
                self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        except (ValueError, RuntimeError) as error:
            self._unlisten()
            raise UsageError(f"OpenTelemetry cannot be set up: {error}") from error
        except (UsageError, ModuleNotFoundError):
            self._unlisten()
            raise
        for line in lines:
            notify(f"OpenTelemetry: {line}")
        text: Text = mask if settings.statements else lambda text: None
        self._maker = Maker(self._provider.get_tracer("heddle", __version__), catalog, text)
        self._propagator = TraceContextTextMapPropagator()

    def request(self, method: str, headers: Headers, peer: str) -> RequestTrace | None:
        """The span of a request that begins; None where it is not sampled."""
        attributes: dict[str, str | int] = {"rpc.system.name": "grpc", "rpc.method": f"{SERVICE}/{method}"}
        if (client := peer_of(peer)) is not None:
            attributes |= {"client.address": str(client[0]), "client.port": client[1]}
        span = self._maker.tracer.start_span(
            f"{SERVICE}/{method}",
            self._propagator.extract(headers),
            SpanKind.SERVER,
            attributes=attributes,
        )
        return RequestTrace(self._maker, span) if span.is_recording() else None

    @property
    def made(self) -> int:
        """Those that were neither sent nor lost wait, or found no room to wait in."""
        return self._made.count

    @property
    def sent(self) -> int:
        return self._exporter.sent

    @property
    def lost(self) -> int:
        """Those that a collector did not take."""
        return self._exporter.lost

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """A collector that does not answer is not waited for."""
        ending = threading.Thread(target=self._provider.shutdown, name="telemetry-end", daemon=True)
        ending.start()
        ending.join(FLUSH_S if self._exporter.works else FLUSH_FAILED_S)
        if ending.is_alive():
            self._exporter.give_up()
            ending.join(GIVEN_UP_S)
        if not ending.is_alive():
            self._unlisten()

    def _unlisten(self) -> None:
        logging.getLogger(LIBRARY).removeHandler(self._said)


class _Made(SpanProcessor):
    """Counts the spans that are to be sent."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            with self._lock:
                self.count += 1


def _provider(settings: TelemetrySettings) -> TracerProvider:
    sampler = ParentBased(TraceIdRatioBased(settings.sample)) if settings.sample is not None else None
    return TracerProvider(sampler=sampler, resource=_resource(settings.service), shutdown_on_exit=False)


def _resource(service: str | None) -> Resource:
    """Who sends: as the settings say, then the environment."""
    own = Resource({SERVICE_NAME: "heddle", SERVICE_VERSION: __version__, INSTANCE_ID: str(uuid4())})
    given = Resource.create({SERVICE_NAME: service} if service is not None else {})
    if str(given.attributes.get(SERVICE_NAME, "")).startswith(UNNAMED):
        named = {key: value for key, value in given.attributes.items() if key != SERVICE_NAME}
        given = Resource(named)
    return own.merge(given)
