"""`heddle plugin`: projects are made from templates, listed, described, built and held to the protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEDDLE = str(Path(sys.executable).with_name("heddle"))
BUILD_TIMEOUT_S = 900
OWN_TESTS = {
    "python": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
    "go": ["go", "test", "./..."],
    "rust": ["cargo", "test", "--quiet"],
    "node": ["npm", "test", "--silent"],
}
PROGRAM = """\
import "./{name}" words

workflow W {{
  [
    {{ text: "one two three" }}
    {{ text: "four" }}
  ]
    | words.{step}
    | io.print
}}
"""


def heddle(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HEDDLE, *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )


@pytest.mark.timeout(BUILD_TIMEOUT_S)
@pytest.mark.parametrize("language", OWN_TESTS)
def test_a_new_plugin_builds_tests_and_runs(language: str, tmp_path: Path) -> None:
    name = f"words-{language}"
    made = heddle("plugin", "new", name, "--lang", language, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / name
    left = [f for f in folder.rglob("*") if f.is_file() and "__" in f.read_text("utf-8", "replace")]
    assert not [f for f in left if "__NAME__" in f.read_text() or "__SDK__" in f.read_text()]
    if language == "rust":
        # What the SDK's own tests have compiled need not be compiled again.
        (folder / "target").symlink_to(ROOT / "sdk" / "rust" / "target")
    built = heddle("plugin", "build", name, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    own = subprocess.run(
        OWN_TESTS[language], cwd=folder, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    assert own.returncode == 0, own.stdout + own.stderr
    tested = heddle("plugin", "test", name, "--json", cwd=tmp_path)
    results = [json.loads(line) for line in tested.stdout.splitlines()]
    assert [r for r in results if r["problem"]] == []
    assert len(results) == 11
    described = heddle("plugin", "describe", name, cwd=tmp_path)
    assert described.stdout.startswith(f"plugin {name}\n")
    step = described.stdout.split("  step ")[1].split()[0]
    (tmp_path / "program.he").write_text(PROGRAM.format(name=name, step=step))
    ran = heddle("run", "program.he", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "one two three" in ran.stdout


def test_a_python_file_is_held_to_the_protocol_too(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(
        "from heddle.core import Table\n\n\ndef same(input: Table) -> Table:\n    return input\n"
    )
    tested = heddle("plugin", "test", "steps.py", cwd=tmp_path)
    assert "FAIL documents its steps: the step `same` has no documentation" in tested.stdout
    assert tested.stderr == "10 cases passed, 1 failed\n"
    assert tested.returncode == 1


def test_the_list(tmp_path: Path) -> None:
    (tmp_path / "heddle.toml").write_text('[plugins]\n"team/risk" = "risk.py"\n')
    listed = heddle("plugin", "ls", "--json", cwd=tmp_path)
    entries = {e["path"]: e for e in map(json.loads, listed.stdout.splitlines())}
    assert entries["team/risk"] == {"path": "team/risk", "kind": "project", "place": "risk.py"}
    assert entries["std/io"]["kind"] == "standard"
    assert entries["fhub/kafka"]["kind"] == "connector"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "Not-Good"], "`Not-Good` cannot be the name of a plugin"),
        (["new", "there"], "there exists already"),
        (["describe", "nothing-there"], 'there is no module "nothing-there"'),
        (["build", "there"], "there/heddle-plugin.toml cannot be read"),
        (["test", "there"], 'there is no module "./there"'),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.txt").touch()
    done = heddle("plugin", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_broken_build_is_shown(tmp_path: Path) -> None:
    made = heddle("plugin", "new", "words", "--lang", "go", cwd=tmp_path)
    assert made.returncode == 0
    main = tmp_path / "words" / "main.go"
    main.write_text(main.read_text() + "\nfunc broken( {\n")
    built = heddle("plugin", "build", "words", cwd=tmp_path)
    assert built.returncode == 2
    assert "cannot be built: `go build" in built.stderr
    assert "main.go" in built.stderr
