"""`heddle serve`: outputs of programs as tables for Flight SQL's clients."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from heddle.cli.options import color_option, notice, project_options
from heddle.errors import UsageError

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
@project_options
@click.option(
    "--config", metavar="FILE", help="Who may come in and see what, instead of heddle.toml's [serve]."
)
@click.option("--scratch", metavar="FOLDER", help="Where tables that clients make are kept.")
@click.option("--read-only", is_flag=True, help="Clients make no tables.")
@click.option("--access-log", metavar="FILE", help="Write a line of JSON for each request; - is stderr.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print on stdout, as one JSON object, where it listens."
)
@color_option
def serve(
    paths: tuple[str, ...],
    host: str,
    port: int,
    profile: str | None,
    params: Mapping[str, str],
    config: str | None,
    scratch: str | None,
    read_only: bool,
    access_log: str | None,
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
            )
            server = opened.enter_context(serving(options, notice))
            _say_ready(server.url, server.port, as_json)
            wait()
        # From here on a signal ends the process as it always does.
        notice("ending when what is under way has ended (^C again cuts it off)")
        server.drain()
    return 0


def _say_ready(url: str, port: int, as_json: bool) -> None:
    notice(f"serving on {url}")
    if as_json:
        click.echo(json.dumps({"event": "ready", "url": url, "port": port}))
        sys.stdout.flush()
