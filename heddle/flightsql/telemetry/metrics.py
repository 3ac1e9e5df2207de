"""The metrics of one server. A further one is an entry of `ASKED`, or a counter of `Metrics`.

What happens is counted when it happens (`request`, `event`); what there is is asked for when somebody looks.
Labels have few values: no names of users or tables, and no statements. Names of materialized outputs are
those that settings and programs name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from heddle import __version__
from heddle.core.record import record
from heddle.flightsql.access_log import Access
from heddle.flightsql.security import RefusedKind

if TYPE_CHECKING:
    from heddle.database.admission import Load
    from heddle.database.database import Database
    from heddle.database.materialized import Refreshed
    from heddle.database.registry import CachedPart
    from heddle.flightsql.security import Audit, AuditEvent, Security
    from heddle.flightsql.service import Held, Service
    from heddle.flightsql.telemetry.tracing import Tracing
    from heddle.physical.result_cache import ResultCache

STATEMENTS: Final = frozenset({"query", "update", "ingest"})
"""The kinds of events that are statements."""
REASONS: Final[tuple[RefusedKind, ...]] = get_args(RefusedKind)
BUCKETS_S: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)

Kind: TypeAlias = Literal["gauge", "counter"]
Values: TypeAlias = Iterable[tuple[tuple[str, ...], float]]
"""Each with the values of its labels."""


@record(frozen=True, slots=True)
class Looked:
    """What a server has at one moment."""

    serving: bool
    running: int
    load: Load
    held: Held
    outputs: Iterable[Refreshed]
    cache: ResultCache | None
    cached: Mapping[CachedPart, int]
    spans: Tracing | None


@record(frozen=True, slots=True)
class Asked:
    """A metric that is asked for. Of a counter the name goes without `_total`."""

    kind: Kind
    name: str
    help: str
    values: Callable[[Looked], Values]
    labels: tuple[str, ...] = ()

    def family(self, looked: Looked) -> Metric:
        make = GaugeMetricFamily if self.kind == "gauge" else CounterMetricFamily
        family = make(self.name, self.help, labels=self.labels)
        for labels, value in self.values(looked):
            family.add_metric(labels, value)
        return family


def _one(value: Callable[[Looked], float]) -> Callable[[Looked], Values]:
    return lambda looked: (((), value(looked)),)


def _outputs(value: Callable[[Refreshed], float | None]) -> Callable[[Looked], Values]:
    def values(looked: Looked) -> Values:
        found = [((output.name,), value(output)) for output in looked.outputs]
        return [(labels, number) for labels, number in found if number is not None]

    return values


def _refreshes(looked: Looked) -> Values:
    for output in looked.outputs:
        yield (output.name, "ok"), output.succeeded
        yield (output.name, "failed"), output.failed


def _cache(value: Callable[[ResultCache], float]) -> Callable[[Looked], Values]:
    return lambda looked: () if looked.cache is None else (((), value(looked.cache)),)


def _cached(looked: Looked) -> Values:
    if looked.cache is not None:
        for part, count in looked.cached.items():
            yield (part,), count


def _made(looked: Looked) -> Values:
    return () if looked.spans is None else (((), looked.spans.made),)


def _spans(looked: Looked) -> Values:
    if looked.spans is not None:
        yield ("sent",), looked.spans.sent
        yield ("lost",), looked.spans.lost


ASKED: Final = (
    Asked(
        "gauge",
        "heddle_info",
        "1, with the server's version.",
        lambda looked: (((__version__,), 1),),
        ("version",),
    ),
    Asked(
        "gauge",
        "heddle_serving",
        "1 while statements are taken, 0 while the server ends.",
        _one(lambda looked: looked.serving),
    ),
    Asked("gauge", "heddle_statements_running", "Statements that run.", _one(lambda looked: looked.running)),
    Asked(
        "gauge",
        "heddle_statements_admitted",
        "Statements that hold one of the places for those that run at a time.",
        _one(lambda looked: looked.load.admitted),
    ),
    Asked(
        "gauge",
        "heddle_statements_waiting",
        "Statements that wait for a place.",
        _one(lambda looked: looked.load.waiting),
    ),
    Asked(
        "gauge",
        "heddle_sessions",
        "Sessions, which begin when a client sets an option.",
        _one(lambda looked: looked.held.sessions),
    ),
    Asked(
        "gauge",
        "heddle_prepared_statements",
        "Prepared statements that are open.",
        _one(lambda looked: looked.held.prepared),
    ),
    Asked(
        "gauge",
        "heddle_executions",
        "Executions whose tickets can be redeemed.",
        _one(lambda looked: looked.held.executions),
    ),
    Asked(
        "gauge",
        "heddle_executions_held_bytes",
        "Bytes of rows that executions hold for clients.",
        _one(lambda looked: looked.held.size_bytes),
    ),
    Asked(
        "counter",
        "heddle_refreshes",
        "Refreshes of a materialized output that have ended.",
        _refreshes,
        ("output", "outcome"),
    ),
    Asked(
        "gauge",
        "heddle_refresh_timestamp_seconds",
        "When the rows of a materialized output were computed, in seconds since 1970.",
        _outputs(lambda output: output.refreshed_at),
        ("output",),
    ),
    Asked(
        "gauge",
        "heddle_refresh_duration_seconds",
        "How long the refresh took that gave the rows of a materialized output.",
        _outputs(lambda output: output.duration_s),
        ("output",),
    ),
    Asked(
        "gauge",
        "heddle_materialized_rows",
        "Rows of a materialized output.",
        _outputs(lambda output: output.rows),
        ("output",),
    ),
    Asked(
        "gauge",
        "heddle_result_cache_entries",
        "Results that the result cache holds.",
        _cache(len),
    ),
    Asked(
        "gauge",
        "heddle_result_cache_bytes",
        "Bytes of the results that the result cache holds.",
        _cache(lambda cache: cache.size_bytes),
    ),
    Asked(
        "counter",
        "heddle_result_cache_statements",
        "Queries that took their answer, or results of steps below it, from the result cache.",
        _cached,
        ("part",),
    ),
    Asked(
        "counter",
        "heddle_spans_made",
        "Spans that are to be sent, also those for which there is no room while they wait.",
        _made,
    ),
    Asked(
        "counter",
        "heddle_spans",
        "Spans that were sent, and those that the collector did not take.",
        _spans,
        ("outcome",),
    ),
)


class Metrics:
    """`registry` has all. `watch` says what to ask; until then nothing is asked. Thread-safe."""

    def __init__(self) -> None:
        self.registry = registry = _Registry()
        self._requests = Counter(
            "heddle_requests", "Requests that have ended.", ("method", "code"), registry=registry
        )
        self._request_seconds = Histogram(
            "heddle_request_duration_seconds",
            "How long requests took; one that streams rows takes as long as its client.",
            ("method",),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._sent = Counter("heddle_sent_bytes", "Bytes of rows that were sent.", registry=registry)
        self._received = Counter("heddle_received_bytes", "Bytes that clients put.", registry=registry)
        self._statements = Counter(
            "heddle_statements",
            "Statements that have ended, by their kind and outcome.",
            ("kind", "outcome"),
            registry=registry,
        )
        self._statement_seconds = Histogram(
            "heddle_statement_duration_seconds",
            "How long statements took, from their begin to their last row.",
            ("kind",),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._rows = Counter(
            "heddle_statement_rows",
            "Rows that queries gave, updates changed and ingests brought.",
            ("kind",),
            registry=registry,
        )
        self._logins = Counter("heddle_logins", "Logins that succeeded.", registry=registry)
        self._refused = Counter(
            "heddle_refused", "Requests of whom may not come in.", ("reason",), registry=registry
        )
        for reason in REASONS:
            self._refused.labels(reason)
        ProcessCollector(registry=registry)

    def request(self, access: Access) -> None:
        self._requests.labels(access.method, access.code).inc()
        self._request_seconds.labels(access.method).observe(access.duration_s)
        self._sent.inc(access.size_bytes)
        self._received.inc(access.received_bytes)

    def event(self, event: AuditEvent) -> None:
        if event.what in STATEMENTS:
            self._statements.labels(event.what, event.outcome).inc()
            self._rows.labels(event.what).inc(event.rows or 0)
            if event.duration_s is not None:
                self._statement_seconds.labels(event.what).observe(event.duration_s)
        elif event.what == "refused":
            self._refused.labels(event.outcome).inc()
        elif event.what == "login":
            self._logins.inc()

    def watch(self, database: Database, security: Security, service: Service, spans: Tracing | None) -> None:
        def look() -> Looked:
            return Looked(
                service.takes_statements,
                database.queries.running,
                security.admission.load(),
                service.held(),
                tuple(database.refreshed().values()),
                database.result_cache,
                database.queries.cached,
                spans,
            )

        self.registry.register(_Asking(look))


class _Registry(CollectorRegistry):
    """Without the time at which each counter began, which would be as many series again."""

    def collect(self) -> Iterable[Metric]:
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class CountedAudit:
    """Another audit, whose events are counted too."""

    def __init__(self, audit: Audit, metrics: Metrics) -> None:
        self._audit = audit
        self._metrics = metrics

    def note(self, event: AuditEvent) -> None:
        self._metrics.event(event)
        self._audit.note(event)

    def close(self) -> None:
        self._audit.close()


class _Asking(Collector):
    def __init__(self, look: Callable[[], Looked]) -> None:
        self._look = look

    def describe(self) -> Iterable[Metric]:
        """The names, without looking."""
        return [Metric(asked.name, asked.help, asked.kind) for asked in ASKED]

    def collect(self) -> Iterable[Metric]:
        looked = self._look()
        return [asked.family(looked) for asked in ASKED]
