"""The completion scripts are taken by their shells, and the answers behind them are right."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEDDLE = str(Path(sys.executable).with_name("heddle"))


def script(shell: str) -> str:
    return subprocess.run([HEDDLE, "completion", shell], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    text = script(shell)
    assert f"_HEDDLE_COMPLETE={shell}_complete" in text
    if program := shutil.which(shell):
        subprocess.run([program, "-n", "/dev/stdin"], input=text, text=True, check=True)


def complete(words: str, folder: Path) -> list[str]:
    environ = {
        **os.environ,
        "_HEDDLE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run([HEDDLE], cwd=folder, env=environ, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_verbs_options_and_profiles(tmp_path: Path) -> None:
    (tmp_path / "heddle.toml").write_text(
        "[profile.test.params]\n[profile.real.params]\n[profile.tiny.params]\n"
    )
    assert complete("heddle ch", tmp_path) == ["check"]
    assert complete("heddle run --no", tmp_path) == ["--no-optimize", "--no-pushdown"]
    assert complete("heddle run --profile t", tmp_path) == ["test", "tiny"]


def test_a_broken_project_completes_nothing(tmp_path: Path) -> None:
    (tmp_path / "heddle.toml").write_text("[profile.test")
    assert complete("heddle run --profile t", tmp_path) == []
