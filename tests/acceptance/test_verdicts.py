"""The acceptance programs through the real command line: each row of `VERDICTS.tsv` is a test.

Programs run in a copy, because they write beside themselves.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
HEDDLE = str(Path(sys.executable).with_name("heddle"))
TIMEOUT_S = 120
NEEDS_PANDAS = {"security_plugin/hash.he", "security_local/hash.he"}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command gave. `text` is the program's own text, `folder` where it lies."""

    stdout: str
    stderr: str
    text: str
    folder: Path

    @property
    def findings(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def errors(self) -> list[dict[str, object]]:
        return [f for f in self.findings if f["severity"] == "error"]

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """The heads and the cells of a printed table."""
        heads, _, *rows = self.stdout.splitlines()
        return heads.split(), [row.split() for row in rows]

    def place(self, finding: dict[str, object]) -> str:
        """The text that a finding stands at."""
        line = self.text.splitlines()[int(str(finding["line"])) - 1]
        return line[int(str(finding["column"])) - 1 : int(str(finding["end_column"])) - 1]


def seed_analytics(ran: Ran) -> None:
    (unknown,) = ran.errors
    assert (unknown["code"], ran.place(unknown)) == ("HD0301", "fetch_active_users")
    assert not [f for f in ran.findings if str(f["code"])[:4] in {"HD01", "HD02", "HD05", "HD06"}]


def seed_error_handler(ran: Ran) -> None:
    (unknown,) = ran.errors
    assert (unknown["code"], ran.place(unknown)) == ("HD0301", "kafka")
    assert not [f for f in ran.findings if str(f["code"])[:4] in {"HD01", "HD02"}]
    assert int(str(unknown["line"])) == 8, "the second `*` branch is read"


def fraud(ran: Ran) -> None:
    assert not ran.errors


def analytics(ran: Ran) -> None:
    heads, rows = ran.table
    assert heads == ["username", "id"]
    assert sorted(rows) == [["ada", "101"], ["edsger", "350"], ["grace", "205"]]


def handled(ran: Ran) -> None:
    assert "run handled" in ran.stderr
    frame = [
        line for line in ran.stderr.splitlines() if re.search(r"\bValueError\b.*\bexplode\.boom\b", line)
    ]
    assert len(frame) == 3
    parked = [json.loads(line) for line in (ran.folder / "parked.jsonl").read_text().splitlines()]
    assert [set(row) for row in parked] == [{"error_msg", "stack_trace"}] * 3
    assert {row["error_msg"] for row in parked} == {"no luck today"}
    assert all("explode.py" in row["stack_trace"] for row in parked)


def hashes(ran: Ran) -> None:
    heads, rows = ran.table
    assert heads == ["id", "hash"]
    passwords = {"1": "correct horse", "2": "battery", "3": "staple"}
    expected = [[i, hashlib.sha256(f"pepper{p}".encode()).hexdigest()] for i, p in passwords.items()]
    assert sorted(rows) == expected


SHOWS: dict[str, Callable[[Ran], None]] = {
    "seed/analytics.he": seed_analytics,
    "seed/error_handler.he": seed_error_handler,
    "fraud/fraud.he": fraud,
    "analytics/analytics.he": analytics,
    "handlers/handled.he": handled,
    "security_plugin/hash.he": hashes,
    "security_local/hash.he": hashes,
}

VERDICTS = list(csv.DictReader((FOLDER / "VERDICTS.tsv").open(), delimiter="\t"))


@pytest.mark.parametrize("verdict", VERDICTS, ids=[v["program"] for v in VERDICTS])
def test_verdict(verdict: dict[str, str], tmp_path: Path) -> None:
    name = verdict["program"]
    if name in NEEDS_PANDAS:
        require_pandas()
    shutil.copytree(FOLDER / Path(name).parent, tmp_path, dirs_exist_ok=True)
    program = tmp_path / Path(name).name
    _, command, *options = verdict["command"].split()
    if command == "check":
        options.append("--json")
    ran = subprocess.run(
        [HEDDLE, command, *options, program.name],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == int(verdict["exit"]), ran.stdout + ran.stderr
    SHOWS[name](Ran(ran.stdout, ran.stderr, program.read_text(), tmp_path))


def require_pandas() -> None:
    """Without pandas the plugins of two programs cannot run; only on CI that is a failure."""
    if importlib.util.find_spec("pandas") is None:
        reason = "the plugin needs pandas: pip install 'heddle[test]'"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def test_every_program_has_a_verdict() -> None:
    programs = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.he")}
    assert programs == {v["program"] for v in VERDICTS} == set(SHOWS)
