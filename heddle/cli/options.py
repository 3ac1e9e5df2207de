"""Options that several verbs share, and the reading of `NAME=VALUE` arguments."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from heddle.core.record import record

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])


@record(slots=True, eq=False)
class Colors:
    """The colour choice of one command, which outlives click's context; None means "on a terminal"."""

    chosen: bool | None = field(default_factory=lambda: False if os.environ.get("NO_COLOR") else None)


def _set_color(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    colors = ctx.ensure_object(Colors)
    match value:
        case "always":
            colors.chosen = True
        case "never":
            colors.chosen = False
        case "auto":
            colors.chosen = Colors().chosen
        case _:
            pass
    ctx.color = colors.chosen


def color_option(function: F) -> F:
    """`--color`; click's echo then strips colours where they are not wanted."""
    option = click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        callback=_set_color,
        expose_value=False,
        is_eager=True,
        help="Colours: on a terminal (auto, also off with NO_COLOR), always or never.",
    )
    return option(function)


def notice(line: str) -> None:
    """Tell the user of work that takes long, on stderr."""
    click.echo(line, err=True)


def uses_color(stream: TextIO) -> bool:
    """Whether coloured text goes to `stream`, for output that does not go through click."""
    chosen = click.get_current_context().color
    return stream.isatty() if chosen is None else chosen


def pairs(what: str) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], dict[str, str]]:
    """A callback that reads repeated `NAME=VALUE` options; `what` names the value."""

    def read(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
        result: dict[str, str] = {}
        for text in given:
            name, equals, value = text.partition("=")
            if not equals or not name:
                raise click.BadParameter(f"`{text}` is not of the form NAME={what}", ctx, param)
            if name in result:
                raise click.BadParameter(f"`{name}` is given twice", ctx, param)
            result[name] = value
        return result

    return read


def _profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    import tomllib

    from click.shell_completion import CompletionItem

    start = Path(ctx.params.get("file") or ".").resolve()
    found = next((f / "heddle.toml" for f in (start, *start.parents) if (f / "heddle.toml").is_file()), None)
    try:
        names = tomllib.loads(found.read_text("utf-8")).get("profile", {}) if found else {}
    except (OSError, ValueError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def project_options(function: F) -> F:
    """`--profile` and `--param`, for the verbs that open a project."""
    profile = click.option(
        "--profile",
        metavar="NAME",
        shell_complete=_profiles,
        help="Lay [profile.NAME] of heddle.toml over the program.",
    )
    params = click.option(
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        callback=pairs("VALUE"),
        help="Give a parameter (`@NAME`) a value; goes before the profile's.",
    )
    return profile(params(function))


def strict_layout_option(function: F) -> F:
    return click.option(
        "--strict-layout", is_flag=True, help="Count findings about layout as errors, not as warnings."
    )(function)


def is_terminal() -> bool:
    """Whether a person watches stderr on a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


engine_option = click.option(
    "--engine",
    "engine_choice",
    type=click.Choice(["auto", "datafusion", "duckdb"]),
    default="auto",
    help="Where queries run; auto chooses for each.",
)
