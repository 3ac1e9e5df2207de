"""A run's events as plain lines, JSON lines and a live view; secrets are masked in each."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from heddle.cli.progress import JsonLines, PlainLines, duration_text
from heddle.physical.events import (
    Event,
    HandlerRan,
    OutputWritten,
    RowsRejected,
    RunFinished,
    RunStarted,
    RunWarning,
    StageFinished,
    StageProgress,
    StageStarted,
    StepRetried,
    TurnFinished,
)

SECRET = "correct horse"
EVENTS: tuple[Event, ...] = (
    RunStarted("r1", "orders.he", ("Orders",), 2, 0.0),
    StageStarted("r1", "Orders/1/2:risk", "scoring.risk", 0.1),
    StageProgress("r1", "Orders/1/2:risk", 500, 4_000, 0.5),
    StepRetried("r1", "Orders/1/2:risk", 1, 0.2, "Timeout", f"no answer for {SECRET}"),
    RowsRejected("r1", "Orders/1/2:risk", 3, "negative amount"),
    StageFinished("r1", "Orders/1/2:risk", "succeeded", 1_000, 8_000, 1.25),
    StageFinished("r1", "Orders/2/1:kafka", "skipped", 0, 0, 0.0),
    RunWarning("r1", None, "the disk is nearly full"),
    HandlerRan("r1", "park", "Orders/1/2:risk", 3, True),
    OutputWritten("r1", "Orders/3", "out.parquet", 1_000),
    RunFinished("r1", "handled", 75.0, 1_000, None),
)


def mask(text: str) -> str:
    return text.replace(SECRET, "***")


def printed(progress: PlainLines | JsonLines, capsys: pytest.CaptureFixture[str]) -> list[str]:
    for event in EVENTS:
        progress.listener(event)
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def turn(number: int, rows: int, lag: int | None, at: float) -> TurnFinished:
    return TurnFinished("r1", number, rows, 0.02, {"W/1": {"offset": 7}}, {"W/1": lag}, at)


def test_turns_are_told_of_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainLines(mask, color=False)
    progress.listener(RunStarted("r1", "orders.he", ("Orders",), 2, 0.0, in_turns=True))
    for event in (turn(1, 10, 5, 1.0), turn(2, 20, 4, 2.0), turn(3, 1, 3, 3.0), turn(4, 7, None, 6.5)):
        progress.listener(event)
    progress.listener(RunFinished("r1", "succeeded", 7.0, 38, turns=4))
    assert capsys.readouterr().err.splitlines() == [
        "running orders.he: 2 stages",
        "turn 1: 10 rows in 20 ms, lag 5",
        "turns 2 to 4: 28 rows",
        "run succeeded: 38 rows in 4 turns in 7.0 s",
    ]


def test_a_turn_tells_what_it_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainLines(mask, color=False)
    progress.listener(RunStarted("r1", "orders.he", ("Orders",), 1, 0.0, in_turns=True))
    progress.listener(RowsRejected("r1", "W/1", 3, "this is no JSON"))
    progress.listener(turn(1, 10, 0, 1.0))
    told = capsys.readouterr().err.splitlines()
    assert told[1:] == ["W/1: 3 rows rejected: this is no JSON", "turn 1: 10 rows in 20 ms, lag 0"]


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(PlainLines(mask, color=False), capsys) == [
        "running orders.he: 2 stages",
        "scoring.risk: attempt 1 failed, trying again after 200 ms: no answer for ***",
        "scoring.risk: 3 rows rejected: negative amount",
        "scoring.risk: 1,000 rows, 8.0 kB in 1.2 s",
        "Orders/2/1:kafka skipped",
        "warning: the disk is nearly full",
        "handler `park` handled 3 error rows of scoring.risk",
        "wrote out.parquet: 1,000 rows",
        "run handled: 1,000 rows in 1 min 15 s; failures went to `park`",
    ]


def test_quiet_keeps_what_a_person_must_not_miss(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(PlainLines(mask, quiet=True, color=False), capsys) == [
        "warning: the disk is nearly full",
        "run handled: 1,000 rows in 1 min 15 s; failures went to `park`",
    ]


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(JsonLines(mask), capsys)
    records = [json.loads(line) for line in lines]
    assert len(records) == len(EVENTS)
    assert records[3] == {
        "event": "step_retried",
        "run_id": "r1",
        "stage": "Orders/1/2:risk",
        "attempt": 1,
        "wait_s": 0.2,
        "error_type": "Timeout",
        "message": "no answer for ***",
    }
    assert [r["event"] for r in records[:3]] == ["run_started", "stage_started", "stage_progress"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (0.999, "999 ms"),
        (1.04, "1.0 s"),
        (59.96, "1 min 0 s"),
        (125.0, "2 min 5 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


LIVE = """\
import sys, threading
from heddle.cli.live import LiveView
from heddle.physical.events import *
ready = threading.Event()
class View(LiveView):
    def _draw(self):
        super()._draw()
        ready.set()
view = View(lambda text: text.replace("hidden", "***"), color=False)
view.open()
view.listener(RunStarted("r", "orders.he", (), 1, 0.0))
view.listener(StageStarted("r", "s", "scoring.risk", 0.0))
ready.wait(120)
view.listener(StageProgress("r", "s", 5000, 1000000, 1.0))
view.listener(RowsRejected("r", "s", 2, "hidden"))
print("a row of data")
view._live.refresh()
view.listener(StageFinished("r", "s", "succeeded", 5000, 1000000, 1.0))
view.listener(RunFinished("r", "succeeded", 1.5, 5000))
view.close()
"""


def on_terminal(script: str) -> str:
    """What a process whose stdout and stderr are a terminal writes."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 4096):
                shown += chunk
        except OSError:  # the other side of a terminal has gone
            pass
        os.close(leader)
    assert process.returncode == 0, shown
    return shown.decode()


def test_the_live_view_shows_stages_and_leaves_the_lasting_lines() -> None:
    shown = on_terminal(LIVE)
    assert "scoring.risk  5,000 rows" in shown
    assert "1.0 MB" in shown
    assert "0 finished" in shown
    for line in (
        "running orders.he: 1 stage",
        "scoring.risk: 2 rows rejected: ***",
        "a row of data",
        "run succeeded",
    ):
        assert shown.count(line) == 1
    assert "\x1b[?25h" in shown, "the cursor is shown again"
    assert "hidden" not in shown
