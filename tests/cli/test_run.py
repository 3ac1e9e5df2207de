"""Runs as processes: interruption, a reader that goes away, a terminal, a file that changes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HEDDLE = str(Path(sys.executable).with_name("heddle"))
LEAVES_WITHIN_S = 120
"""Far more than it takes: only a process that hangs comes near it."""

STEPS = """\
import sys
import threading

from heddle.core import Table


def hang(input: Table) -> Table:
    print("hanging", file=sys.stderr, flush=True)
    threading.Event().wait()
    return input
"""
PROGRAM = """\
import "./steps" steps

workflow Slow {
  [{ a: 1 }]
    | steps.hang
    | io.csv { path: "out.csv" }
}
"""


@contextmanager
def hanging(folder: Path) -> Iterator[subprocess.Popen[str]]:
    (folder / "steps.py").write_text(STEPS)
    (folder / "slow.he").write_text(PROGRAM)
    scratch = folder / "tmp"
    scratch.mkdir()
    environ = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(
        [HEDDLE, "run", "slow.he"],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("hanging" in line for line in lines)
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_is_interrupted_though_user_code_still_runs(tmp_path: Path, number: signal.Signals) -> None:
    with hanging(tmp_path) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=LEAVES_WITHIN_S)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*out.csv*")), "no part of the output is left"


@pytest.mark.parametrize(
    "arguments", [["run", "hello.he"], ["check", "--json", "wrong.he"], ["explain", "hello.he"]]
)
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "hello.he").write_text("workflow Hello {\n  [{ a: 1 }]\n    | io.print\n}\n")
    (tmp_path / "wrong.he").write_text("workflow Wrong {\n  (from nothing)\n    | io.print\n}\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [HEDDLE, *arguments], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.returncode == 141
    assert "rror" not in done.stderr


def test_a_terminal_sees_data_and_a_summary(tmp_path: Path) -> None:
    (tmp_path / "hello.he").write_text('workflow Hello {\n  [{ name: "Ada" }]\n    | io.print\n}\n')
    leader, follower = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [HEDDLE, "run", "hello.he"],
        cwd=tmp_path,
        env=environ,
        stdin=follower,
        stdout=follower,
        stderr=follower,
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 4096):
                shown += chunk
        except OSError:  # the other side of the terminal has gone
            pass
        os.close(leader)
    assert process.returncode == 0
    text = shown.decode()
    assert "Ada" in text
    assert "run succeeded" in text


def test_watch_checks_again_when_a_program_changes(tmp_path: Path) -> None:
    program = tmp_path / "a.he"
    program.write_text("workflow A {\n  [{ a: 1 }]\n    | io.print\n}\n")
    with subprocess.Popen(
        [HEDDLE, "check", "--watch", "--one-line", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "no problems in 1 file\n"
        assert "watching" in process.stderr.readline()
        other = tmp_path / "other"
        other.write_text("workflow A {\n  [{ a: 1 }]\n    | io.pint\n}\n")
        other.replace(program)  # whole at once: half of it could be checked, too
        assert process.stderr.readline() == "1 error in 1 file\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LEAVES_WITHIN_S)
    assert process.returncode == 130


def test_an_internal_error_is_no_traceback(tmp_path: Path) -> None:
    script = "import heddle.cli.fmt as fmt; fmt.program_files = 1; from heddle.cli.main import main; main()"
    for debug in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", script, "fmt", "a.he"],
            env={**os.environ, "HEDDLE_DEBUG": debug},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "internal error: TypeError: 'int' object is not callable" in done.stderr
        assert "Please report it" in done.stderr
        assert ("Traceback" in done.stderr) == (debug == "1")
