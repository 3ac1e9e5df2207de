"""`heddle check`: the findings about programs, once or at every change, with their fixes applied on wish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from heddle.cli.files import program_files, write_text
from heddle.cli.options import color_option, notice, project_options, strict_layout_option
from heddle.cli.render import Format, renderer, summary
from heddle.cli.wording import counted
from heddle.diagnostics import Diagnostic, Source, Span, has_errors
from heddle.errors import UsageError

FIX_ROUNDS_MAX = 10
"""A fix can uncover a finding with a fix of its own; after so many rounds the rest is left."""

WATCH_STARTS_WITHIN_MS = 100

_WATCHED = frozenset({".he", ".py", ".toml", ".lock", ".csv", ".parquet", ".json", ".jsonl", ".arrow"})


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--fix", "apply_fixes", is_flag=True, help="Apply the fixes that the findings offer.")
@click.option(
    "--watch", is_flag=True, help="Check again whenever a program or its modules change; ^C ends it."
)
@click.option(
    "--refresh",
    is_flag=True,
    help="Ask services for the columns that only they know, and keep them in heddle.lock.",
)
@click.option("--services", is_flag=True, help="Open each resource, and ask it whether it can do its work.")
@click.option("--json", "as_json", is_flag=True, help="Print each finding as one JSON object a line.")
@click.option("--one-line", is_flag=True, help="Print each finding as one line: FILE:LINE:COLUMN: message.")
@strict_layout_option
@project_options
@color_option
def check(
    paths: tuple[str, ...],
    apply_fixes: bool,
    watch: bool,
    refresh: bool,
    services: bool,
    as_json: bool,
    one_line: bool,
    strict_layout: bool,
    profile: str | None,
    params: Mapping[str, str],
) -> int:
    """Check programs: names, types, queries, settings. Nothing is run, and without --refresh or --services
    no service is asked.

    PATH is a program or a folder, whose programs are all checked. Findings are printed on stdout, a
    summary and what has changed in heddle.lock on stderr. The exit code is 2 when there is an error, also
    where a service could not be asked, and 0 when there are only warnings.
    """
    if watch and (refresh or services):
        asking = "--refresh" if refresh else "--services"
        raise UsageError(f"{asking} and --watch exclude each other", help="services are asked once")
    format: Format = "json" if as_json else "line" if one_line else "full"
    checker = _Checker(paths, profile, params, strict_layout, refresh=refresh, services=services)

    def once() -> int:
        if apply_fixes:
            checker.fix()
        return checker.report(format)

    return _watch(paths, once) if watch else once()


class _Checker:
    """Checks the named programs anew at each call."""

    def __init__(
        self,
        paths: tuple[str, ...],
        profile: str | None,
        params: Mapping[str, str],
        strict_layout: bool,
        *,
        refresh: bool,
        services: bool,
    ) -> None:
        self._paths = paths
        self._profile = profile
        self._params = params
        self._strict_layout = strict_layout
        self._refresh = refresh
        self._services = services

    def report(self, format: Format) -> int:
        render = renderer(format, color=True)
        gap = "\n" if format == "full" else ""
        files = program_files(self._paths)
        found: dict[Diagnostic, None] = {}
        for path in files:
            for diagnostic in self._ask(path) if self._refresh or self._services else self.check(path):
                if diagnostic not in found:
                    found[diagnostic] = None
                    click.echo(render(diagnostic) + gap)
        click.echo(summary(found, len(files)), err=True)
        return 2 if has_errors(tuple(found)) else 0

    def fix(self) -> None:
        count = sum(self._fix_file(path) for path in program_files(self._paths))
        click.echo(f"applied {counted(count, 'fix', 'fixes')}", err=True)

    def _fix_file(self, path: Path) -> int:
        count = 0
        for _ in range(FIX_ROUNDS_MAX):
            applied = 0
            for source, fixes in _by_source(self.check(path)).items():
                text, taken = apply_edits(source.text, fixes)
                if taken:
                    write_text(Path(source.path), text)
                    applied += taken
            if not applied:
                break
            count += applied
        return count

    def check(self, path: Path) -> tuple[Diagnostic, ...]:
        from heddle.engine import Engine

        engine = Engine.open(path, profile=self._profile, params=self._params, notify=notice)
        return engine.check(strict_layout=self._strict_layout).diagnostics

    def _ask(self, path: Path) -> tuple[Diagnostic, ...]:
        """Check a program with the help of its services."""
        from heddle.engine import Engine

        with Engine.open(path, profile=self._profile, params=self._params, notify=notice) as engine:
            if self._refresh:
                refreshed = engine.refresh(strict_layout=self._strict_layout)
                checked = refreshed.checked
                for change in refreshed.changes:
                    click.echo(f"heddle.lock: {change}", err=True)
            else:
                checked = engine.check(strict_layout=self._strict_layout)
            found = checked.diagnostics
            if not self._services or checked.program is None:
                return found
            for name, problem in engine.health(checked.program).items():
                if problem is not None:
                    found = (*found, problem)
                else:
                    click.echo(f"the resource `{name}` is there", err=True)
            return found


def _by_source(diagnostics: Sequence[Diagnostic]) -> dict[Source, list[tuple[tuple[Span, str], ...]]]:
    fixes: dict[Source, list[tuple[tuple[Span, str], ...]]] = {}
    for diagnostic in diagnostics:
        if diagnostic.fix:
            fixes.setdefault(diagnostic.source, []).append(diagnostic.fix.edits)
    return fixes


def apply_edits(text: str, fixes: Sequence[tuple[tuple[Span, str], ...]]) -> tuple[str, int]:
    """The text after the fixes that touch no place of an earlier one, and how many those are."""
    taken: list[tuple[Span, str]] = []
    count = 0
    for edits in fixes:
        if any(_touches(edit[0], other[0]) for edit in edits for other in taken):
            continue
        taken += edits
        count += 1
    for span, replacement in sorted(taken, reverse=True):
        text = text[: span.start] + replacement + text[span.end :]
    return text, count


def _touches(a: Span, b: Span) -> bool:
    return a.start <= b.end and b.start <= a.end


def _watch(paths: tuple[str, ...], once: Callable[[], int]) -> int:
    """Ends only with ^C. The watcher stands before the first check, so that no change is missed."""
    from watchfiles import watch

    changes = watch(
        *_watched_folders(paths),
        watch_filter=lambda _, path: Path(path).suffix in _WATCHED,
        rust_timeout=WATCH_STARTS_WITHIN_MS,
        yield_on_timeout=True,
    )
    next(changes)
    code = once()
    click.echo("watching for changes; ^C ends it", err=True)
    for changed in changes:
        if changed:
            click.clear()
            code = once()
    return code


def _watched_folders(paths: tuple[str, ...]) -> list[Path]:
    return [path if (path := Path(text)).is_dir() else path.parent for text in paths]
