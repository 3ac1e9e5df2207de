"""Diagnostics: what is wrong with a program, as data.

A `Source` is a text with a name, a `Span` a range of character offsets in it, a `Diagnostic`
a finding at a span. Every stage of the compiler returns them; `heddle/cli/render.py` shows them.
Every code stands in `docs/diagnostics/CODE.md` with an example that is a test.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field
from typing import Literal

from heddle.core.record import record

Severity = Literal["error", "warning"]


@record(frozen=True, slots=True)
class Span:
    """A half-open range `[start, end)` of character offsets in a `Source`."""

    start: int
    end: int

    def __lt__(self, other: Span) -> bool:
        return (self.start, self.end) < (other.start, other.end)

    def to(self, other: Span) -> Span:
        """The smallest span that covers both."""
        return Span(min(self.start, other.start), max(self.end, other.end))


@record(frozen=True, slots=True)
class Position:
    """A place for people: line and column both count from 1, columns in characters."""

    line: int
    column: int


@record(frozen=True, slots=True)
class Source:
    """A program's text and the name under which messages speak of it."""

    path: str
    text: str
    _line_starts: list[int] = field(default_factory=list, init=False, repr=False, compare=False)

    def position(self, offset: int) -> Position:
        if not self._line_starts:
            self._line_starts.append(0)
            self._line_starts.extend(i + 1 for i, ch in enumerate(self.text) if ch == "\n")
        line = bisect_right(self._line_starts, offset)
        return Position(line, offset - self._line_starts[line - 1] + 1)

    def line_text(self, line: int) -> str:
        """The text of a line (counted from 1), without its line break."""
        self.position(0)
        start = self._line_starts[line - 1]
        end = self._line_starts[line] - 1 if line < len(self._line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r")


@record(frozen=True, slots=True)
class Label:
    """A second place that explains the first ("declared here")."""

    span: Span
    text: str


@record(frozen=True, slots=True)
class Fix:
    """Edits that cure the finding; `heddle check --fix` applies them."""

    title: str
    edits: tuple[tuple[Span, str], ...]


@record(frozen=True, slots=True)
class Diagnostic:
    """One finding. `message` names the thing and the place's meaning, `help` the cure."""

    code: str
    severity: Severity
    message: str
    source: Source
    span: Span
    help: str | None = None
    fix: Fix | None = None
    labels: tuple[Label, ...] = ()


def has_errors(diagnostics: list[Diagnostic] | tuple[Diagnostic, ...]) -> bool:
    return any(d.severity == "error" for d in diagnostics)


def did_you_mean(name: str, known: list[str] | tuple[str, ...]) -> str | None:
    """The nearest known name, or None when nothing is near."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return near[0] if near else None
