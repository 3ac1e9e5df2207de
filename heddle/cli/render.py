"""Renderers of diagnostics: with a source frame for people, one line each for editors, JSON for programs.

Each takes a `Diagnostic` and gives text without a last line break; colour is the caller's choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Literal, TypedDict, assert_never

import click

from heddle.cli.frame import Note, Piece, Style, source_frame
from heddle.cli.wording import counted, visible
from heddle.diagnostics import Diagnostic, Severity, Source, Span
from heddle.errors import HeddleError, StageError

Format = Literal["full", "line", "json"]

_SEVERITY_COLOR: dict[Severity, str] = {"error": "red", "warning": "yellow"}


class EditRecord(TypedDict):
    line: int
    column: int
    end_line: int
    end_column: int
    text: str


class FixRecord(TypedDict):
    title: str
    edits: list[EditRecord]


class DiagnosticRecord(TypedDict):
    """One line of `--json`. Lines and columns count from 1; the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    code: str
    severity: Severity
    message: str
    help: str | None
    fix: FixRecord | None


def renderer(format: Format, *, color: bool) -> Callable[[Diagnostic], str]:
    match format:
        case "full":
            return lambda diagnostic: full(diagnostic, color=color)
        case "line":
            return lambda diagnostic: one_line(diagnostic, color=color)
        case "json":
            return lambda diagnostic: json.dumps(record(diagnostic))
        case _:
            assert_never(format)


def full(diagnostic: Diagnostic, *, color: bool = False) -> str:
    severity = _SEVERITY_COLOR[diagnostic.severity]
    notes = (
        Note(diagnostic.span, primary=True),
        *(Note(label.span, label.text) for label in diagnostic.labels),
    )
    margin, frame = _framed(diagnostic.source, notes, severity, color)
    head = _paint(f"{diagnostic.severity}[{diagnostic.code}]", severity, color, bold=True)
    message = _paint(f": {_indented(diagnostic.message, '  ')}", None, color, bold=True)
    lines = [head + message, *frame]
    for name, text in _notes_below(diagnostic):
        lines.append(_note_below(margin, name, text, color))
    return "\n".join(lines)


def one_line(diagnostic: Diagnostic, *, color: bool = False) -> str:
    place = diagnostic.source.position(diagnostic.span.start)
    mark = _paint(
        f"{diagnostic.severity}[{diagnostic.code}]:", _SEVERITY_COLOR[diagnostic.severity], color, bold=True
    )
    message = visible(diagnostic.message.replace("\n", " "))
    return f"{visible(diagnostic.source.path)}:{place.line}:{place.column}: {mark} {message}"


def record(diagnostic: Diagnostic) -> DiagnosticRecord:
    start, end = (diagnostic.source.position(at) for at in (diagnostic.span.start, diagnostic.span.end))
    return DiagnosticRecord(
        file=diagnostic.source.path,
        line=start.line,
        column=start.column,
        end_line=end.line,
        end_column=end.column,
        code=diagnostic.code,
        severity=diagnostic.severity,
        message=diagnostic.message,
        help=diagnostic.help,
        fix=_fix_record(diagnostic),
    )


def summary(diagnostics: Iterable[Diagnostic], file_count: int) -> str:
    """ "2 errors and 1 warning in 3 files"."""
    found = list(diagnostics)
    errors = sum(d.severity == "error" for d in found)
    counts = [counted(n, name) for n, name in ((errors, "error"), (len(found) - errors, "warning")) if n]
    return f"{' and '.join(counts) or 'no problems'} in {counted(file_count, 'file')}"


def failure(error: HeddleError, *, color: bool = False, place: tuple[Source, Span] | None = None) -> str:
    """An operating failure, with a way to go on; `place` is where a text is refused, if it is about one."""
    message = _stage_message(error) if isinstance(error, StageError) else error.message
    lines = [f"{_paint('error:', 'red', color, bold=True)} {_indented(message, '  ')}"]
    if place is not None:
        source, span = place
        margin, frame = _framed(source, (Note(span, primary=True),), "red", color)
        notes = [_note_below(margin, "help", error.help, color)] if error.help else []
        return "\n".join([*lines, *frame, *notes])
    if error.help:
        lines.append(f"  {_paint('help:', None, color, bold=True)} {_indented(error.help, ' ' * 8)}")
    if isinstance(error, StageError) and (frames := _stack_frames(error.stack_trace)):
        lines += [f"  {_paint('where:', None, color, bold=True)}", *frames]
    return "\n".join(lines)


def _framed(source: Source, notes: tuple[Note, ...], severity: str, color: bool) -> tuple[str, list[str]]:
    """What stands left of the frame's bar, and the lines: where the first note is, then the source."""
    frame = list(source_frame(source, notes))
    margin = " " * (len(frame[0][0][0]) - 1)
    place = source.position(notes[0].span.start)
    arrow = _paint(f"{margin[:-1]}-->", "blue", color, bold=True)
    return margin, [
        f"{arrow} {visible(source.path)}:{place.line}:{place.column}",
        *("".join(_paint_piece(piece, severity, color) for piece in line).rstrip() for line in frame),
    ]


def _note_below(margin: str, name: str, text: str, color: bool) -> str:
    mark = f"{margin}{_paint('=', 'blue', color, bold=True)} {_paint(f'{name}:', None, color, bold=True)}"
    return f"{mark} {_indented(text, margin + ' ' * (len(name) + 4))}"


def _stage_message(error: StageError) -> str:
    who = f"`{error.step}`" if error.step != error.stage else error.stage
    tries = f" at attempt {error.attempt}" if error.attempt > 1 else ""
    kind = f" ({error.error_type})" if error.stack_trace else ""
    return f"{who} failed{tries}: {error.message}{kind}"


def _stack_frames(stack_trace: str) -> list[str]:
    """The places in the user's code; the rest of a stack trace says again what the message says."""
    return [f"  {visible(line)}" for line in stack_trace.splitlines() if line.startswith("  ")]


def _notes_below(diagnostic: Diagnostic) -> list[tuple[str, str]]:
    notes = [("help", diagnostic.help)] if diagnostic.help else []
    if diagnostic.fix:
        notes.append(("fix", f"{diagnostic.fix.title} (`heddle check --fix` does it)"))
    return notes


def _fix_record(diagnostic: Diagnostic) -> FixRecord | None:
    if diagnostic.fix is None:
        return None

    def edit(span: Span, text: str) -> EditRecord:
        start, end = diagnostic.source.position(span.start), diagnostic.source.position(span.end)
        return EditRecord(
            line=start.line, column=start.column, end_line=end.line, end_column=end.column, text=text
        )

    return FixRecord(
        title=diagnostic.fix.title, edits=[edit(span, text) for span, text in diagnostic.fix.edits]
    )


def _indented(text: str, indent: str) -> str:
    return f"\n{indent}".join(visible(line) for line in text.split("\n"))


def _paint_piece(piece: Piece, severity: str, color: bool) -> str:
    text, style = piece
    colors: dict[Style, str | None] = {
        "gutter": "blue",
        "source": None,
        "primary": severity,
        "secondary": "blue",
    }
    return _paint(text, colors[style], color, bold=style != "source") if text.strip() else text


def _paint(text: str, color_name: str | None, color: bool, *, bold: bool = False) -> str:
    return click.style(text, fg=color_name, bold=bold or None) if color and (color_name or bold) else text
