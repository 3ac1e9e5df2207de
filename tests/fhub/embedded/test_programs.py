"""The fraud program, unchanged, without any server; what is left when it is killed, and what a second run is
told."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fhub.clickhouse.embedded import statements
from tests.waiting import until

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "fraud"
PROGRAM = ROOT / "tests" / "acceptance" / "fraud" / "fraud.he"
HEDDLE = str(Path(sys.executable).with_name("heddle"))
PATIENCE_S = 120.0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "fraud"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", ".heddle", "__pycache__"))
    shutil.copy(PROGRAM, folder / "fraud.he")
    (folder / "data").mkdir()
    rows = [
        {"user_id": n + 1, "amount": 10_500.0 if n % 25 == 0 else 20.0, "currency": "EUR", "at": "2026-01-02"}
        for n in range(200)
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "data" / "transactions.jsonl").write_text(lines)
    return folder


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [HEDDLE, "run", "--profile", "embedded", *arguments]
    return subprocess.run(
        command, cwd=project, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def test_the_fraud_program_runs_without_a_server(project: Path) -> None:
    assert run(project, "transactions.he").returncode == 0
    done = run(project, "--idle", "1s", "fraud.he")
    assert done.returncode == 0, done.stderr
    again = run(project, "--idle", "1s", "fraud.he")
    assert "0 rows in 0 turns" in again.stderr
    shown = run(project, "audits.he")
    assert shown.returncode == 0, shown.stderr
    assert sum(int(line.split()[1]) for line in shown.stdout.splitlines()[2:]) == 8


READING = """\
import "fhub/postgresql" pg
import "fhub/clickhouse" ch

resource pg_db = pg.connection { host: "x" }

resource ch_db = ch.connection { host: "x" }

step users = <connection=pg_db> pg.query { query: "SELECT count(*) AS n FROM users" }

step slow = <connection=pg_db> pg.query { query: "SELECT count(*) AS n FROM users, pg_sleep(60)" }

step risks = <connection=ch_db> ch.query { query: "SELECT count() AS n FROM risk_metrics" }

workflow Quick {
  (from users | append risks)
    | io.print
}

workflow Slow {
  (from slow | append risks)
    | io.print
}
"""


def members(project: Path) -> list[psutil.Process]:
    """The servers of a project. What is asked beforehand is empty for a process that ends meanwhile."""
    found = []
    for process in psutil.process_iter(["cmdline", "name"]):
        words, name = " ".join(process.info["cmdline"] or ()), process.info["name"] or ""
        if str(project) in words and "heddle" not in name and ("server" in words or "postgres" in name):
            found.append(process)
    return found


def wait_until_gone(project: Path) -> None:
    until(lambda: members(project) == [], "a server is left")


def test_a_folder_belongs_to_one_run_and_nothing_outlives_a_kill(project: Path) -> None:
    (project / "reading.he").write_text(READING)
    quick = run(project, "reading.he", "Quick")
    assert quick.returncode == 0, quick.stderr
    assert quick.stdout.split().count("50000") == 2
    wait_until_gone(project)
    # With the columns in heddle.lock a run starts its servers once, for itself.
    refresh = [HEDDLE, "check", "--refresh", "--profile", "embedded", "reading.he"]
    subprocess.run(refresh, cwd=project, check=True, capture_output=True, timeout=PATIENCE_S)
    wait_until_gone(project)
    process = subprocess.Popen(
        [HEDDLE, "run", "--profile", "embedded", "reading.he", "Slow"],
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def both_run() -> bool:
        assert process.poll() is None
        return len(members(project)) >= 2

    until(both_run, "the servers do not start")
    second = run(project, "reading.he", "Quick")
    assert second.returncode != 0
    assert "is in use by another run" in second.stderr
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until_gone(project)
    third = run(project, "reading.he", "Quick")
    assert third.returncode == 0, third.stderr


def test_a_set_up_that_fails_is_made_again(project: Path) -> None:
    (project / "reading.he").write_text(READING)
    good = (project / "postgresql.sql").read_text()
    (project / "postgresql.sql").write_text("CREATE TABLE users (id bigint); SELECT nothing FROM nowhere;")
    failed = run(project, "reading.he", "Quick")
    assert failed.returncode != 0
    assert 'relation "nowhere" does not exist' in failed.stderr
    (project / "postgresql.sql").write_text(good)
    assert run(project, "reading.he", "Quick").returncode == 0


def test_statements_of_a_script() -> None:
    script = "SELECT 1; -- one; two\nINSERT INTO t VALUES ('a;b');\n\n;SELECT ';' /* ; */ "
    assert statements(script) == [
        "SELECT 1",
        "-- one; two\nINSERT INTO t VALUES ('a;b')",
        "SELECT ';' /* ; */",
    ]
