"""Steps that run in one call: what a run gives, tells and blames is what it is step by step."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.physical.events import StageLogged, StageMetric, StageStarted
from heddle.physical.fused import STOPS_MAX
from tests.engine.harness import Ran, run

STEPS = """
import os
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core import StepConfig, StepContext, Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")


class N(Table):
    n: int


class Square(Table):
    square: int


class Word(Table):
    word: str


class Half(Table):
    half: float | None


class Settings(StepConfig):
    at: int = -1
    log: str = ""


def note(config, text):
    if config.log:
        with open(config.log, "a") as file:
            file.write(text + "\\n")


@plugin.step(name="plus", rows="map", deterministic=True)
def plus(input: N) -> N:
    return N.from_arrow(pa.table({"n": pc.add(input.to_arrow()["n"], 1)}))


@plugin.step(name="square", rows="map", passthrough=True, deterministic=True)
def square(input: N) -> Square:
    n = input.to_arrow()["n"]
    return Square.from_arrow(pa.table({"square": pc.multiply(n, n)}))


@plugin.step(name="beside", rows="map", passthrough=True, deterministic=True)
def beside(input: N) -> Word:
    table = input.to_arrow()
    return Word.from_arrow(table.append_column("word", pc.cast(table["n"], pa.large_string())))


@plugin.step(name="half", rows="map", passthrough=True, deterministic=True)
def half(input: N) -> Half:
    n = input.to_arrow()["n"]
    halves = pc.if_else(pc.equal(pc.bit_wise_and(n, 1), 0), pc.divide(n.cast(pa.float64()), 2), None)
    return Half.from_arrow(pa.table({"half": halves}))


@plugin.step(name="even", rows="filter", passthrough=True, deterministic=True)
def even(input: N) -> N:
    table = input.to_arrow()
    return N.from_arrow(table.filter(pc.equal(pc.bit_wise_and(table["n"], 1), 0)))


@plugin.step(name="low", rows="filter", passthrough=True, deterministic=True)
def low(input: N) -> N:
    table = input.to_arrow()
    return N.from_arrow(table.filter(pc.less(table["n"], 20)))


@plugin.step(name="twice", rows="flat", passthrough=True, deterministic=True)
def twice(input: N) -> N:
    table = input.to_arrow()
    return N.from_arrow(pa.concat_tables([table, table]))


@plugin.step(name="refuse", rows="map", passthrough=True, deterministic=True)
def refuse(input: N, config: Settings, context: StepContext) -> N:
    note(config, "refuse")
    context.log.info("refusing")
    context.reject(pc.equal(pc.bit_wise_and(input["n"], 7), 3), "three of eight", error_type="Three")
    return input


@plugin.step(name="fail", rows="map", passthrough=True, deterministic=True)
def fail(input: N, config: Settings, context: StepContext) -> N:
    note(config, f"attempt {context.attempt}")
    if config.at in input["n"].to_pylist():
        raise KeyError(f"n is {config.at}")
    return input


@plugin.step(name="flaky", rows="map", passthrough=True, deterministic=True)
def flaky(input: N, config: Settings, context: StepContext) -> N:
    note(config, f"attempt {context.attempt}")
    if context.attempt < 3:
        raise ConnectionError("not yet")
    return input


@plugin.step(name="lie", rows="map", deterministic=True)
def lie(input: N) -> N:
    return Table.from_arrow(input.to_arrow().slice(1))


@plugin.step(name="tell", rows="map", passthrough=True, deterministic=True)
def tell(input: N, context: StepContext) -> N:
    context.log.info("told", extra={"step": context.step, "key": context.idempotency_key})
    context.metric("seen", len(input), "rows")
    return input


@plugin.step(name="die", rows="map", passthrough=True, deterministic=True)
def die(input: N, config: Settings) -> N:
    path = Path(config.log)
    note(config, "here")
    if len(path.read_text().splitlines()) <= config.at:
        os.kill(os.getpid(), signal.SIGKILL)
    return input


@plugin.step(name="all", rows="table", passthrough=True, deterministic=True)
def all_rows(input: N) -> N:
    return input
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "heddle.toml").write_text('[plugins]\n"shop" = "shop.py"\n')
    (tmp_path / "shop.py").write_text(STEPS)
    rows = pa.table({"n": list(range(50)), "kind": list("abcde") * 10, "note": [None, "x"] * 25})
    pq.write_table(rows, tmp_path / "numbers.parquet")
    return tmp_path


def ran(
    folder: Path, calls: str, *, optimize: bool = True, header: str = "", more: str = "", **options: object
) -> Ran:
    stages = "\n".join(f"    | {call.strip()}" for call in calls.split(";"))
    head = f'import "shop" shop\n\nworkflow W {header} {{\n  io.parquet {{ path: "numbers.parquet" }}\n'
    text = f"{head}{stages}\n    > done\n}}\n{textwrap.dedent(more)}".replace("LOG", str(folder / "log"))
    (folder / "program.he").write_text(text)
    options = {"batch_rows": 16, **options}
    return run(folder / "program.he", ["W.done"], optimize=optimize, **options)


def labels(done: Ran) -> list[str]:
    return [e.label for e in done.events if isinstance(e, StageStarted)]


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "plugin"])
@pytest.mark.parametrize(
    "calls",
    [
        "shop.plus ; shop.plus ; shop.plus",
        "shop.square ; shop.beside ; shop.half",
        "shop.even ; shop.square ; shop.low",
        "shop.low ; shop.twice ; shop.beside ; shop.even",
        "shop.beside ; shop.plus ; shop.square",
        "shop.square ; shop.all ; shop.even ; shop.half",
        "shop.low ; shop.low ; shop.square ; shop.plus ; shop.twice",
        "shop.low\n    > few\n\n  (from few) ; shop.square ; shop.beside",
    ],
)
def test_the_answer_is_that_of_single_calls(folder: Path, calls: str, inline: bool) -> None:
    fused = ran(folder, calls, inline=inline)
    single = ran(folder, calls, inline=inline, optimize=False)
    assert fused.result.error is None and single.result.error is None
    assert any("in one call" in label for label in labels(fused))
    assert fused.outputs["W.done"].equals(single.outputs["W.done"])


def test_columns_that_nothing_reads_do_not_disturb(folder: Path) -> None:
    calls = "shop.square ; shop.beside ; (from input | filter square > 4 | select { n, square })"
    fused, single = ran(folder, calls), ran(folder, calls, optimize=False)
    assert fused.outputs["W.done"].equals(single.outputs["W.done"])


def test_no_rows_at_all(folder: Path) -> None:
    calls = "(from input | filter n < 0) ; shop.even ; shop.square"
    fused = ran(folder, calls).outputs["W.done"]
    assert (fused.num_rows, fused.column_names) == (0, ["n", "kind", "note", "square"])


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "plugin"])
def test_the_step_that_fails_is_named(folder: Path, inline: bool) -> None:
    calls = "shop.plus ; shop.fail { at: 40 } ; shop.plus"
    fused, single = (
        ran(folder, calls, optimize=optimize, inline=inline, batch_rows=100).result.error
        for optimize in (True, False)
    )
    assert fused is not None and single is not None
    assert (fused.stage, fused.step, fused.error_type) == ("W/1.2:shop.fail", "shop.fail", "KeyError")
    assert (fused.message, fused.attempt) == (single.message, single.attempt)
    assert "raise KeyError" in fused.stack_trace


def test_the_step_that_lies_is_named(folder: Path) -> None:
    error = ran(folder, "shop.plus ; shop.lie ; shop.plus", batch_rows=100).result.error
    assert error is not None
    assert (error.stage, error.error_type) == ("W/1.2:shop.lie", "ContractError")
    assert '`shop.lie` has rows="map"' in error.message


HANDLER = """
handler kept {
  *
    | (from input | select { error_msg, error_type, step, payload, workflow, attempt })
    | io.parquet { path: "errors.parquet" }
}
"""


@pytest.mark.parametrize(
    "calls",
    [
        "shop.square ; shop.refuse ; shop.beside",
        "shop.plus ; shop.plus ; shop.refuse",
        "shop.refuse ; shop.plus ; shop.refuse",
        "shop.plus ; shop.fail { at: 10 } ; shop.square",
    ],
)
def test_a_handler_gets_the_rows_of_the_right_step(folder: Path, calls: str) -> None:
    frames = []
    for optimize in (True, False):
        done = ran(folder, calls, optimize=optimize, header="? kept", more=HANDLER)
        assert done.result.status == "handled"
        errors = pq.read_table(folder / "errors.parquet").sort_by(
            [("step", "ascending"), ("payload", "ascending")]
        )
        frames.append((errors.to_pylist(), done.outputs.get("W.done")))
    (fused, rows), (single, other_rows) = frames
    assert fused == single
    assert rows == other_rows


def test_a_step_that_often_rejects_is_called_by_itself(folder: Path) -> None:
    calls = 'shop.plus ; shop.refuse { log: "LOG" } ; shop.plus'
    done = ran(folder, calls, header="? kept", more=HANDLER, batch_rows=8)
    batches = 7
    assert (folder / "log").read_text().splitlines() == ["refuse"] * (batches + STOPS_MAX)
    logged = [e for e in done.events if isinstance(e, StageLogged)]
    assert Counter(e.stage for e in logged) == {"W/1.2:shop.refuse": batches}


def test_what_a_step_tells_is_told_of_it(folder: Path) -> None:
    done = ran(folder, "shop.tell ; shop.plus ; shop.tell", batch_rows=25)
    logged = [e for e in done.events if isinstance(e, StageLogged)]
    assert [e.stage for e in logged] == ["W/1.1:shop.tell", "W/1.3:shop.tell"] * 2
    assert {e.fields["step"] for e in logged} == {"shop.tell"}
    keys = [e.fields["key"].partition("/")[2] for e in logged]
    assert keys == ["W/1.1:shop.tell/0", "W/1.3:shop.tell/0", "W/1.1:shop.tell/1", "W/1.3:shop.tell/1"]
    seen = [(e.stage, e.value) for e in done.events if isinstance(e, StageMetric)]
    assert seen == [("W/1.1:shop.tell", 25.0), ("W/1.3:shop.tell", 25.0)] * 2


def test_a_step_has_its_attempts(folder: Path) -> None:
    policy = '! { retry: { attempts: 3, backoff: "fixed 1ms" } }'
    done = ran(folder, 'shop.plus ; shop.flaky { log: "LOG" } ; shop.plus', header=policy, batch_rows=100)
    assert done.result.error is None
    assert (folder / "log").read_text().splitlines() == ["attempt 1", "attempt 2", "attempt 3"]
    assert [r["n"] for r in done.rows("W.done")] == list(range(2, 52))


def test_the_end_of_the_plugin_is_a_failure_of_the_call(folder: Path) -> None:
    error = ran(folder, 'shop.plus ; shop.die { at: 9, log: "LOG" } ; shop.plus').result.error
    assert error is not None
    assert error.error_type == "PluginCrashed"
    assert error.step == "shop.plus | shop.die | shop.plus"
    assert (folder / "log").read_text().splitlines() == ["here"]


def test_after_the_end_of_the_plugin_each_step_has_its_attempts(folder: Path) -> None:
    policy = '! { retry: { attempts: 2, backoff: "fixed 1ms" } }'
    calls = 'shop.plus ; shop.die { at: 1, log: "LOG" } ; shop.plus'
    done = ran(folder, calls, header=policy, batch_rows=100)
    assert done.result.error is None
    assert [r["n"] for r in done.rows("W.done")] == list(range(2, 52))


def test_calls_side_by_side_keep_the_order_of_rows(folder: Path) -> None:
    done = ran(folder, "shop.plus ; shop.plus", header="! { concurrency: 3 }", batch_rows=4)
    assert "2 steps in one call" in labels(done)
    assert [r["n"] for r in done.rows("W.done")] == list(range(2, 52))
