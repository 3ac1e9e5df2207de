"""Policies of a step: attempts and back-off, timeouts, calls at a time, and sizes of calls."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from heddle.physical.events import StepRetried
from tests.engine.harness import Ran, run

STEPS = '''
import threading
import time
from pathlib import Path

import pyarrow as pa

from heddle.core import Table
from heddle.core.step import StepConfig
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")
together = 0
most = 0
lock = threading.Lock()


class Counting(StepConfig):
    log: str
    fail: int = 0


def note(config, text):
    with open(config.log, "a") as log:
        log.write(text + "\\n")


@plugin.step(name="flaky", rows="map", deterministic=True)
def flaky(config: Counting, input: Table) -> Table:
    note(config, "call")
    if len(Path(config.log).read_text().splitlines()) <= config.fail:
        raise ConnectionError("try again")
    return input


@plugin.step(name="write", rows="map", effect=True)
def write(config: Counting, input: Table) -> Table:
    note(config, "call")
    raise ConnectionError("the line is dead")


@plugin.step(name="slow", rows="map", deterministic=True)
def slow(config: Counting, input: Table) -> Table:
    note(config, "call")
    time.sleep(30)
    return input


@plugin.step(name="side_by_side", rows="map", deterministic=True)
def side_by_side(config: Counting, input: Table) -> Table:
    """Each call waits until another one is under way, which can only be when two run at a time."""
    barrier.wait(timeout=60)
    note(config, str(input.num_rows))
    return input


barrier = threading.Barrier(2)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "heddle.toml").write_text('[plugins]\n"shop" = "shop.py"\n')
    (tmp_path / "shop.py").write_text(STEPS)
    return tmp_path


def run_step(folder: Path, call: str, *, rows: int = 2, header: str = "", batch_rows: int = 1000) -> Ran:
    table = "\n".join(f"    {{ id: {i} }}" for i in range(rows))
    text = f"""
    import "shop" shop

    workflow W {header} {{
      [
    {table}
      ]
        | {call.replace("LOG", json.dumps(str(folder / "log")))}
        > done
    }}
    """
    (folder / "program.he").write_text(textwrap.dedent(text))
    return run(folder / "program.he", ["done"], batch_rows=batch_rows)


def calls(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def retries(ran: Ran) -> list[StepRetried]:
    return [e for e in ran.events if isinstance(e, StepRetried)]


def test_a_step_is_tried_again_until_it_succeeds(folder: Path) -> None:
    call = 'shop.flaky { log: LOG, fail: 2 } ! {retry: {attempts: 3, backoff: "fixed 1ms"}}'
    ran = run_step(folder, call)
    assert ran.result.status == "succeeded"
    assert [r["id"] for r in ran.rows("done")] == [0, 1]
    assert len(calls(folder)) == 3
    assert [(r.attempt, r.error_type) for r in retries(ran)] == [
        (1, "ConnectionError"),
        (2, "ConnectionError"),
    ]


def test_the_last_attempt_names_its_number(folder: Path) -> None:
    ran = run_step(folder, 'shop.flaky { log: LOG, fail: 9 } ! {retry: {attempts: 2, backoff: "fixed 1ms"}}')
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.attempt == 2


def test_only_the_named_errors_are_tried_again(folder: Path) -> None:
    call = 'shop.flaky { log: LOG, fail: 1 } ! {retry: {attempts: 5, backoff: "fixed 1ms", on: ["Timeout"]}}'
    ran = run_step(folder, call)
    assert ran.result.status == "failed"
    assert len(calls(folder)) == 1


def test_without_a_policy_nothing_is_tried_again(folder: Path) -> None:
    ran = run_step(folder, "shop.flaky { log: LOG, fail: 1 }")
    assert ran.result.status == "failed"
    assert len(calls(folder)) == 1


def test_a_workflows_retry_does_not_reach_a_step_that_writes(folder: Path) -> None:
    ran = run_step(folder, "shop.write { log: LOG }", header="! {retry: 3}")
    assert ran.result.status == "failed"
    assert len(calls(folder)) == 1


def test_a_step_that_writes_is_tried_again_when_its_own_policy_says_so(folder: Path) -> None:
    ran = run_step(folder, 'shop.write { log: LOG } ! {retry: {attempts: 3, backoff: "fixed 1ms"}}')
    assert ran.result.status == "failed"
    assert len(calls(folder)) == 3


def test_a_call_that_takes_too_long_fails(folder: Path) -> None:
    ran = run_step(folder, 'shop.slow { log: LOG } ! {timeout: "50ms"}')
    assert ran.result.status == "failed"
    assert ran.result.error is not None
    assert ran.result.error.error_type == "Timeout"
    assert ran.result.error.message == "no answer within 0.05 s"


def test_calls_run_side_by_side_and_keep_the_order_of_rows(folder: Path) -> None:
    ran = run_step(folder, "shop.side_by_side { log: LOG } ! {concurrency: 2}", rows=8, batch_rows=2)
    assert ran.result.status == "succeeded", ran.result.error
    assert [r["id"] for r in ran.rows("done")] == list(range(8))


def test_a_policy_bounds_the_rows_of_a_call(folder: Path) -> None:
    call = "shop.side_by_side { log: LOG } ! {concurrency: 2, batch: {max_rows: 3}}"
    ran = run_step(folder, call, rows=12)
    assert ran.result.status == "succeeded", ran.result.error
    assert calls(folder) == ["3", "3", "3", "3"]
