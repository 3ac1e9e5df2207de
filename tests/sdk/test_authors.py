"""What authors of Python plugins start from: the template and the example work as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples/plugins/python"
HEDDLE = str(Path(sys.executable).with_name("heddle"))
IGNORED = shutil.ignore_patterns("out", "__pycache__", ".heddle", ".pytest_cache")


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100", "PSEUDONYM_KEY": "an example, not a secret"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def run_tests(folder: Path) -> str:
    return run(sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", folder=folder).stdout


def test_a_new_plugin_passes_its_own_tests_and_the_engines(tmp_path: Path) -> None:
    run(HEDDLE, "plugin", "new", "shop-words", folder=tmp_path)
    folder = tmp_path / "shop-words"
    assert "3 passed" in run_tests(folder)
    assert 'import "shop-words"' in run(sys.executable, "plugin.py", folder=folder).stdout
    assert "FAIL" not in run(HEDDLE, "plugin", "test", ".", folder=folder).stdout
    assert not [f for f in folder.rglob("*") if f.is_file() and "__NAME__" in f.read_text(errors="replace")]


def test_the_example_passes_its_tests_and_runs(tmp_path: Path) -> None:
    folder = tmp_path / "python"
    shutil.copytree(EXAMPLE, folder, ignore=IGNORED)
    assert "4 passed" in run_tests(folder)
    assert "FAIL" not in run(HEDDLE, "plugin", "test", ".", folder=folder).stdout
    run(HEDDLE, "fmt", "--check", "pseudonyms.he", folder=folder)
    printed = run(HEDDLE, "run", "pseudonyms.he", folder=folder).stdout.splitlines()
    persons = [line.split()[1] for line in printed[2:]]
    assert persons[0] == persons[1] != persons[2]
    assert "unknown" in (folder / "out/to_review.jsonl").read_text()
