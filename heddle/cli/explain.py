"""`heddle explain`: the page of a diagnostic's code, or the plan of a program."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heddle.cli.files import existing_file
from heddle.cli.options import color_option, engine_option, notice, project_options, uses_color
from heddle.cli.render import failure, full
from heddle.diagnostics import did_you_mean
from heddle.errors import ProgramError, UsageError

if TYPE_CHECKING:
    from heddle.engine import Engine, RunOptions
    from heddle.frontend.typed import TypedProgram
    from heddle.logical.explain import Explanation
    from heddle.logical.plan import EngineChoice

_CODE = re.compile(r"HD\d{1,5}", re.IGNORECASE)


@click.command()
@click.argument("subject", metavar="FILE|CODE")
@click.option(
    "--plan",
    "show_plans",
    is_flag=True,
    help="Show each fragment's SQL and the plans that its engine makes of it as well.",
)
@click.option(
    "--analyze",
    is_flag=True,
    help="Run the program, effects included, and show what each stage did and took.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--no-optimize", is_flag=True, help="Show the plan as it is before any rule.")
@click.option("--no-pushdown", is_flag=True, help="Show what is asked of databases when queries stay here.")
@engine_option
@project_options
@color_option
def explain(
    subject: str,
    show_plans: bool,
    analyze: bool,
    as_json: bool,
    no_optimize: bool,
    no_pushdown: bool,
    engine_choice: EngineChoice,
    profile: str | None,
    params: Mapping[str, str],
) -> int:
    """Explain a diagnostic's code (HD0301) or show the plan of a program.

    The plan is a tree of fragments, steps and outputs, with what was pushed down, fused, shared and
    pruned, and why not.
    """
    if _CODE.fullmatch(subject) and not Path(subject).exists():
        _show_page(subject.upper(), as_json)
        return 0
    from heddle.engine import RunOptions

    options = RunOptions(optimize=not no_optimize, pushdown=not no_pushdown, engine=engine_choice, alone=True)
    return _show_plan(subject, show_plans, as_json, options, analyze, profile, params)


def diagnostic_pages() -> dict[str, Path]:
    """The page of each code: beside this package in a checkout, inside it when it is installed."""
    package = Path(__file__).parents[1]
    folders = (package / "docs" / "diagnostics", package.parent / "docs" / "diagnostics")
    folder = next((f for f in folders if f.is_dir()), folders[0])
    return {page.stem: page for page in sorted(folder.glob("HD*.md"))}


def _show_page(code: str, as_json: bool) -> None:
    pages = diagnostic_pages()
    if code not in pages:
        near = did_you_mean(code, tuple(pages))
        help = (
            f"did you mean {near}?" if near else "a code stands in brackets before a message: error[HD0301]"
        )
        raise UsageError(f"there is no diagnostic {code}", help=help)
    text = pages[code].read_text("utf-8")
    if as_json:
        click.echo(json.dumps({"code": code, "page": text}))
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console(no_color=not uses_color(sys.stdout)).print(Markdown(text))
    else:
        click.echo(text, nl=False)


def _show_plan(
    file: str,
    show_plans: bool,
    as_json: bool,
    options: RunOptions,
    analyze: bool,
    profile: str | None,
    params: Mapping[str, str],
) -> int:
    path = existing_file(file)
    from heddle.engine import Engine

    with Engine.open(path, profile=profile, params=params, notify=notice) as engine:
        checked = engine.check(ask=True)
        for diagnostic in checked.diagnostics:
            click.echo(full(diagnostic, color=True) + "\n", err=True)
        if checked.program is None:
            return 2
        try:
            if analyze:
                explanation, code = _analyzed(engine, checked.program, options)
            else:
                explanation, code = engine.explain(checked.program, options), 0
        except ProgramError as error:
            for diagnostic in error.diagnostics:
                click.echo(full(diagnostic, color=True) + "\n", err=True)
            return error.exit_code
        mask = engine.masker.mask
        if as_json:
            click.echo(mask(json.dumps(explanation.to_data())))
        else:
            click.echo(mask(explanation.to_text(plans=show_plans)), nl=False)
        return code


def _analyzed(engine: Engine, program: TypedProgram, options: RunOptions) -> tuple[Explanation, int]:
    """Run the program; what it prints goes to stderr, because the explanation is the output."""
    from heddle.cli.interrupt import run_interruptibly
    from heddle.cli.progress import PlainLines
    from heddle.physical.cancel import CancelToken, EndSwitch
    from heddle.std.sinks import Streams

    cancel, ending = CancelToken(), EndSwitch()
    progress = PlainLines(engine.masker.mask, quiet=True)
    streams = Streams(sys.stderr, sys.stderr)
    explanation, result = run_interruptibly(
        lambda: engine.analyze(program, options, progress.listener, cancel, streams, ending),
        cancel.cancel,
        leaving=progress.close,
        end=lambda number: ending.ask(),
    )
    if result.error is not None:
        click.echo(engine.masker.mask(failure(result.error, color=True)), err=True)
    return explanation, result.exit_code
