"""The live view of a run on a terminal: one row a running stage, above it what has happened.

The view opens a moment after the start, so that a short run draws nothing and need not import rich.
"""

from __future__ import annotations

import sys
import time
from threading import Lock, Timer
from typing import TYPE_CHECKING

import click

from heddle.cli.progress import EventTexts, Mask, duration_text, lag_text
from heddle.core.record import record
from heddle.physical.events import (
    Event,
    RunFinished,
    RunStarted,
    StageFinished,
    StageProgress,
    StageStarted,
    TurnFinished,
)
from heddle.sizes import size_text

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

OPENS_AFTER_S = 0.4
ROWS_MAX = 12
REFRESH_PER_S = 8


@record(slots=True, eq=False)
class _Stage:
    label: str
    started_at: float
    rows: int = 0
    size_bytes: int = 0


@record(slots=True, eq=False)
class _Turns:
    """The turns of a run that reads streams, so far."""

    started_at: float
    last: TurnFinished | None = None
    rows: int = 0

    def text(self, now: float) -> str:
        if self.last is None:
            return "waiting for rows"
        rate = self.rows / max(now - self.started_at, 1e-3)
        return f"turn {self.last.turn:,}: {self.rows:,} rows, {rate:,.0f} rows/s{lag_text(self.last)}"


class LiveView:
    """Shows progress while the run goes on; only sentences of lasting interest stay behind."""

    def __init__(self, mask: Mask, *, color: bool) -> None:
        self._mask = mask
        self._color = color
        self._lock = Lock()
        self._texts = EventTexts(successes=False)
        self._running: dict[str, _Stage] = {}
        self._finished_count = 0
        self._turns: _Turns | None = None
        self._live: Live | None = None
        self._closed = False
        self._timer = Timer(OPENS_AFTER_S, self._draw)
        self._timer.daemon = True

    def open(self) -> None:
        self._timer.start()

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            live, self._live = self._live, None
        if live is not None:
            live.stop()

    def listener(self, event: Event) -> None:
        with self._lock:
            text = self._texts.text(event)
            match event:
                case RunStarted(in_turns=True):
                    self._turns = _Turns(time.monotonic())
                case TurnFinished() if self._turns is not None:
                    self._turns.last = event
                    self._turns.rows += event.rows
                case StageStarted(stage=stage, label=label):
                    self._running[stage] = _Stage(label, time.monotonic())
                case StageProgress(stage=stage, rows=rows, size_bytes=size_bytes) if stage in self._running:
                    self._running[stage].rows = rows
                    self._running[stage].size_bytes = size_bytes
                case StageFinished(stage=stage):
                    self._running.pop(stage, None)
                    self._finished_count += 1
                case _:
                    pass
        if isinstance(event, RunFinished):
            self.close()
        if text is not None:
            self._print(text)

    def _print(self, text: str) -> None:
        with self._lock:
            live = self._live
        if live is None:
            click.echo(self._mask(text), err=True, color=self._color)
        else:
            from rich.text import Text

            live.console.print(Text.from_ansi(self._mask(text)), soft_wrap=True)

    def _draw(self) -> None:
        from rich.console import Console
        from rich.live import Live

        with self._lock:
            if self._closed:
                return
            console = Console(stderr=True, no_color=not self._color, highlight=False)
            self._live = Live(
                console=console,
                get_renderable=self._table,
                refresh_per_second=REFRESH_PER_S,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        for _ in range(4):
            table.add_column(justify="right", no_wrap=True)
        now = time.monotonic()
        stages = list(self._running.values())
        for stage in stages[:ROWS_MAX]:
            elapsed = now - stage.started_at
            rate = f"{stage.rows / elapsed:,.0f} rows/s" if stage.rows and elapsed else ""
            cells = (
                self._mask(stage.label),
                f"{stage.rows:,} rows",
                rate,
                size_text(stage.size_bytes),
                duration_text(elapsed),
            )
            table.add_row(*(Text(cell) for cell in cells))
        hidden = len(stages) - ROWS_MAX
        more = f", {hidden} more running" if hidden > 0 else ""
        if self._turns is not None:
            table.add_row(Text(self._mask(self._turns.text(now)) + more, style="dim"))
            return table
        table.add_row(Text(f"{self._finished_count} finished{more}", style="dim"))
        return table
