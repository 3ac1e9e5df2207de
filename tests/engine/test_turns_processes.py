"""A run in turns as a process: signals end it after the turn under way, and a crash costs no row."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import until

STEPS = Path(__file__).with_name("turn_steps.py")
ENDS_WITHIN_S = 120
"""Far more than it takes: only a process that hangs comes near it."""

PROGRAM = """\
import "turns" turns

workflow W {
  turns.lines { path: "FOLDER/in.txt", commit_every: "20ms" } ! { batch: { max_rows: 5 } }
    | turns.check
    | turns.append { path: "FOLDER/out.txt" }
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "heddle.toml").write_text('[plugins]\n"turns" = "turn_steps.py"\n')
    (tmp_path / "program.he").write_text(PROGRAM.replace("FOLDER", str(tmp_path)))
    (tmp_path / "in.txt").touch()
    shutil.copy(STEPS, tmp_path)
    return tmp_path


@contextmanager
def running(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "heddle", "run", "program.he", "--json", *options]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, object]]:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{"):
            yield json.loads(line)


def wait_for_turns(process: subprocess.Popen[str], count: int) -> dict[str, object]:
    return next(e for e in events(process) if e["event"] == "turn_finished" and e["turn"] == count)


def ended_by_another_signal(process: subprocess.Popen[str]) -> bool:
    process.send_signal(signal.SIGINT)
    return process.poll() is not None


def write_numbers(folder: Path, numbers: range) -> None:
    with (folder / "in.txt").open("a") as file:
        file.writelines(f"{number}\n" for number in numbers)


def numbers_out(folder: Path) -> list[int]:
    path = folder / "out.txt"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_the_turn(folder: Path, number: signal.Signals, exit_code: int) -> None:
    write_numbers(folder, range(12))
    with running(folder) as process:
        told = wait_for_turns(process, 3)
        process.send_signal(number)
        rest = list(events(process))
        assert process.wait(ENDS_WITHIN_S) == exit_code
    stage = "W/1.0:turns.lines"
    assert (told["rows"], told["lags"]) == (2, {stage: 0})
    assert told["positions"] == {stage: {"offset": len((folder / "in.txt").read_bytes())}}
    finished = next(event for event in rest if event["event"] == "run_finished")
    assert (finished["status"], finished["turns"]) == ("succeeded", 3)
    assert numbers_out(folder) == list(range(12))
    assert (folder / "in.log").read_text().splitlines() == ["opened", "closed"]


def test_a_second_signal_cuts_the_turn_off(folder: Path) -> None:
    (folder / "in.txt").write_text("1 wait\n")
    with running(folder) as process:
        until((folder / "waits").exists)
        process.send_signal(signal.SIGINT)
        next(line for line in process.stderr or () if line.startswith("ending after the turn"))
        until(lambda: ended_by_another_signal(process))
        assert process.returncode == 130
    assert numbers_out(folder) == []
    assert not (folder / "in.position").exists()


def test_after_a_crash_no_row_is_lost_and_at_most_a_turn_comes_twice(folder: Path) -> None:
    kills = 3
    for kill in range(kills):
        write_numbers(folder, range(200 * kill, 200 * (kill + 1)))
        done = len(numbers_out(folder))
        with running(folder) as process:
            until(lambda before=done: len(numbers_out(folder)) > before + 20)  # type: ignore[misc]
            os.kill(process.pid, signal.SIGKILL)
            process.wait(ENDS_WITHIN_S)
    with running(folder, "--idle", "100ms") as process:
        process.communicate(timeout=ENDS_WITHIN_S)
        assert process.returncode == 0
    times = Counter(numbers_out(folder))
    assert set(times) == set(range(200 * kills))
    again = sum(count - 1 for count in times.values())
    assert again <= 5 * kills
    assert json.loads((folder / "in.position").read_text())["offset"] == len((folder / "in.txt").read_bytes())


def test_a_plugin_that_crashes_ends_the_run_and_the_next_one_repeats_the_turn(folder: Path) -> None:
    write_numbers(folder, range(5))
    with (folder / "in.txt").open("a") as file:
        file.write("5 crash\n")
    with running(folder) as process:
        process.communicate(timeout=ENDS_WITHIN_S)
        assert process.returncode == 1
    assert numbers_out(folder) == list(range(5))
    (folder / "in.txt").write_text("".join(f"{n}\n" for n in range(5)) + "5 fine.\n")
    with running(folder, "--turns", "1") as process:
        process.communicate(timeout=ENDS_WITHIN_S)
        assert process.returncode == 0
    assert numbers_out(folder) == list(range(6))
