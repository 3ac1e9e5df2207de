"""`heddle sql`: SQL and PRQL over the outputs of programs, or over a Flight SQL endpoint."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from heddle.cli.options import color_option, is_terminal, notice, project_options, uses_color
from heddle.cli.start import INTERRUPTED
from heddle.diagnostics import Source, Span
from heddle.errors import HeddleError, ProgramError, UsageError

if TYPE_CHECKING:
    from heddle.database.model import Language
    from heddle.repl.connection import Connection
    from heddle.repl.console import Console
    from heddle.repl.session import Session

FORMATS = ("table", "csv", "json", "markdown", "arrow", "parquet")
"""Those of `heddle.repl.formats`, which loads pyarrow."""


def _rows(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and value.lower() != "all" and not (value.isdecimal() and int(value) > 0):
        raise click.BadParameter(f"`{value}` is neither a number of rows nor `all`", ctx, param)
    return value


@click.command()
@click.argument("target", required=False, metavar="[FILE|DIR|URL]")
@click.option(
    "-c",
    "--command",
    "commands",
    multiple=True,
    metavar="TEXT",
    help="Run statements or a command, and leave.",
)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="Run a script, and leave; - is stdin. After -c.",
)
@click.option(
    "--format", "format", type=click.Choice(FORMATS), help="How answers are written; on stdout a table."
)
@click.option("--output", metavar="FILE", help="Write answers to a file; its ending says the format.")
@click.option("--rows", callback=_rows, metavar="N|all", help="How many rows a table shows; 50 unless told.")
@click.option(
    "--lang",
    "language",
    type=click.Choice(["sql", "prql", "duckdb"]),
    default="sql",
    help="What statements are.",
)
@click.option("--keep-going", is_flag=True, help="Go on after a statement that fails.")
@click.option("--timing", is_flag=True, help="Tell how long each statement takes.")
@click.option("--user", metavar="NAME", help="The user at an endpoint; the password is asked for.")
@click.option("--tls-ca", metavar="FILE", help="The certificates that an endpoint's has to be signed by.")
@click.option("--tls-cert", metavar="FILE", help="The client's own certificate.")
@click.option("--tls-key", metavar="FILE", help="Its key.")
@click.option(
    "--tls-hostname", metavar="NAME", help="The name that the endpoint's certificate has to be for."
)
@click.option("--tls-skip-verify", is_flag=True, help="Trust any certificate.")
@project_options
@color_option
def sql(
    target: str | None,
    commands: tuple[str, ...],
    files: tuple[str, ...],
    format: str | None,
    output: str | None,
    rows: str | None,
    language: Language,
    keep_going: bool,
    timing: bool,
    user: str | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    tls_hostname: str | None,
    tls_skip_verify: bool,
    profile: str | None,
    params: Mapping[str, str],
) -> int:
    """Ask the outputs of programs, or a Flight SQL endpoint, in SQL or PRQL.

    The target is a program, a folder of programs (the current one, when there is none) or an endpoint:
    grpc://HOST:PORT, grpc+tls://HOST:PORT. Without -c and -f statements are typed, or read from stdin where
    that is no terminal. Data goes to stdout, everything else to stderr. The first statement that fails ends a
    script, and its exit code is that of the command.

    \b
    HEDDLE_SQL_PASSWORD  the password of --user
    HEDDLE_SQL_TOKEN     a bearer token, in place of a user
    HEDDLE_SQL_HISTORY   where typed lines are kept; `off` keeps none
    """
    from heddle.repl.targets import RemoteOptions, is_address, open_target

    interactive = not commands and not files and sys.stdin.isatty()
    remote = RemoteOptions(user, tls_ca, tls_cert, tls_key, tls_hostname, tls_skip_verify)

    if target is not None and is_address(target) and (profile is not None or params):
        raise UsageError("an endpoint has its own settings", help="--profile and --param are for programs")
    if (target is None or not is_address(target)) and remote != RemoteOptions():
        raise UsageError("a program needs no login", help="--user and the options of TLS are for endpoints")

    def connect(to: str | None) -> Connection:
        return open_target(
            to,
            remote,
            profile=profile,
            params=params,
            notify=notice,
            ask=_ask if sys.stdin.isatty() else None,
        )

    connection = connect(target)
    from heddle.repl.output import chosen_format, chosen_rows
    from heddle.repl.session import Session

    session = Session(connection, _console(interactive), connect, keep_going=keep_going)
    try:
        session.language = language
        session.timing = timing
        session.output.format = chosen_format(format) if format else None
        if rows:
            session.output.rows_max = chosen_rows(rows)
        session.output.to(output)
        if interactive:
            from heddle.repl.editor import interact

            return interact(session)
        return _run(session, commands, files)
    finally:
        session.close()


def _ask(prompt: str) -> str:
    answer: str = click.prompt(prompt, hide_input=True, default="", show_default=False, err=True)
    return answer


def _console(interactive: bool) -> Console:
    from heddle.repl.console import Console

    return Console(
        sys.stdout,
        sys.stderr,
        _show,
        _fault,
        watched=is_terminal(),
        interactive=interactive and sys.stdout.isatty(),
        colors=uses_color(sys.stdout),
    )


def _run(session: Session, commands: tuple[str, ...], files: tuple[str, ...]) -> int:
    """The exit code of what failed first."""
    from heddle.repl.session import Leave

    named = [*commands, *(f"\\i {shlex.quote(path)}" if path != "-" else None for path in files)]
    code = 0
    try:
        for number, text in enumerate(named or [None]):
            if text is None:
                failed = session.begin(_stdin(), "stdin")
            else:
                failed = session.begin(text, "-c" if number < len(commands) else "-f")
            code = code or failed
            if failed and (not session.keep_going or failed == INTERRUPTED):
                break
    except Leave:
        pass
    return code


def _fault(error: Exception) -> None:
    from heddle.cli.main import internal_error

    internal_error(error)


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("stdin is no text in UTF-8") from error


def _show(error: HeddleError, place: tuple[Source, Span] | None) -> None:
    from heddle.cli.render import failure, full

    if isinstance(error, ProgramError):
        shown = "\n\n".join(full(diagnostic, color=True) for diagnostic in error.diagnostics)
    else:
        shown = failure(error, color=True, place=place)
    click.echo(shown, err=True)
