"""`heddle serve`: outputs of programs as tables for Flight SQL's clients."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from heddle.cli.options import color_option, notice, project_options
from heddle.errors import UsageError

if TYPE_CHECKING:
    from heddle.flightsql.serving import Serving
    from heddle.serve_settings import MetricsAddress

DEFAULT_PORT: Final = 31337
NEEDED: Final = frozenset({"grpc_health", "grpc_reflection"})


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR…")
@click.option("--host", default="127.0.0.1", metavar="HOST", help="Where to listen; 127.0.0.1 if not given.")
@click.option(
    "--flight",
    "port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    metavar="PORT",
    help=f"The port; {DEFAULT_PORT} if not given, 0 takes a free one.",
)
@click.option(
    "--native",
    "native_port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="A second port, for pyarrow's server: less time for each statement and for rows that come in.",
)
@project_options
@click.option(
    "--config", metavar="FILE", help="Who may come in and see what, instead of heddle.toml's [serve]."
)
@click.option("--scratch", metavar="FOLDER", help="Where tables that clients make are kept.")
@click.option("--read-only", is_flag=True, help="Clients make no tables.")
@click.option("--access-log", metavar="FILE", help="Write a line of JSON for each request; - is stderr.")
@click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    help="Serve /metrics for Prometheus on this port of 127.0.0.1, or of HOST; 0 takes a free one.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print on stdout, as one JSON object, where it listens."
)
@color_option
def serve(
    paths: tuple[str, ...],
    host: str,
    port: int,
    native_port: int | None,
    profile: str | None,
    params: Mapping[str, str],
    config: str | None,
    scratch: str | None,
    read_only: bool,
    access_log: str | None,
    metrics: str | None,
    as_json: bool,
) -> int:
    """Serve outputs of programs to clients of Arrow Flight SQL, until ^C or SIGTERM.

    FILE is a program, DIR a folder of programs. Statements that run when the server ends have 30 seconds
    to end; the second ^C does not wait.
    """
    if read_only and scratch is not None:
        raise UsageError("--read-only and --scratch exclude each other")
    from heddle.cli.interrupt import until_interrupted

    with ExitStack() as opened:
        with until_interrupted() as wait:
            try:
                from heddle.flightsql.serving import ServeOptions, serving
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in NEEDED:
                    raise
                raise UsageError(
                    "serving needs more than is installed", help="pip install 'heddle[serve]'"
                ) from error
            options = ServeOptions(
                tuple(map(Path, paths)),
                host,
                port,
                profile,
                params,
                Path(config) if config is not None else None,
                Path(scratch) if scratch is not None else None,
                read_only,
                access_log,
                _address(metrics),
                native_port,
            )
            running = opened.enter_context(serving(options, notice))
            _settle()
            _say_ready(running, as_json)
            wait()
        # From here on a signal ends the process as it always does.
        notice("ending when what is under way has ended (^C again cuts it off)")
        running.server.drain()
    return 0


def _address(text: str | None) -> MetricsAddress | None:
    if text is None:
        return None
    from heddle.serve_telemetry import ADDRESS_HELP, address_of

    address = address_of(text)
    if address is None:
        raise UsageError(f"--metrics cannot be `{text}`", help=ADDRESS_HELP)
    return address


def _settle() -> None:
    """Memory that messages took is kept for the next ones. What is there when a server begins stays there:
    later searches for garbage pass over it, or each would stop all requests for a tenth of a second."""
    from heddle.physical.runtime import keep_message_memory

    keep_message_memory()
    gc.collect()
    gc.freeze()


def _say_ready(running: Serving, as_json: bool) -> None:
    url = running.server.url
    native = running.native
    if native is not None:
        notice(f"serving on {native.url} (native)")
    notice(f"serving on {url}")
    if running.metrics_url is not None:
        notice(f"metrics at {running.metrics_url}")
    if as_json:
        ready = {"event": "ready", "url": url, "port": running.server.port}
        metrics = {} if running.metrics_url is None else {"metrics": running.metrics_url}
        second = {} if native is None else {"native_url": native.url, "native_port": native.port}
        click.echo(json.dumps(ready | second | metrics))
        sys.stdout.flush()
