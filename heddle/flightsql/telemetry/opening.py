"""What a server has of spans and metrics, as its settings and the environment say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heddle.core.record import record
from heddle.errors import UsageError
from heddle.flightsql.requests import Requests
from heddle.serve_settings import TelemetrySettings

if TYPE_CHECKING:
    from heddle.config import SecretSettings
    from heddle.database.database import Database
    from heddle.flightsql.access_log import AccessLog
    from heddle.flightsql.security import Security
    from heddle.flightsql.service import Service
    from heddle.flightsql.telemetry.metrics import Metrics
    from heddle.flightsql.telemetry.tracing import Tracing
    from heddle.serve_settings import MetricsAddress

CURE: Final = "pip install 'heddle[telemetry]'"
NEEDED: Final = frozenset({"opentelemetry", "prometheus_client", "requests", "google"})
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@record(frozen=True, slots=True)
class Telemetry:
    """What of it a server has; `url` is where its metrics are."""

    tracing: Tracing | None = None
    metrics: Metrics | None = None
    url: str | None = None

    def counted(self, security: Security) -> Security:
        """The same, with what happens counted."""
        if self.metrics is None:
            return security
        from heddle.flightsql.telemetry.metrics import CountedAudit

        return replace(security, audit=CountedAudit(security.audit, self.metrics))

    def watch(self, database: Database, security: Security, service: Service) -> None:
        if self.metrics is not None:
            self.metrics.watch(database, security, service, self.tracing)

    def requests(self, access_log: AccessLog | None) -> Requests | None:
        """None where nobody wants to be told of requests."""
        noted = [access_log.note] if access_log is not None else []
        if self.metrics is not None:
            noted.append(self.metrics.request)
        return Requests(noted, self.tracing) if noted or self.tracing is not None else None


def open_telemetry(
    settings: TelemetrySettings | None,
    metrics: MetricsAddress | None,
    environ: Mapping[str, str],
    secrets: Callable[[], SecretSettings],
    database: Database,
    notify: Callable[[str], None],
    opened: ExitStack,
) -> Telemetry:
    """It ends with `opened`. Raises `UsageError`."""
    tracing = _tracing(settings, environ, secrets, database, notify)
    if tracing is not None:
        opened.enter_context(tracing)
    if metrics is None:
        return Telemetry(tracing)
    try:
        from heddle.flightsql.telemetry.metrics import Metrics
        from heddle.flightsql.telemetry.metrics_page import MetricsPage
    except ModuleNotFoundError as error:
        raise _missing(error, "metrics need more than is installed") from error
    counted = Metrics()
    page = opened.enter_context(MetricsPage(metrics, counted.registry))
    return Telemetry(tracing, counted, page.url)


def _tracing(
    settings: TelemetrySettings | None,
    environ: Mapping[str, str],
    secrets: Callable[[], SecretSettings],
    database: Database,
    notify: Callable[[str], None],
) -> Tracing | None:
    if not _wants_spans(settings, environ, notify):
        return None
    from heddle.serve_secrets import HeaderSecrets

    wanted = settings or TelemetrySettings()
    known = HeaderSecrets(environ)
    headers = known.values(wanted.headers, secrets()) if wanted.headers else {}
    catalog, mask = database.catalog, database.mask
    try:
        from heddle.flightsql.telemetry.tracing import Tracing

        return Tracing(wanted, headers, environ, catalog, mask, lambda line: notify(known.mask(line)))
    except ModuleNotFoundError as error:
        missing = _missing(error, "spans need more than is installed")
        if settings is not None:
            raise missing from error
        # The environment's variables are for every program of the machine.
        notify(f"the environment names a collector of spans, but there are none without more: {CURE}")
        return None


def _missing(error: ModuleNotFoundError, message: str) -> UsageError:
    if (error.name or "").partition(".")[0] not in NEEDED:
        raise error
    return UsageError(message, help=CURE)


def _wants_spans(
    settings: TelemetrySettings | None, environ: Mapping[str, str], notify: Callable[[str], None]
) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    ways = {way.strip() for way in environ.get("OTEL_TRACES_EXPORTER", "").split(",") if way.strip()}
    if ways and "otlp" not in ways:
        if ways != {"none"}:
            notify(f"there are no spans: OTEL_TRACES_EXPORTER is {', '.join(sorted(ways))}, and not otlp")
        return False
    return settings is not None or bool(ways) or any(environ.get(name) for name in ENDPOINTS)
