"""The command `heddle`: finds the verb, runs it, and turns how it ended into an exit code.

Exit codes: 0 done, 1 the program's data or code failed, 2 usage or diagnostics, 3 a service cannot be
reached, 130 interrupted; 141 when the reader of stdout has gone. Verbs load when they are called.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from heddle.cli.options import Colors, color_option
from heddle.cli.start import INTERRUPTED

if TYPE_CHECKING:
    from heddle.errors import UsageError

READER_GONE = 141

_VERBS = {
    "new": ("heddle.cli.new", "Make a folder with a new project."),
    "check": ("heddle.cli.check", "Check programs; nothing is run."),
    "fmt": ("heddle.cli.fmt", "Lay programs out."),
    "run": ("heddle.cli.run", "Run a program."),
    "sql": ("heddle.cli.sql", "Ask outputs of programs, or an endpoint, in SQL."),
    "serve": ("heddle.cli.serve", "Serve outputs as tables to Flight SQL's clients."),
    "explain": ("heddle.cli.explain", "Show a program's plan, or what a diagnostic means."),
    "user": ("heddle.cli.user", "Say who may log in to `heddle serve`."),
    "memo": ("heddle.cli.memo", "Clear results that runs have kept on disk."),
    "plugin": ("heddle.cli.plugin", "Make, list, describe, build and test plugins."),
    "version": ("heddle.cli.about", "Show versions."),
    "completion": ("heddle.cli.about", "Print the script that completes commands in a shell."),
}
"""Each verb's module and its line in the help, which is written without importing the module."""


class ReaderGone(Exception):
    """Nobody reads stdout or stderr any more."""


class VerbGroup(click.Group):
    """Imports a verb's module when it is needed, and keeps the order of `_VERBS` in the help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module, _ = _VERBS[cmd_name]
        command = getattr(import_module(module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=list(_VERBS), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in _VERBS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"]})
@color_option
def cli() -> None:
    """Heddle: typed dataflow programs, checked, planned and run.

    Start with `heddle new NAME`.
    """


def main() -> NoReturn:
    # Else gRPC writes lines of its own between ours, of connections that close and logins that fail.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    leave(call(sys.argv[1:]))


def call(arguments: list[str]) -> int:
    """Run one command; what goes wrong is said on stderr and becomes the exit code."""
    colors = Colors()
    try:
        result = cli.main(arguments, prog_name="heddle", standalone_mode=False, obj=colors)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except ReaderGone:
        return READER_GONE
    except Exception as error:
        return _failed(error, colors)


def _failed(error: Exception, colors: Colors) -> int:
    from heddle.cli.render import failure, full
    from heddle.errors import HeddleError, ProgramError

    match error:
        case click.ClickException():
            shown = failure(_usage_error(error), color=True)
        case ProgramError(diagnostics=diagnostics):
            shown = "\n\n".join(full(d, color=True) for d in diagnostics)
        case HeddleError():
            shown = failure(error, color=True)
        case _:
            return internal_error(error)
    click.echo(shown, err=True, color=colors.chosen)
    return error.exit_code


def _usage_error(error: click.ClickException) -> UsageError:
    """Click's error in our words, with the nearest name or the way to the help."""
    from heddle.diagnostics import did_you_mean
    from heddle.errors import UsageError

    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "heddle"
    near: str | None = None
    match error:
        case click.exceptions.NoSuchCommand(command_name=name):
            message, near = f"there is no command `{name}`", did_you_mean(name, tuple(_VERBS))
        case click.NoSuchOption(option_name=name):
            options = [o for p in context.command.params for o in p.opts] if context else []
            message, near = f"`{command}` has no option `{name}`", did_you_mean(name, options)
        case click.MissingParameter(param=click.Parameter() as param):
            message = f"`{command}` needs {param.make_metavar(context or click.Context(cli))}"
        case click.BadParameter(param=click.Parameter() as param):
            name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
            message = f"{name}: {error.message}"
        case _:
            message = error.format_message()
    return UsageError(message, help=f"did you mean `{near}`?" if near else f"see `{command} --help`")


def leave(code: int) -> NoReturn:
    """Leave the process at once, also when the code of a step that timed out still runs in a thread.

    All that must be closed was closed by whoever opened it; tearing down the interpreter and the thread
    pools of the engine would only take time.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            code = code or READER_GONE
    os._exit(code)


def internal_error(error: Exception) -> int:
    """Say that the mistake is ours; the result is the exit code."""
    if os.environ.get("HEDDLE_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    click.echo(
        f"internal error: {type(error).__name__}: {error}\n"
        "  This is a mistake in Heddle, not in your program. Please report it, with the command and\n"
        "  if you can the program. HEDDLE_DEBUG=1 shows where it happened.",
        err=True,
    )
    return 1
