"""What a benchmark command says: a Markdown table with both sides of every number, then `RESULT {json}`.

A command adds its numbers to a `Sheet` and calls `show` at its end. What could not be measured is
named with the reason, and has no number.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.harness import conditions

HEADINGS = ("measured", "Heddle", "compared with", "number", "goal")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a number should be: at most `limit`, or at least."""

    limit: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the result with the sides that it came from, as texts for people."""

    key: str
    title: str
    ours: str
    other: str
    value: float
    goal: Goal | None

    def cells(self) -> tuple[str, ...]:
        verdict = ""
        if self.goal:
            verdict = f"{self.goal} {'met' if self.goal.met(self.value) else 'missed'}"
        return f"{self.title} `{self.key}`", self.ours, self.other, f"{self.value:g}", verdict


class Sheet:
    """The numbers of one command. What the machine is and does is noted when the sheet is made."""

    def __init__(self) -> None:
        self._conditions = conditions()
        self._numbers: list[Number] = []
        self._skipped: list[str] = []
        self._notes: list[str] = []

    def add(
        self, key: str, title: str, value: float, *, ours: str, other: str = "", goal: Goal | None = None
    ) -> None:
        self._numbers.append(Number(key, title, ours, other, _rounded(value), goal))

    def ratio(
        self,
        key: str,
        title: str,
        ours: Sequence[float],
        other: Sequence[float],
        *,
        named: str,
        goal: Goal | None = None,
    ) -> None:
        """Our median over that of the other side, which is called `named`; both in seconds."""
        value = statistics.median(ours) / statistics.median(other)
        self.add(key, title, value, ours=spread(ours), other=f"{named}: {spread(other)}", goal=goal)

    def speed_up(
        self,
        key: str,
        title: str,
        ours: Sequence[float],
        other: Sequence[float],
        *,
        named: str,
        goal: Goal | None = None,
    ) -> None:
        """How many times as fast as the other side we are; both in seconds."""
        value = statistics.median(other) / statistics.median(ours)
        self.add(key, title, value, ours=spread(ours), other=f"{named}: {spread(other)}", goal=goal)

    def skip(self, side: str, reason: str) -> None:
        self._skipped.append(f"{side}: {reason}")

    def note(self, line: str) -> None:
        """A line below the table."""
        self._notes.append(line)

    def show(self) -> None:
        """Print all of it; the last line is `RESULT` with the numbers by key."""
        print(self._conditions)
        print(f"at end    load {os.getloadavg()[0]:.1f}", end="\n\n")
        for line in _table([HEADINGS, *(number.cells() for number in self._numbers)]):
            print(line)
        lines = [*self._notes, *(f"Skipped: {side}" for side in self._skipped)]
        if lines:
            print("\n" + "\n".join(f"* {line}" for line in lines))
        print("\nRESULT " + json.dumps({number.key: number.value for number in self._numbers}))


def arguments(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """The parser of a command: its module's text as help, and `--repeats`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=_count, default=repeats, help=f"rounds over all sides ({repeats})")
    return parser


def picked(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Reads an option that takes some of these names, with commas between; none of them when it is empty."""

    def pick(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name!r}; it takes some of {', '.join(known)}")
        return names

    return pick


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("there is nothing to measure without repeats")
    return value


def spread(seconds: Sequence[float]) -> str:
    """Median with the fastest and the slowest, in milliseconds."""
    median, fastest, slowest = (
        f"{_rounded(value * 1e3):g}" for value in (statistics.median(seconds), min(seconds), max(seconds))
    )
    return f"{median} ms ({fastest} to {slowest})"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns are aligned; the first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(rows[0]), line(["-" * width for width in widths]), *map(line, rows[1:])]


def _rounded(value: float) -> float:
    """To three digits, and never fewer than whole numbers: 0.123, 12.3, 1234."""
    return float(f"{value:.3g}") if abs(value) < 1000 else round(value)
