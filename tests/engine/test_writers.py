"""Writers: rows that nobody sees before the run has succeeded, and that are gone when it has not."""

from __future__ import annotations

import json
import os
import textwrap
import threading
from pathlib import Path

import pytest

from heddle.physical.cancel import CancelToken
from heddle.physical.events import Event, OutputWritten, RowsRejected, RunWarning, StageFinished, StepRetried
from tests.engine.harness import Ran, run

STEPS = """
import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core import Table
from heddle.sdk import Plugin, ResourceConfig, StepConfig, StepContext, Transient, Writer

plugin = Plugin(namespace="store")


class StoreConfig(ResourceConfig):
    folder: str


class Store:
    \"\"\"A folder of tables: `NAME.jsonl` is visible, what is not committed is not there at all.\"\"\"

    def __init__(self, config: StoreConfig) -> None:
        self.folder = Path(config.folder)

    def log(self, line: str) -> None:
        with (self.folder / "log").open("a") as file:
            file.write(line + "\\n")

    def close(self) -> None:
        self.log("closed")


class InsertConfig(StepConfig):
    table: str
    fail: str = ""
    ids: list[int] = []


plugin.resource(name="folder")(Store)


class Insert(Writer):
    def __init__(self, config: InsertConfig) -> None:
        self.config = config
        self.store = config.resource
        self.rows = []
        self.number = len(list(self.store.folder.glob(f"{config.table}.begun*")))
        (self.store.folder / f"{config.table}.begun{self.number}").touch()

    def write(self, table: Table, context: StepContext) -> None:
        rows = table.to_pylist()
        self.store.log(f"{self.config.table}: {len(rows)}")
        bad = [i for i, row in enumerate(rows) if row["id"] in self.config.ids]
        fail = self.config.fail
        if fail == "reject":
            context.reject(bad, "refused by the store")
            rows = [row for i, row in enumerate(rows) if i not in bad]
        elif bad and (fail == "write" or (fail == "once" and self.number == 0)):
            raise Transient("the store is full")
        elif bad and (fail == "exit" or (fail == "exit once" and self.number == 0)):
            os._exit(3)
        elif bad and fail == "hang":
            (self.store.folder / "hangs").touch()
            while not context.cancelled:
                time.sleep(0.01)
            raise OSError("given up")
        self.rows += rows

    def commit(self) -> None:
        if self.config.fail == "commit":
            raise OSError("a constraint does not hold")
        if self.config.fail == "exit_in_commit":
            os._exit(3)
        with (self.store.folder / f"{self.config.table}.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\\n" for row in self.rows)
        self.store.log(f"{self.config.table}: committed")

    def abort(self) -> None:
        self.store.log(f"{self.config.table}: aborted")


@plugin.writer(name="insert", resource={"store": "folder"})
def insert(config: InsertConfig, context: StepContext) -> Writer:
    return Insert(config)


@plugin.step(name="boom", rows="map")
def boom(input: Table) -> Table:
    raise ValueError("no luck today")
"""

ORDERS = "[ { id: 1, total: 10.0 }, { id: 2, total: 20.0 }, { id: 3, total: 30.0 } ]"


class Store:
    """A project with a plugin that writes into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "store").mkdir()
        (folder / "heddle.toml").write_text('[plugins]\n"store" = "store.py"\n')
        (folder / "store.py").write_text(STEPS)

    def run(self, text: str, **options: object) -> Ran:
        program = self.folder / "program.he"
        head = f'import "store" store\nresource disk = store.folder {{ folder: "{self.folder}/store" }}\n'
        program.write_text(head + textwrap.dedent(text))
        return run(program, **options)  # type: ignore[arg-type]

    def rows(self, table: str) -> list[dict[str, object]] | None:
        path = self.folder / "store" / f"{table}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else None

    @property
    def log(self) -> list[str]:
        return (self.folder / "store" / "log").read_text().splitlines()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def finished(events: list[Event], name: str) -> list[str]:
    return [e.status for e in events if isinstance(e, StageFinished) and name in e.stage]


def test_rows_are_written_in_order_and_committed_once(store: Store) -> None:
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | <store=disk> store.insert {{ table: "orders" }} ! {{batch: {{max_rows: 2}}}}
        }}
        """
    )
    assert ran.result.status == "succeeded"
    assert ran.result.rows == 3
    assert store.rows("orders") == [
        {"id": 1, "total": 10.0},
        {"id": 2, "total": 20.0},
        {"id": 3, "total": 30.0},
    ]
    assert store.log == ["orders: 2", "orders: 1", "orders: committed", "closed"]
    [written] = [e for e in ran.events if isinstance(e, OutputWritten)]
    assert (written.target, written.rows) == ("store.insert orders", 3)


@pytest.mark.parametrize("inline", [False, True])
def test_nothing_is_visible_when_another_stage_fails(store: Store, inline: bool) -> None:
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} > orders
          orders | <store=disk> store.insert {{ table: "orders" }}
          orders | store.boom | <store=disk> store.insert {{ table: "others" }}
        }}
        """,
        inline=inline,
    )
    assert ran.result.status == "failed"
    assert store.rows("orders") is None
    assert not any("committed" in line for line in store.log)


def test_a_writer_without_rows_commits_nothing(store: Store) -> None:
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | (from input | filter id > 9) | <store=disk> store.insert {{ table: "orders" }}
        }}
        """
    )
    assert ran.result.status == "succeeded"
    assert not (store.folder / "store" / "log").exists()


def test_two_stages_of_one_step_are_two_writers(store: Store) -> None:
    """The same step with the same settings: one commit must not take the other's rows with it."""
    ran = store.run(
        f"""
        step put = <store=disk> store.insert {{ table: "orders" }}

        workflow W {{
          {ORDERS} > orders
          orders | (from input | filter id == 1) | put
          orders | (from input | filter id == 2) | put
        }}
        """
    )
    assert ran.result.status == "succeeded"
    assert sorted(row["id"] for row in store.rows("orders") or []) == [1, 2]  # type: ignore[type-var]
    assert store.log.count("orders: committed") == 2


def test_a_failed_write_takes_back_what_was_written_before(store: Store) -> None:
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | <store=disk> store.insert {{ table: "orders", fail: "write", ids: [3] }}
            ! {{batch: {{max_rows: 2}}}}
        }}
        """
    )
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.message == "the store is full"
    assert ran.result.error.step == "store.insert"
    assert finished(ran.events, "insert") == ["failed"]
    assert store.rows("orders") is None
    assert store.log == ["orders: 2", "orders: 1", "orders: aborted", "closed"]


def test_all_rows_of_a_failed_writer_go_to_its_handler(store: Store) -> None:
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | <store=disk> store.insert {{ table: "orders", fail: "write", ids: [2] }} ? late
            ! {{batch: {{max_rows: 1}}}}
        }}

        handler late {{
          * | (from input | derive id = payload | select {{ id, error_msg }})
            | <store=disk> store.insert {{ table: "late" }}
        }}
        """
    )
    assert ran.result.status == "handled"
    assert store.rows("orders") is None
    late = store.rows("late") or []
    assert [json.loads(str(row["id"]))["id"] for row in late] == [1, 2, 3]
    assert {row["error_msg"] for row in late} == {"the store is full"}
    assert "orders: aborted" in store.log


def test_rejected_rows_go_to_the_handler_and_the_others_are_written(store: Store) -> None:
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | <store=disk> store.insert {{ table: "orders", fail: "reject", ids: [2] }} ? late
        }}

        handler late {{
          * | (from input | derive id = payload | select {{ id }})
            | <store=disk> store.insert {{ table: "late" }}
        }}
        """
    )
    assert ran.result.status == "handled"
    assert [row["id"] for row in store.rows("orders") or []] == [1, 3]
    assert len(store.rows("late") or []) == 1
    assert [e.rows for e in ran.events if isinstance(e, RowsRejected)] == [1]
    written = {e.target: e.rows for e in ran.events if isinstance(e, OutputWritten)}
    assert written == {"store.insert orders": 2, "store.insert late": 1}


def test_a_writer_is_tried_again_as_a_whole(store: Store) -> None:
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | <store=disk> store.insert {{ table: "orders", fail: "once", ids: [3] }}
            ! {{batch: {{max_rows: 1}}, retry: {{attempts: 3, backoff: "fixed 1ms"}}}}
        }}
        """
    )
    assert ran.result.status == "succeeded"
    assert [row["id"] for row in store.rows("orders") or []] == [1, 2, 3]
    assert store.log == [
        *["orders: 1"] * 3,
        "orders: aborted",
        "closed",
        *["orders: 1"] * 3,
        "orders: committed",
        "closed",
    ]
    assert [e.attempt for e in ran.events if isinstance(e, StepRetried)] == [1]


def test_a_plugin_that_dies_is_written_to_again(store: Store) -> None:
    """The process took the first rows with it; its successor gets all of them."""
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | <store=disk> store.insert {{ table: "orders", fail: "exit once", ids: [3] }}
            ! {{batch: {{max_rows: 1}}, retry: {{attempts: 2, backoff: "fixed 1ms"}}}}
        }}
        """
    )
    assert ran.result.status == "succeeded"
    assert [row["id"] for row in store.rows("orders") or []] == [1, 2, 3]


def test_the_last_attempt_stands(store: Store) -> None:
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | <store=disk> store.insert {{ table: "orders", fail: "write", ids: [1] }}
            ! {{retry: {{attempts: 2, backoff: "fixed 1ms"}}}}
        }}
        """
    )
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.attempt == 2
    assert store.log == ["orders: 3", "orders: aborted", "closed"] * 2


def test_a_failed_commit_names_what_was_committed_before(store: Store) -> None:
    ran = store.run(
        f"""
        import "std/io" io

        workflow W {{
          {ORDERS} > orders
          orders | <store=disk> store.insert {{ table: "first" }}
          orders | <store=disk> store.insert {{ table: "second", fail: "commit" }}
          orders | <store=disk> store.insert {{ table: "third" }}
          orders | io.csv {{ path: "orders.csv" }}
        }}
        """
    )
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.message == (
        "a constraint does not hold; committed before it, and not taken back: `store.insert first`"
    )
    assert len(store.rows("first") or []) == 3
    assert store.rows("third") is None
    assert not (store.folder / "orders.csv").exists()
    assert "second: aborted" in store.log
    assert "third: aborted" in store.log


def test_rows_of_a_failed_commit_go_to_the_handler(store: Store) -> None:
    """The handler ran before, on other rows; what it did then is not lost."""
    ran = store.run(
        f"""
        import "std/io" io

        workflow W {{
          {ORDERS} > orders
          orders | <store=disk> store.insert {{ table: "first", fail: "commit" }} ? late
          orders | <store=disk> store.insert {{ table: "second", fail: "write", ids: [1] }} ? late
          orders | <store=disk> store.insert {{ table: "third" }}
        }}

        handler late {{
          * | (from input | select {{ error_msg, payload }}) | io.json {{ path: "late.jsonl" }}
        }}
        """
    )
    assert ran.result.status == "handled"
    warnings = [e.message for e in ran.events if isinstance(e, RunWarning)]
    assert warnings == ["the commit failed: a constraint does not hold"]
    assert len(store.rows("third") or []) == 3
    late = [json.loads(line) for line in (store.folder / "late.jsonl").read_text().splitlines()]
    assert sorted(row["error_msg"] for row in late) == [
        *["a constraint does not hold"] * 3,
        *["the store is full"] * 3,
    ]
    assert not list(store.folder.glob(".late*"))


@pytest.mark.parametrize("fail", ["exit", "exit_in_commit"])
def test_a_plugin_that_dies_is_a_failure_that_names_it(store: Store, fail: str) -> None:
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | <store=disk> store.insert {{ table: "orders", fail: "{fail}", ids: [3] }}
            ! {{batch: {{max_rows: 1}}}}
        }}
        """
    )
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.error_type == "PluginCrashed"
    assert "the plugin `store` ended" in ran.result.error.message
    assert store.rows("orders") is None


def test_interrupting_takes_back_what_was_written(store: Store) -> None:
    cancel = CancelToken()

    def interrupt() -> None:
        while not (store.folder / "store" / "hangs").exists():
            threading.Event().wait(0.01)
        cancel.cancel()

    thread = threading.Thread(target=interrupt)
    thread.start()
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} | <store=disk> store.insert {{ table: "orders", fail: "hang", ids: [3] }}
            ! {{batch: {{max_rows: 1}}}}
        }}
        """,
        cancel=cancel,
    )
    thread.join()
    assert ran.result.status == "cancelled"
    assert store.rows("orders") is None
    assert "orders: aborted" in store.log


def test_what_a_dead_plugin_took_is_not_committed(store: Store) -> None:
    """Another stage ends the process while written rows wait; the next process knows nothing of them."""
    ran = store.run(
        f"""
        workflow W {{
          {ORDERS} > orders
          orders | <store=disk> store.insert {{ table: "first", fail: "exit_in_commit" }} ? late
          orders | <store=disk> store.insert {{ table: "second" }}
        }}

        handler late {{
          * | (from input | select {{ error_msg }}) | <store=disk> store.insert {{ table: "late" }}
        }}
        """
    )
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.error_type == "PluginCrashed"
    assert "what `insert` had open" in ran.result.error.message
    assert store.rows("second") is None
    assert store.rows("late") is None


def test_effects_of_files_and_writers_end_together(store: Store) -> None:
    ran = store.run(
        f"""
        import "std/io" io

        workflow W {{
          {ORDERS} > orders
          orders | io.csv {{ path: "orders.csv" }}
          orders | <store=disk> store.insert {{ table: "orders" }}
        }}
        """
    )
    assert ran.result.status == "succeeded"
    targets = [os.path.basename(e.target) for e in ran.events if isinstance(e, OutputWritten)]
    assert targets == ["orders.csv", "store.insert orders"]
