"""A source frame: the lines of a program that a diagnostic is about, with its places underlined.

`source_frame` takes spans with their texts and gives lines made of styled pieces. Tabs, wide and
invisible characters are shown so that each mark stands below what it means; a long line is cut around
its first mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from heddle.cli.wording import cell_width, visible
from heddle.core.record import record
from heddle.diagnostics import Source, Span

LINE_WIDTH_MAX = 100
"""Characters of a source line that are shown; a longer one is cut."""

_LEAD = 24
_TAB_WIDTH = 4

Style: TypeAlias = Literal["gutter", "source", "primary", "secondary"]
Piece: TypeAlias = tuple[str, Style]


@record(frozen=True, slots=True)
class Note:
    """A place to underline; `primary` marks the finding itself, the others explain it."""

    span: Span
    text: str = ""
    primary: bool = False


@record(frozen=True, slots=True)
class _Mark:
    """The part of a note on one line: characters `[start, end)` of it."""

    line: int
    start: int
    end: int
    text: str
    primary: bool


def source_frame(source: Source, notes: tuple[Note, ...]) -> Iterator[list[Piece]]:
    """The frame's lines, gutter included."""
    marks = sorted(
        (mark for note in notes for mark in _marks(source, note)),
        key=lambda m: (m.line, not m.primary, m.start),
    )
    shown = sorted({mark.line for mark in marks})
    width = len(str(shown[-1]))
    blank: Piece = (" " * width + " |", "gutter")
    yield [blank]
    previous = shown[0]
    for line in shown:
        if line - previous == 2:  # one hidden line takes no more room than "..."
            yield from _line(source, previous + 1, width, ())
        elif line - previous > 1:
            yield [("...", "gutter")]
        yield from _line(source, line, width, tuple(m for m in marks if m.line == line))
        previous = line
    yield [blank]


def _marks(source: Source, note: Note) -> Iterator[_Mark]:
    """A note over several lines is marked on its first and its last."""
    size = len(source.text)
    start, end = min(note.span.start, size), min(max(note.span.start, note.span.end), size)
    first, last = source.position(start), source.position(end)
    if last.line > first.line and last.column == 1:
        last = source.position(end - 1)
    if first.line == last.line:
        yield _Mark(first.line, first.column - 1, max(first.column, last.column - 1), note.text, note.primary)
        return
    yield _Mark(first.line, first.column - 1, len(source.line_text(first.line)), "", note.primary)
    text = source.line_text(last.line)
    indent = len(text) - len(text.lstrip())
    yield _Mark(last.line, indent, max(last.column - 1, indent), note.text, note.primary)


def _line(source: Source, number: int, width: int, marks: tuple[_Mark, ...]) -> Iterator[list[Piece]]:
    text = source.line_text(number)
    start, end = _window(text, marks)
    cells, columns = _cells(text[start:end])
    before, after = "…" if start else "", "…" if end < len(text) else ""
    shown = (before + cells + after).rstrip()
    yield [(f"{number:>{width}} |", "gutter"), (f" {shown}" if shown else "", "source")]
    for mark in marks:
        at = columns[min(max(mark.start - start, 0), len(columns) - 1)]
        stop = columns[min(max(mark.end - start, 0), len(columns) - 1)]
        underline = ("^" if mark.primary else "-") * max(stop - at, 1)
        label = f" {visible(mark.text)}" if mark.text else ""
        style: Style = "primary" if mark.primary else "secondary"
        yield [
            (" " * width + " |", "gutter"),
            (" " * (1 + len(before) + at), "source"),
            (underline + label, style),
        ]


def _window(text: str, marks: tuple[_Mark, ...]) -> tuple[int, int]:
    if len(text) <= LINE_WIDTH_MAX:
        return 0, len(text)
    focus = next((m.start for m in marks if m.primary), marks[0].start if marks else 0)
    start = max(0, min(focus - _LEAD, len(text) - LINE_WIDTH_MAX))
    return start, start + LINE_WIDTH_MAX


def _cells(text: str) -> tuple[str, list[int]]:
    """The text as a terminal shows it, and the column at which each character (and the end) stands."""
    shown: list[str] = []
    columns = [0]
    for char in text:
        part = " " * (_TAB_WIDTH - columns[-1] % _TAB_WIDTH) if char == "\t" else visible(char)
        shown.append(part)
        columns.append(columns[-1] + (len(part) if part.isascii() else cell_width(part)))
    return "".join(shown), columns
