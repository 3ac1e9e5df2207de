"""Colours: on a terminal, unless NO_COLOR or an option says otherwise."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

HEDDLE = str(Path(sys.executable).with_name("heddle"))


def stderr_of(arguments: list[str], folder: Path, *, terminal: bool, no_color: bool) -> str:
    environ = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    if no_color:
        environ["NO_COLOR"] = "1"
    command = [HEDDLE, *arguments]
    if not terminal:
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False
        ).stderr
    leader, follower = pty.openpty()
    with subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=follower
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 4096):
                shown += chunk
        except OSError:  # the other side of the terminal has gone
            pass
        os.close(leader)
    assert process.returncode == 2
    return shown.decode()


@pytest.mark.parametrize("verb", [["chek"], ["fmt", "nowhere.he"], ["fmt", "broken.he"]])
@pytest.mark.parametrize(
    ("option", "terminal", "no_color", "colored"),
    [
        ([], True, False, True),
        ([], True, True, False),
        ([], False, False, False),
        (["--color", "auto"], True, True, False),
        (["--color", "always"], False, False, True),
        (["--color", "always"], True, True, True),
        (["--color", "never"], True, False, False),
    ],
)
def test_colors(
    tmp_path: Path, verb: list[str], option: list[str], terminal: bool, no_color: bool, colored: bool
) -> None:
    (tmp_path / "broken.he").write_text("workflow W {\n  (from x\n}\n")
    shown = stderr_of([*option, *verb], tmp_path, terminal=terminal, no_color=no_color)
    assert "error" in shown
    assert ("\x1b[" in shown) == colored


def test_the_option_may_follow_the_verb(tmp_path: Path) -> None:
    shown = stderr_of(["fmt", "--color", "always", "nowhere.he"], tmp_path, terminal=False, no_color=False)
    assert "\x1b[31m" in shown
