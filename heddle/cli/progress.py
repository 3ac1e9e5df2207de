"""Renderers of a run's events: plain lines, JSON lines, or a live view on a terminal, all on stderr.

`Progress.listener` takes events from any thread. What it shows passes through the engine's masker.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Final, Protocol, assert_never

import click

from heddle.cli.wording import counted, visible
from heddle.paths import shown_path
from heddle.physical.events import (
    CallProgress,
    Event,
    HandlerRan,
    OutputWritten,
    PluginEnded,
    PluginLine,
    PluginReady,
    RowsRejected,
    RunFinished,
    RunStarted,
    RunWarning,
    StageCallsMerged,
    StageFinished,
    StageLogged,
    StageMetric,
    StageProgress,
    StageStarted,
    StageTaken,
    StatementAsked,
    StepRetried,
    TurnFinished,
)
from heddle.sizes import size_text

Mask = Callable[[str], str]

TURNS_TOLD_EVERY_S: Final = 5.0


class Progress(Protocol):
    """Opened before a run and closed after it, twice without harm."""

    def open(self) -> None: ...

    def close(self) -> None: ...

    def listener(self, event: Event) -> None: ...


class _Lines:
    """Writes whole lines to stderr, one thread at a time."""

    def __init__(self, mask: Mask, *, color: bool = False) -> None:
        self._mask = mask
        self._color = color
        self._lock = Lock()

    def open(self) -> None:
        return None

    def close(self) -> None:
        return None

    def write(self, line: str) -> None:
        with self._lock:
            click.echo(self._mask(line), err=True, color=self._color)


class JsonLines(_Lines):
    """One object an event: `event` is its name, the rest its fields."""

    def listener(self, event: Event) -> None:
        self.write(json.dumps({"event": event_name(event), **asdict(event)}))


class PlainLines(_Lines):
    """A line for each event but progress. With `quiet` only what a person must not miss."""

    def __init__(self, mask: Mask, *, quiet: bool = False, color: bool = False) -> None:
        super().__init__(mask, color=color)
        self._quiet = quiet
        self._texts = EventTexts()

    def listener(self, event: Event) -> None:
        text = self._texts.text(event)
        if text is not None and (not self._quiet or is_notable(event)):
            self.write(text)


class EventTexts:
    """Events as sentences; knows the labels of the stages that have started.

    Rejected rows come by the batch; they are told once, with their sum, when their stage ends. Without
    `successes` a stage that ends well is not told.
    """

    def __init__(self, *, successes: bool = True) -> None:
        self._successes = successes
        self._labels: dict[str, str] = {}
        self._turns: TurnTexts | None = None
        self._handlers: dict[str, None] = {}
        self._rejected: dict[str, Counter[str]] = {}

    def label(self, stage: str | None) -> str:
        return visible(self._labels.get(stage or "", stage or "run"))

    def text(self, event: Event) -> str | None:
        match event:
            case RunStarted(program=program, stage_count=count):
                if event.in_turns:
                    self._turns = TurnTexts()
                return f"running {visible(program)}: {counted(count, 'stage')}"
            case StageStarted(stage=stage, label=label):
                self._labels[stage] = label
                return None
            case StageProgress():
                return None
            case StageFinished(stage=stage):
                lines = list(self._rejections(stage))
                if self._successes or event.status == "failed":
                    lines.append(self._finished(event))
                return "\n".join(lines) or None
            case StageTaken(label=label, how=how, rows=rows, size_bytes=size_bytes):
                amount = f"{counted(rows, 'row')}, {size_text(size_bytes)}"
                return f"{visible(label)}: {amount}, {how}" if self._successes else None
            case StepRetried(stage=stage, attempt=attempt, wait_s=wait_s, message=message):
                after = f" after {duration_text(wait_s)}" if wait_s else ""
                return (
                    f"{self.label(stage)}: attempt {attempt} failed, trying again{after}: {visible(message)}"
                )
            case RowsRejected(stage=stage, rows=rows, reason=reason):
                self._rejected.setdefault(stage, Counter())[reason] += rows
                return None
            case HandlerRan(handler=handler, stage=stage, rows=rows, succeeded=succeeded):
                self._handlers[handler] = None
                did = "handled" if succeeded else "failed on"
                return f"handler `{handler}` {did} {counted(rows, 'error row')} of {self.label(stage)}"
            case OutputWritten() if self._turns is not None:
                return None
            case OutputWritten(target="stdout" | "stderr" as stream, rows=rows):
                return f"printed {counted(rows, 'row')} on {stream}"
            case OutputWritten(target=target, rows=rows):
                return f"wrote {visible(_shown_target(target))}: {counted(rows, 'row')}"
            case RunWarning(stage=stage, message=message):
                where = f"{self.label(stage)}: " if stage else ""
                return f"{click.style('warning:', fg='yellow', bold=True)} {where}{visible(message)}"
            case TurnFinished():
                assert self._turns is not None, "it follows the start of a run in turns"
                lines = [line for stage in list(self._rejected) for line in self._rejections(stage)]
                told = self._turns.text(event)
                return "\n".join([*lines, *([told] if told is not None and self._successes else [])]) or None
            case RunFinished():
                return self._run_finished(event)
            case StageLogged(stage=stage, level=level, message=message, fields=fields):
                named = "".join(f" {visible(key)}={visible(value)}" for key, value in fields.items())
                return f"{self.label(stage)}: {level}: {visible(message)}{named}"
            case PluginLine(plugin=plugin, line=line):
                return f"{visible(plugin)} | {visible(line)}"
            case PluginEnded(plugin=plugin, reason=reason):
                warning = click.style("warning:", fg="yellow", bold=True)
                return f"{warning} the plugin `{visible(plugin)}` ended: {visible(reason)}"
            case StageCallsMerged(stage=stage, calls=calls, shared=shared):
                return (
                    f"{self.label(stage)}: {shared} of {counted(calls, 'call')} merged with those of others"
                )
            case PluginReady() | CallProgress() | StageMetric() | StatementAsked():
                return None
            case _:
                assert_never(event)

    def _rejections(self, stage: str) -> list[str]:
        counts = self._rejected.pop(stage, Counter())
        return [
            f"{self.label(stage)}: {counted(rows, 'row')} rejected: {visible(reason)}"
            for reason, rows in counts.items()
        ]

    def _finished(self, event: StageFinished) -> str:
        took = duration_text(event.duration_s)
        amount = f"{counted(event.rows, 'row')}, {size_text(event.size_bytes)} in {took}"
        match event.status:
            case "succeeded":
                return f"{self.label(event.stage)}: {amount}"
            case "failed":
                why = f": {visible(event.message)}" if event.message else ""
                return f"{self.label(event.stage)} failed after {amount}{why}"
            case "skipped":
                return f"{self.label(event.stage)} skipped"
            case "cancelled":
                return f"{self.label(event.stage)} cancelled after {amount}"
            case _:
                assert_never(event.status)

    def _run_finished(self, event: RunFinished) -> str | None:
        """A failure is told by the result of the run, with its help."""
        took = duration_text(event.duration_s)
        rows = counted(event.rows, "row")
        if event.turns is not None:
            rows += f" in {counted(event.turns, 'turn')}"
        match event.status:
            case "succeeded":
                return f"run {click.style('succeeded', fg='green', bold=True)}: {rows} in {took}"
            case "handled":
                by = ", ".join(f"`{name}`" for name in self._handlers)
                handled = click.style("handled", fg="yellow", bold=True)
                return f"run {handled}: {rows} in {took}; failures went to {by}"
            case "failed":
                return None
            case "cancelled":
                return f"run {click.style('interrupted', bold=True)} after {took}"
            case _:
                assert_never(event.status)


class TurnTexts:
    """Turns as sentences, one at most every `TURNS_TOLD_EVERY_S`: what came in all turns since the last."""

    def __init__(self) -> None:
        self._first = 1
        self._rows = 0
        self._told_at: float | None = None

    def text(self, event: TurnFinished) -> str | None:
        self._rows += event.rows
        if self._told_at is not None and event.at - self._told_at < TURNS_TOLD_EVERY_S:
            return None
        first, rows = self._first, self._rows
        self._first, self._rows, self._told_at = event.turn + 1, 0, event.at
        turns = f"turn {event.turn}" if first == event.turn else f"turns {first} to {event.turn}"
        took = f" in {duration_text(event.duration_s)}" if first == event.turn else ""
        return f"{turns}: {counted(rows, 'row')}{took}{lag_text(event)}"


def lag_text(event: TurnFinished) -> str:
    """How many rows wait in all streams that know it."""
    lags = [lag for lag in event.lags.values() if lag is not None]
    return f", lag {sum(lags):,}" if lags else ""


def _shown_target(target: str) -> str:
    return shown_path(Path(target)) if target.startswith("/") else target


def is_notable(event: Event) -> bool:
    """What `--quiet` shows as well."""
    match event:
        case RunWarning() | HandlerRan(succeeded=False) | PluginEnded():
            return True
        case PluginLine(stream=stream):
            return stream == "stderr"
        case RunFinished(status=status):
            return status == "handled"
        case _:
            return False


def event_name(event: Event) -> str:
    """`StageStarted` -> `stage_started`."""
    name = type(event).__name__
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


def duration_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    if minutes:
        return f"{minutes:.0f} min {rest:.0f} s"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
