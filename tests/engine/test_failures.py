"""What goes wrong in a run: the message, the exit code, and that nothing is left behind.

Every case runs the real command in a process of its own, in a folder of its own, with a private TMPDIR.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.waiting import PATIENCE_S, until

HEDDLE = (sys.executable, "-m", "heddle")
PATIENT = """
from heddle.cli import interrupt
from heddle.cli.main import main
interrupt.CLEANUP_S = 60
main()
"""
"""It leaves nothing behind however long that takes."""


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a program; `temporary` is the TMPDIR of its runs."""

    folder: Path
    temporary: Path

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(textwrap.dedent(text))

    def start(self, *command: str) -> subprocess.Popen[str]:
        """`command` stands in the place of `heddle`."""
        return subprocess.Popen(
            [*(command or HEDDLE), "run", "program.he"],
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.temporary), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> Done:
        process = self.start(*command)
        out, err = process.communicate(timeout=120)
        return Done(process.returncode, out, err)

    def files(self) -> set[str]:
        return {
            str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if "__pycache__" not in p.parts
        }

    def leftovers(self) -> list[str]:
        return [str(p) for p in self.temporary.rglob("run-*")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder, temporary = tmp_path / "project", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    return Project(folder, temporary)


def assert_clean(project: Project, done: Done, files: set[str]) -> None:
    assert "Traceback" not in done.err
    assert project.files() - {"program.he"} == files
    assert project.leftovers() == []


STEP = """
    import "./steps" steps

    workflow W {{
      [
        {{ id: 1 }}
        {{ id: 2 }}
      ]
        | {call}
        | io.csv {{ path: "out.csv" }}
    }}
"""


def test_a_step_that_raises(project: Project) -> None:
    project.write("program.he", STEP.format(call="steps.boom"))
    project.write(
        "steps.py",
        """
        from heddle.core import Table

        def boom(input: Table) -> Table:
            raise ValueError("no luck today")
        """,
    )
    done = project.run()
    assert done.code == 1
    assert "steps.boom" in done.err
    assert "no luck today" in done.err
    assert_clean(project, done, {"steps.py"})


def test_a_step_that_returns_a_wrong_type(project: Project) -> None:
    project.write("program.he", STEP.format(call="steps.score"))
    project.write(
        "steps.py",
        """
        import pyarrow as pa
        from heddle.core import Table

        class Scored(Table):
            id: int
            score: float

        def score(input: Table) -> Scored:
            return Table.from_arrow(pa.table({"id": [1, 2], "score": ["high", "low"]}))
        """,
    )
    done = project.run()
    assert done.code == 1
    assert "score" in done.err and "float" in done.err and "string" in done.err
    assert_clean(project, done, {"steps.py"})


def test_a_map_step_that_returns_too_few_rows(project: Project) -> None:
    project.write("heddle.toml", '[plugins]\n"shop" = "shop.py"\n')
    project.write("program.he", STEP.replace('"./steps" steps', '"shop" shop').format(call="shop.half"))
    project.write(
        "shop.py",
        """
        from heddle.core import Table
        from heddle.sdk.plugin import Plugin

        plugin = Plugin(namespace="shop")

        @plugin.step(name="half", rows="map")
        def half(input: Table) -> Table:
            return Table.from_arrow(input.to_arrow().slice(0, 1))
        """,
    )
    done = project.run()
    assert done.code == 1
    assert "shop.half" in done.err and "2" in done.err and "1" in done.err
    assert_clean(project, done, {"shop.py", "heddle.toml"})


def test_a_missing_file_is_an_error_of_the_run(project: Project) -> None:
    project.write(
        "program.he", 'workflow W {\n  io.csv { path: "absent.csv" }\n    | io.csv { path: "out.csv" }\n}\n'
    )
    done = project.run()
    assert done.code in {1, 2}
    assert "absent.csv" in done.err
    assert_clean(project, done, set())


def test_an_invalid_parquet_file(project: Project) -> None:
    (project.folder / "data.parquet").write_bytes(b"this is not parquet at all, not even close")
    project.write(
        "program.he",
        'workflow W {\n  io.parquet { path: "data.parquet" }\n    | io.csv { path: "out.csv" }\n}\n',
    )
    done = project.run()
    assert done.code in {1, 2}
    assert "data.parquet" in done.err
    assert_clean(project, done, {"data.parquet"})


def test_a_parquet_file_that_is_cut_off(project: Project) -> None:
    table = pa.table({"n": list(range(100_000))})
    pq.write_table(table, project.folder / "data.parquet", row_group_size=10_000)
    whole = (project.folder / "data.parquet").read_bytes()
    footer = whole[-int.from_bytes(whole[-8:-4], "little") - 8 :]
    (project.folder / "data.parquet").write_bytes(whole[:2000] + footer)
    project.write(
        "program.he",
        'workflow W {\n  io.parquet { path: "data.parquet" }\n    | io.csv { path: "out.csv" }\n}\n',
    )
    done = project.run()
    assert done.code == 1
    assert_clean(project, done, {"data.parquet"})


def test_a_full_disk(project: Project) -> None:
    """A limit on the size of files stands in for a full disk, which needs root."""
    pq.write_table(pa.table({"n": list(range(1_000_000))}), project.folder / "data.parquet")
    project.write(
        "program.he",
        'workflow W {\n  io.parquet { path: "data.parquet" }\n    | io.csv { path: "out.csv" }\n}\n',
    )
    done = project.run("sh", "-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "sh", *HEDDLE)
    assert done.code == 1
    assert "out.csv" in done.err
    assert_clean(project, done, {"data.parquet"})


SLOW = """
    import time

    import pyarrow as pa
    from heddle.core import Table

    def slow(input: Table) -> Table:
        print("the step is running", flush=True)
        time.sleep(600)
        return input
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_a_run_leaves_nothing(project: Project, stop: signal.Signals) -> None:
    project.write("program.he", STEP.format(call="steps.slow"))
    project.write("steps.py", SLOW)
    process = project.start(sys.executable, "-c", PATIENT)
    assert process.stderr is not None
    for line in process.stderr:
        if "the step is running" in line:
            break
    process.send_signal(stop)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert_clean(project, Done(130, out, err), {"steps.py"})
    until(lambda: not group_exists(process.pid), "a process of the run is left")


def group_exists(id: int) -> bool:
    try:
        os.killpg(id, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_failed_run_leaves_none_of_its_files(project: Project) -> None:
    """The first sink is complete when the second one's step fails: neither file may appear."""
    project.write(
        "program.he",
        """
        import "./steps" steps

        workflow W {
          [ { id: 1 } ]
            > rows
          rows
            | io.csv { path: "first.csv" }
          rows
            | steps.boom
            | io.csv { path: "second.csv" }
        }
        """,
    )
    project.write(
        "steps.py",
        """
        from heddle.core import Table

        def boom(input: Table) -> Table:
            raise ValueError("too late")
        """,
    )
    done = project.run()
    assert done.code == 1
    assert_clean(project, done, {"steps.py"})


def test_a_program_with_errors_does_not_start(project: Project) -> None:
    project.write("program.he", "workflow W {\n  nobody\n    | io.print\n}\n")
    done = project.run()
    assert done.code == 2
    assert done.out == ""
    assert "nobody" in done.err
