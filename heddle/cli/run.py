"""`heddle run`: check a program, run it off the main thread, and report how it went."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from signal import SIGINT
from typing import TYPE_CHECKING, Literal, assert_never

import click

from heddle.cli.files import existing_file
from heddle.cli.options import (
    color_option,
    engine_option,
    is_terminal,
    notice,
    pairs,
    project_options,
    strict_layout_option,
    uses_color,
)
from heddle.core.collector import collector_paused
from heddle.diagnostics import Diagnostic
from heddle.errors import ProgramError, StageError
from heddle.sizes import SIZE_HELP, parse_size

if TYPE_CHECKING:
    from heddle.cli.progress import Mask, Progress
    from heddle.engine import Engine, RunOptions
    from heddle.frontend.typed import TypedProgram
    from heddle.logical.plan import EngineChoice

READER_GONE = "BrokenPipe"
"""The error type of a sink whose reader has gone: no failure of the program."""

Shown = Literal["lines", "json", "quiet"]


def _memory(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    size_bytes = parse_size(value) if value is not None else None
    if value is not None and size_bytes is None:
        raise click.BadParameter(f"`{value}` is not an amount of memory: {SIZE_HELP}", ctx, param)
    return size_bytes


def _memo(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value == "0":
        return 0
    size_bytes = parse_size(value) if value is not None else None
    if value is not None and size_bytes is None:
        raise click.BadParameter(f"`{value}` is not an amount of disk space: {SIZE_HELP}", ctx, param)
    return size_bytes


def _idle(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    from heddle.core.durations import DURATION_HELP, duration_s

    idle_s = duration_s(value)
    if not idle_s:
        raise click.BadParameter(f"`{value}` is not a duration: {DURATION_HELP}", ctx, param)
    return idle_s


def _limit(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is not None and not value.isdecimal():
        raise click.BadParameter(f"`{value}` is not a number of rows", ctx, param)
    return int(value) if value is not None else None


@click.command()
@click.argument("file", metavar="FILE")
@click.argument("workflows", nargs=-1, metavar="[WORKFLOW…]")
@project_options
@click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="NAME=PATH",
    callback=pairs("PATH"),
    help="Write the output NAME (or WORKFLOW.NAME) to a file; its ending says the format.",
)
@click.option(
    "--limit",
    callback=_limit,
    metavar="N",
    help="Keep the first N rows of what is printed or written by --output.",
)
@click.option(
    "--memory", "memory_bytes", callback=_memory, metavar="SIZE", help="The memory budget: 512MB, 2GB."
)
@click.option(
    "--memo",
    "memo_bytes",
    callback=_memo,
    metavar="SIZE",
    help="Keep results of deterministic steps for later runs, up to SIZE on disk; 0: not in this run.",
)
@click.option(
    "--turns",
    "turns_max",
    type=click.IntRange(min=1),
    metavar="N",
    help="End a run that reads streams after N turns that had rows.",
)
@click.option(
    "--idle",
    "idle_s",
    callback=_idle,
    metavar="DURATION",
    help="End a run that reads streams when no rows came for so long: 10s, 2m.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the run's events and findings on stderr, one JSON object a line.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only data, failures and that a run was handled.")
@strict_layout_option
@click.option("--inline", is_flag=True, help="Run the steps of Python modules in this process.")
@click.option(
    "--check-steps",
    is_flag=True,
    help="Compare some calls of each step with what it declares; pure steps are called again for that.",
)
@click.option("--no-optimize", is_flag=True, help="Run every query by itself, to compare results.")
@click.option("--no-pushdown", is_flag=True, help="Ask databases for what steps say, and query it here.")
@engine_option
@color_option
def run(
    file: str,
    workflows: tuple[str, ...],
    profile: str | None,
    params: Mapping[str, str],
    outputs: Mapping[str, str],
    limit: int | None,
    memory_bytes: int | None,
    memo_bytes: int | None,
    turns_max: int | None,
    idle_s: float | None,
    as_json: bool,
    quiet: bool,
    strict_layout: bool,
    no_optimize: bool,
    no_pushdown: bool,
    inline: bool,
    check_steps: bool,
    engine_choice: EngineChoice,
) -> int:
    """Run a program, or some of its workflows.

    Data is printed on stdout, everything else on stderr. The exit code is 1 when the program's data or
    code failed, 2 when it has errors, 3 when a service cannot be reached.
    """
    path = existing_file(file)
    with ExitStack() as closing:
        with collector_paused(keeping=True):
            from heddle.engine import Engine, RunOptions

            opened = Engine.open(path, profile=profile, params=params, notify=notice, stored=True)
            engine = closing.enter_context(opened)
            checked = engine.check(strict_layout=strict_layout, ask=True)
        if not quiet or not checked.ok:
            _show(checked.diagnostics, as_json)
        if checked.program is None:
            return 2
        options = RunOptions(
            workflows=workflows,
            outputs=outputs,
            memory_bytes=memory_bytes,
            limit=limit,
            optimize=not no_optimize,
            pushdown=not no_pushdown,
            inline=inline,
            check_steps=check_steps,
            engine=engine_choice,
            alone=True,
            memo_bytes=memo_bytes,
            turns_max=turns_max,
            idle_s=idle_s,
        )
        shown: Shown = "json" if as_json else "quiet" if quiet else "lines"
        try:
            return _run(engine, checked.program, options, shown)
        except ProgramError as error:
            _show(error.diagnostics, as_json)
            return error.exit_code


def _run(engine: Engine, program: TypedProgram, options: RunOptions, shown: Shown) -> int:
    """The exit code. A run in turns that ^C has ended did what it should, and still was interrupted."""
    from heddle.cli.interrupt import run_interruptibly
    from heddle.cli.start import INTERRUPTED
    from heddle.physical.cancel import CancelToken, EndSwitch
    from heddle.std.sinks import Streams

    mask = engine.masker.mask
    cancel, ending = CancelToken(), EndSwitch()
    ended_by: list[int] = []

    def end(number: int) -> bool:
        ended_by.append(number)
        return ending.ask()

    progress = _progress(shown, mask)
    progress.open()
    try:
        streams = Streams(sys.stdout, sys.stderr)
        result = run_interruptibly(
            lambda: engine.run(program, options, progress.listener, cancel, streams, ending),
            cancel.cancel,
            leaving=progress.close,
            end=end,
        )
    finally:
        progress.close()
    if result.error is not None and result.error.error_type == READER_GONE:
        raise BrokenPipeError from result.error
    if result.error is not None:
        click.echo(mask(_failure(result.error, shown)), err=True)
    return INTERRUPTED if not result.exit_code and SIGINT in ended_by else result.exit_code


def _failure(error: StageError, shown: Shown) -> str:
    if shown != "json":
        from heddle.cli.render import failure

        return failure(error, color=True)
    return json.dumps(
        {
            "event": "failure",
            "stage": error.stage,
            "step": error.step,
            "attempt": error.attempt,
            "error_type": error.error_type,
            "message": error.message,
            "help": error.help,
            "stack_trace": error.stack_trace,
        }
    )


def _progress(shown: Shown, mask: Mask) -> Progress:
    from heddle.cli.progress import JsonLines, PlainLines

    color = uses_color(sys.stderr)
    match shown:
        case "json":
            return JsonLines(mask)
        case "quiet":
            return PlainLines(mask, quiet=True, color=color)
        case "lines" if is_terminal():
            from heddle.cli.live import LiveView

            return LiveView(mask, color=color)
        case "lines":
            return PlainLines(mask, color=color)
        case _:
            assert_never(shown)


def _show(diagnostics: tuple[Diagnostic, ...], as_json: bool) -> None:
    if not diagnostics:
        return
    from heddle.cli.render import full, record

    for diagnostic in diagnostics:
        if as_json:
            click.echo(json.dumps({"event": "diagnostic", **record(diagnostic)}), err=True)
        else:
            click.echo(full(diagnostic, color=True) + "\n", err=True)
