"""A server from what a command line says: the database, who may come in, and the port."""

from __future__ import annotations

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
from heddle.flightsql.security.securing import require_safe, security_of
from heddle.flightsql.service import Service
from heddle.serve_file import load_serve_settings
from heddle.serve_settings import NO_SERVE_SETTINGS, ServeSettings

if TYPE_CHECKING:
    from heddle.flightsql.grpc_server import GrpcServer

Notify: TypeAlias = Callable[[str], None]


@record(frozen=True, slots=True)
class ServeOptions:
    """`config` is a file with `[serve]`; None takes that of the project. `scratch` is where clients' tables
    live; None: nowhere after the end. `access_log` is a file, or `-` for stderr."""

    paths: tuple[Path, ...]
    host: str
    port: int
    profile: str | None = None
    params: Mapping[str, str] | None = None
    config: Path | None = None
    scratch: Path | None = None
    read_only: bool = False
    access_log: str | None = None


@contextmanager
def serving(options: ServeOptions, notify: Notify) -> Iterator[GrpcServer]:
    """A server that listens. Raises `UsageError`, and `ProgramError` for programs or settings with errors."""
    from heddle.flightsql.grpc_server import GrpcServer

    settings = _settings(options, notify)
    require_safe(settings, options.host)
    with ExitStack() as opened:
        database = opened.enter_context(_database(options, settings, notify))
        security = security_of(settings, options.host, notify=notify, mask=database.mask)
        _require_right(policy_problems(settings, database.tables(LOCAL)), notify)
        database.system.add(*policy_tables(settings))
        _warm_up(database)
        access_log = _access_log(options.access_log, notify, opened)
        service = Service(database, security, Offered(options.read_only, substrait=True))
        server = opened.enter_context(GrpcServer(service, security, options.host, options.port, access_log))
        server.start()
        yield server


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
