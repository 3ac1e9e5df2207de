"""A server from what a command line says: the database, who may come in, and the port."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from heddle.config import load_project
from heddle.core.record import record
from heddle.database.database import Database
from heddle.database.model import LOCAL
from heddle.database.policy import Policy
from heddle.database.policy_check import policy_problems
from heddle.database.policy_tables import policy_tables
from heddle.diagnostics import Diagnostic, has_errors
from heddle.errors import ProgramError, UsageError
from heddle.flightsql.access_log import AccessLog
from heddle.flightsql.metadata.sql_info import Offered
from heddle.flightsql.peers import connected_peers
from heddle.flightsql.security.securing import require_native, require_safe, security_of
from heddle.flightsql.service import Service
from heddle.flightsql.telemetry.opening import open_telemetry
from heddle.serve_file import load_serve_settings
from heddle.serve_settings import NO_SERVE_SETTINGS, MetricsAddress, ServeSettings

if TYPE_CHECKING:
    from heddle.flightsql.grpc_server import GrpcServer
    from heddle.flightsql.native_server import NativeServer
    from heddle.flightsql.requests import Requests
    from heddle.flightsql.security import Security

Notify: TypeAlias = Callable[[str], None]


@record(frozen=True, slots=True)
class ServeOptions:
    """`config` is a file with `[serve]`; None takes that of the project. `scratch` is where clients' tables
    live; None: nowhere after the end. `access_log` is a file, or `-` for stderr. `metrics` and
    `native_port` go before what settings say."""

    paths: tuple[Path, ...]
    host: str
    port: int
    profile: str | None = None
    params: Mapping[str, str] | None = None
    config: Path | None = None
    scratch: Path | None = None
    read_only: bool = False
    access_log: str | None = None
    metrics: MetricsAddress | None = None
    native_port: int | None = None


@record(frozen=True, slots=True)
class Serving:
    """`metrics_url` is None for a server without metrics, `native` for one without a native port."""

    server: GrpcServer
    metrics_url: str | None
    native: NativeServer | None


@contextmanager
def serving(options: ServeOptions, notify: Notify) -> Iterator[Serving]:
    """A server that listens. Raises `UsageError`, and `ProgramError` for programs or settings with errors."""
    from heddle.flightsql.grpc_server import GrpcServer

    settings = _settings(options, notify)
    require_safe(settings, options.host)
    with ExitStack() as opened:
        database = opened.enter_context(_database(options, settings, notify))
        security = security_of(settings, options.host, notify=notify, mask=database.mask)
        _require_right(database.key_problems(), notify)
        _require_right(policy_problems(settings, database.tables(LOCAL)), notify)
        database.system.add(*policy_tables(settings))
        _warm_up(database)
        access_log = _access_log(options.access_log, notify, opened)
        telemetry = open_telemetry(
            settings.telemetry,
            options.metrics or settings.metrics,
            os.environ,
            lambda: load_project(options.paths[0])[0].secrets,
            database,
            notify,
            opened,
        )
        security = telemetry.counted(security)
        service = Service(database, security, Offered(options.read_only, substrait=True))
        telemetry.watch(database, security, service)
        requests = telemetry.requests(access_log)
        opened.callback(service.close)
        server = GrpcServer(service, security, options.host, options.port, requests)
        native = _native(options, settings, service, security, requests, server.url)
        ports = [server.port]
        if native is not None:
            opened.enter_context(native)
            ports.append(native.port)
        opened.enter_context(server)
        if native is not None:
            opened.callback(native.refuse)
        service.watch(lambda: connected_peers(*ports))
        server.start()
        yield Serving(server, telemetry.url, native)


def _native(
    options: ServeOptions,
    settings: ServeSettings,
    service: Service,
    security: Security,
    requests: Requests | None,
    login_url: str,
) -> NativeServer | None:
    """Raises `UsageError`."""
    port = settings.native_port if options.native_port is None else options.native_port
    if port is None:
        return None
    require_native(settings)
    from heddle.flightsql.native_server import NativeServer

    return NativeServer(service, security, options.host, port, requests, login_url)


def _settings(options: ServeOptions, notify: Notify) -> ServeSettings:
    if options.config is not None:
        settings, diagnostics = load_serve_settings(options.config)
    else:
        project, diagnostics = load_project(options.paths[0])
        settings = project.serve or NO_SERVE_SETTINGS
    _require_right(diagnostics, notify)
    return settings


def _require_right(diagnostics: tuple[Diagnostic, ...], notify: Notify) -> None:
    """Raises `ProgramError` for errors; `notify` is told of warnings."""
    if has_errors(diagnostics):
        raise ProgramError(diagnostics)
    for problem in diagnostics:
        line = problem.source.position(problem.span.start).line
        notify(f"{problem.source.path}:{line}: {problem.message}")


def _warm_up(database: Database) -> None:
    """What the first statement imports is there before the first client."""
    answer = database.prepare("SELECT 1", LOCAL).run()
    for _ in answer.batches():
        pass
    answer.close()


def _database(options: ServeOptions, settings: ServeSettings, notify: Notify) -> Database:
    return Database.open(
        options.paths,
        profile=options.profile,
        params=options.params,
        notify=notify,
        scratch=options.scratch,
        policy=Policy(settings),
        materialize=settings.materialize,
        result_cache_bytes=settings.result_cache_bytes,
    )


def _access_log(path: str | None, notify: Notify, opened: ExitStack) -> AccessLog | None:
    """Raises `UsageError`."""
    if path is None:
        return None

    def failed(error: OSError) -> None:
        notify(f"the access log cannot be written, and goes no further: {error.strerror}")

    if path == "-":
        return AccessLog(sys.stderr, failed)
    try:
        return AccessLog(opened.enter_context(open(path, "a", encoding="utf-8")), failed)
    except OSError as error:
        raise UsageError(f"the access log {path} cannot be opened: {error.strerror}") from error
