"""`heddle fmt`: the one layout of a program, written back, shown as a difference, or only asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from heddle.cli.files import program_files, write_text
from heddle.cli.options import color_option
from heddle.cli.render import full
from heddle.cli.wording import counted
from heddle.diagnostics import Diagnostic, Source
from heddle.errors import UsageError

STDIN = "-"


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit with 2 if a layout would change."
)
@click.option(
    "--diff",
    "show_diff",
    is_flag=True,
    help="Write nothing; print the changes; exit with 2 if there are any.",
)
@color_option
def fmt(paths: tuple[str, ...], only_check: bool, show_diff: bool) -> int:
    """Lay programs out: files, folders, or `-` for stdin to stdout.

    Parts with syntax errors stay as they are; the errors are shown and the exit code is 2.
    """
    from heddle.frontend.formatter import format_source
    from heddle.frontend.parser import parse

    only_ask = only_check or show_diff
    sources = _sources(paths)
    changed = broken = 0
    for source in sources:
        findings = (source,) if isinstance(source, Diagnostic) else parse(source).diagnostics
        errors = [d for d in findings if d.severity == "error"]
        broken += bool(errors)
        for error in errors:
            click.echo(full(error, color=True) + "\n", err=True)
        if isinstance(source, Diagnostic):
            continue
        text = format_source(source.text)
        changed += text != source.text
        if STDIN in paths and not only_ask:
            click.echo(text, nl=False)
        elif text != source.text:
            _deliver(source, text, only_check, show_diff)
    if STDIN not in paths:
        _summarize(changed, len(sources) - changed, only_ask)
    return 2 if broken or (changed and only_ask) else 0


def _sources(paths: tuple[str, ...]) -> list[Source | Diagnostic]:
    from heddle.frontend.source import decode_source, read_source

    if STDIN not in paths:
        return [read_source(path) for path in program_files(paths)]
    if len(paths) > 1:
        raise UsageError("`-` (stdin) cannot stand beside other paths")
    return [decode_source("<stdin>", sys.stdin.buffer.read())]


def _deliver(source: Source, text: str, only_check: bool, show_diff: bool) -> None:
    if show_diff:
        from difflib import unified_diff

        old, new = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
        for line in unified_diff(old, new, source.path, source.path):
            _echo_diff_line(line)
    elif only_check:
        click.echo(f"would lay out {source.path}", err=True)
    else:
        write_text(Path(source.path), text)
        click.echo(f"laid out {source.path}", err=True)


def _echo_diff_line(line: str) -> None:
    colors = {"+": "green", "-": "red", "@": "cyan"}
    click.secho(line.rstrip("\n"), fg=colors.get(line[0]))
    if not line.endswith("\n"):
        click.echo("\\ No newline at end of file")


def _summarize(changed: int, unchanged: int, only_asked: bool) -> None:
    verb = "would change" if only_asked else "changed"
    click.echo(f"{counted(changed, 'file')} {verb}, {counted(unchanged, 'file')} left as before", err=True)
