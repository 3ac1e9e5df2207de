"""What a session is opened on: a program, a folder of programs, or the address of an endpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heddle.core.record import record

if TYPE_CHECKING:
    from heddle.repl.connection import Connection

SCHEMES: Final = ("grpc://", "grpc+tls://", "grpc+tcp://", "grpc+unix://")


@record(frozen=True, slots=True)
class RemoteOptions:
    """How to come in at an endpoint. Files are PEM."""

    user: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_hostname: str | None = None
    tls_skip_verify: bool = False


def is_address(target: str) -> bool:
    return "://" in target


def open_target(
    target: str | None,
    remote: RemoteOptions,
    *,
    profile: str | None,
    params: Mapping[str, str],
    notify: Callable[[str], None],
    ask: Callable[[str], str] | None,
) -> Connection:
    """None is the current folder. `ask` asks a person for a password; None where there is nobody. Raises
    `HeddleError`."""
    if target is not None and is_address(target):
        from heddle.repl.credentials import driver_options
        from heddle.repl.remote import checked_address, connect

        checked_address(target)
        return connect(target, *driver_options(remote, os.environ, ask))
    from heddle.config import load_project
    from heddle.database.database import Database
    from heddle.repl.embedded import EmbeddedConnection

    path = Path(target or ".")
    serve = load_project(path)[0].serve
    database = Database.open(
        [path],
        profile=profile,
        params=params,
        notify=notify,
        result_cache_bytes=serve.result_cache_bytes if serve is not None else 0,
    )
    return EmbeddedConnection(database, path.resolve().name)
