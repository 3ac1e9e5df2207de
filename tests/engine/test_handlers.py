"""Failures and handlers: error frames, traps, rejections, and what a failure takes down."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from heddle.physical.events import HandlerRan, RowsRejected, StageFinished
from tests.engine.harness import Ran, run

STEPS = """
import pyarrow as pa
import pyarrow.compute as pc

from heddle.core import Table
from heddle.core.step import StepContext
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")


class Orders(Table):
    id: int
    total: float


@plugin.step(name="check", rows="map")
def check(input: Orders, context: StepContext) -> Orders:
    bad = pc.less(input.to_arrow()["total"], 0.0)
    context.reject(bad, "a total is never negative")
    return input


@plugin.step(name="boom", rows="map")
def boom(input: Orders) -> Orders:
    raise ValueError("no luck today")


@plugin.step(name="fail_table")
def fail_table(input: Table) -> Table:
    raise KeyError("gone")


@plugin.step(name="nothing")
def nothing() -> Orders:
    raise OSError("the source is closed")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "heddle.toml").write_text('[plugins]\n"shop" = "shop.py"\n')
    (tmp_path / "shop.py").write_text(STEPS)
    return tmp_path


def run_program(folder: Path, text: str, *outputs: str, **options: object) -> Ran:
    program = folder / "program.he"
    program.write_text('import "shop" shop\n' + textwrap.dedent(text))
    return run(program, outputs, **options)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


ORDERS = """
  [
    { id: 1, total: 10.0 }
    { id: 2, total: -5.0 }
    { id: 3, total: 30.0 }
  ]
"""


def test_rejected_rows_go_to_the_handler_and_the_others_pass(folder: Path) -> None:
    ran = run_program(
        folder,
        f"""
        handler park {{
          *
            | io.json {{ path: "parked.jsonl" }}
        }}

        workflow W {{
          {ORDERS}
            | shop.check ? park
            > good
        }}
        """,
        "good",
    )
    assert ran.result.status == "handled"
    assert ran.result.exit_code == 0
    assert [r["id"] for r in ran.rows("good")] == [1, 3]
    (parked,) = lines(folder / "parked.jsonl")
    assert parked["error_msg"] == "a total is never negative"
    assert parked["step"] == "shop.check"
    assert parked["workflow"] == "W"
    assert json.loads(str(parked["payload"])) == {"id": 2, "total": -5.0}
    (rejected,) = [e for e in ran.events if isinstance(e, RowsRejected)]
    assert rejected.rows == 1
    (handled,) = [e for e in ran.events if isinstance(e, HandlerRan)]
    assert (handled.handler, handled.rows, handled.succeeded) == ("park", 1, True)


def test_a_rejection_without_a_handler_fails_the_run(folder: Path) -> None:
    ran = run_program(folder, f"workflow W {{\n{ORDERS}    | shop.check\n    > good\n}}\n", "good")
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.message == "`shop.check` rejected 1 row: a total is never negative"
    assert ran.outputs == {}


def test_an_exception_gives_one_error_row_for_each_input_row(folder: Path) -> None:
    ran = run_program(
        folder,
        f"""
        handler park {{
          *
            | io.json {{ path: "parked.jsonl" }}
        }}

        workflow W ? park {{
          {ORDERS}
            | shop.boom
            | io.csv {{ path: "out.csv" }}
        }}
        """,
    )
    assert ran.result.status == "handled"
    parked = lines(folder / "parked.jsonl")
    assert [json.loads(str(r["payload"]))["id"] for r in parked] == [1, 2, 3]
    assert {r["error_type"] for r in parked} == {"ValueError"}
    assert "no luck today" in str(parked[0]["stack_trace"])
    assert not (folder / "out.csv").exists()


def test_a_failed_source_gives_a_single_row_without_payload(folder: Path) -> None:
    ran = run_program(
        folder,
        """
        handler park {
          *
            | io.json { path: "parked.jsonl" }
        }

        workflow W {
          shop.nothing ? park
            | io.csv { path: "out.csv" }
        }
        """,
    )
    assert ran.result.status == "handled"
    (row,) = lines(folder / "parked.jsonl")
    assert row["payload"] is None
    assert row["error_type"] == "OSError"


def test_independent_statements_go_on_when_one_fails(folder: Path) -> None:
    ran = run_program(
        folder,
        f"""
        handler park {{
          *
            | io.stderr
        }}

        workflow W {{
          {ORDERS}
            > orders
          orders
            | shop.boom ? park
            | io.csv {{ path: "lost.csv" }}
          orders
            | io.csv {{ path: "kept.csv" }}
        }}
        """,
    )
    assert ran.result.status == "handled"
    assert (folder / "kept.csv").exists()
    assert not (folder / "lost.csv").exists()
    assert "no luck today" in ran.err


def test_what_reads_a_failed_frame_is_skipped(folder: Path) -> None:
    ran = run_program(
        folder,
        f"""
        handler park {{
          *
            | io.stderr
        }}

        workflow W {{
          {ORDERS}
            | shop.fail_table ? park
            > lost
          lost
            | io.csv {{ path: "one.csv" }}
          lost
            | io.csv {{ path: "two.csv" }}
        }}
        """,
    )
    assert ran.result.status == "handled"
    skipped = {e.stage for e in ran.events if isinstance(e, StageFinished) and e.status == "skipped"}
    assert len(skipped) == 2
    assert not list(folder.glob("*.csv"))


def test_every_branch_of_a_handler_reads_the_same_frame(folder: Path) -> None:
    ran = run_program(
        folder,
        f"""
        handler park {{
          *
            | (from input | select {{error_msg}})
            | io.json {{ path: "messages.jsonl" }}
          *
            | (from input | aggregate {{failed = count this}})
            | io.json {{ path: "count.jsonl" }}
        }}

        workflow W ? park {{
          {ORDERS}
            | shop.boom
            | io.print
        }}
        """,
    )
    assert ran.result.status == "handled"
    assert len(lines(folder / "messages.jsonl")) == 3
    assert lines(folder / "count.jsonl") == [{"failed": 3}]


def test_one_handler_collects_the_errors_of_several_stages(folder: Path) -> None:
    ran = run_program(
        folder,
        f"""
        handler park {{
          *
            | io.json {{ path: "parked.jsonl" }}
        }}

        workflow W ? park {{
          {ORDERS}
            > orders
          orders
            | shop.boom
            | io.print
          orders
            | shop.fail_table
            | io.print
        }}
        """,
    )
    assert ran.result.status == "handled"
    assert {r["step"] for r in lines(folder / "parked.jsonl")} == {"shop.boom", "shop.fail_table"}


def test_a_failing_handler_goes_to_the_workflows_trap_once(folder: Path) -> None:
    ran = run_program(
        folder,
        f"""
        handler broken {{
          *
            | shop.fail_table
            | io.stderr
        }}

        handler last {{
          *
            | io.json {{ path: "last.jsonl" }}
        }}

        workflow W ? last {{
          {ORDERS}
            | shop.boom ? broken
            | io.print
        }}
        """,
    )
    assert ran.result.status == "handled"
    assert {r["step"] for r in lines(folder / "last.jsonl")} == {"shop.fail_table"}


def test_a_failing_workflow_trap_fails_the_run(folder: Path) -> None:
    ran = run_program(
        folder,
        f"""
        handler broken {{
          *
            | shop.fail_table
            | io.stderr
        }}

        workflow W ? broken {{
          {ORDERS}
            | shop.boom
            | io.print
        }}
        """,
    )
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.step == "shop.fail_table"


def test_a_query_that_fails_at_run_time_is_trapped(folder: Path) -> None:
    ran = run_program(
        folder,
        """
        handler park {
          *
            | io.json { path: "parked.jsonl" }
        }

        workflow W {
          [ { n: 1 }, { n: 0 } ]
            | (from input | derive x = 10 // n) ? park
            | io.csv { path: "out.csv" }
        }
        """,
    )
    assert ran.result.status in {"handled", "succeeded"}


def test_a_missing_file_is_trapped(folder: Path) -> None:
    ran = run_program(
        folder,
        """
        handler park {
          *
            | io.json { path: "parked.jsonl" }
        }

        workflow W {
          io.csv { path: "absent.csv", schema: {id: "int"} } ? park
            | io.csv { path: "out.csv" }
        }
        """,
    )
    assert ran.result.status == "handled"
    (row,) = lines(folder / "parked.jsonl")
    assert "absent.csv" in str(row["error_msg"])
