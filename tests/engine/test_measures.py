"""What a run tells about its work on each engine: bytes, CPU time, calls and spills; explain's plans."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from heddle.engine import Engine, RunOptions
from heddle.logical.explain import ExplainNode, Explanation
from heddle.logical.plan import EngineChoice
from heddle.physical.cancel import CancelToken
from heddle.physical.events import RunFinished, StageFinished
from heddle.std.sinks import Streams
from tests.engine.harness import Ran, run

ROWS = 100_000

STEPS = """
import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin("made")


class Row(Table):
    id: int


class Doubled(Table):
    twice: int


@plugin.step(name="double", rows="map", passthrough=True, deterministic=True)
def double(input: Row) -> Doubled:
    table = input.to_arrow()
    return Doubled(table.append_column("twice", pc.multiply(table["id"], 2)))
"""

READ = 'step orders = io.parquet { path: "orders.parquet" }\n\n'
GROUPED = (
    READ
    + "workflow W {\n  (from orders | group k ( aggregate { n = count this } ) | sort k)\n    > groups\n}\n"
)
STEPPED = f"""\
import "./made.py" made

{READ}workflow W {{
  orders
    | made.double
    | (group k ( aggregate {{ t = sum twice }} ) | sort k)
    > groups
}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ids = range(ROWS)
    orders = {
        "id": pa.array(ids, pa.int64()),
        "k": pa.array([i % 7 for i in ids], pa.int64()),
        "note": pa.array([f"note {i * 7919 % ROWS}" for i in ids]),
    }
    pq.write_table(pa.table(orders), tmp_path / "orders.parquet")
    (tmp_path / "made.py").write_text(STEPS)
    return tmp_path


def program(folder: Path, text: str) -> Path:
    path = folder / "main.he"
    path.write_text(text)
    return path


def analyzed(path: Path, engine: EngineChoice = "auto") -> Explanation:
    with Engine.open(path) as opened:
        checked = opened.check().program
        assert checked is not None
        streams = Streams(io.StringIO(), io.StringIO())
        options = RunOptions(engine=engine, inline=True)
        explanation, result = opened.analyze(checked, options, lambda event: None, CancelToken(), streams)
        assert result.status == "succeeded"
    return explanation


def explained(path: Path, engine: EngineChoice) -> Explanation:
    with Engine.open(path) as opened:
        checked = opened.check().program
        assert checked is not None
        return opened.explain(checked, RunOptions(engine=engine))


def nodes(explanation: Explanation) -> dict[str, ExplainNode]:
    """By the first word of the label."""
    found: dict[str, ExplainNode] = {}
    waiting = list(explanation.roots)
    while waiting:
        node = waiting.pop()
        found.setdefault(node.label.split()[0], node)
        waiting += node.children
    return found


def column_bytes(folder: Path, column: int) -> int:
    footer = pq.read_metadata(folder / "orders.parquet")
    return sum(footer.row_group(i).column(column).total_compressed_size for i in range(footer.num_row_groups))


def finished(ran: Ran) -> list[StageFinished]:
    return [event for event in ran.events if isinstance(event, StageFinished)]


@pytest.mark.parametrize("engine", ["duckdb", "datafusion"])
def test_bytes_are_those_of_the_columns_that_are_read(folder: Path, engine: EngineChoice) -> None:
    ran = run(program(folder, GROUPED), ["groups"], engine=engine)
    file_bytes = (folder / "orders.parquet").stat().st_size
    read = column_bytes(folder, 1)
    assert read <= ran.result.bytes_scanned < min(file_bytes / 2, read + 200_000)
    (last,) = (event for event in ran.events if isinstance(event, RunFinished))
    assert last.bytes_scanned == ran.result.bytes_scanned
    assert sum(stage.bytes_scanned for stage in finished(ran)) == ran.result.bytes_scanned


def test_a_mixed_run_counts_each_file_once(folder: Path) -> None:
    """A join of what a step gave with a file: one of them is read by DataFusion, the other by DuckDB."""
    pq.write_table(pa.table({"key": pa.array(range(7), pa.int64())}), folder / "keys.parquet")
    text = STEPPED.replace("workflow", 'step keys = io.parquet { path: "keys.parquet" }\n\nworkflow')
    text = text.replace("| (group k (", "| (join keys (this.k == that.key) | group k (")
    ran = run(program(folder, text), ["groups"], inline=True)
    by_stage = {stage.stage: stage.bytes_scanned for stage in finished(ran)}
    assert ran.result.bytes_scanned == sum(by_stage.values())
    assert sum(read > 0 for read in by_stage.values()) == 2


@pytest.mark.parametrize("engine", ["duckdb", "datafusion"])
def test_analyze_tells_of_each_stage(folder: Path, engine: EngineChoice) -> None:
    found = nodes(analyzed(program(folder, GROUPED), engine))
    query = found["query"].measured
    assert query.numbers["rows"] == 7
    assert query.numbers["batches"] >= 1
    assert query.numbers["cpu_s"] > 0
    assert query.lines[0].startswith("7 rows in ")
    assert "CPU" in query.lines[0]
    assert query.lines[1].endswith("read from files")
    assert found["io.print"].measured.numbers["rows"] == 7
    assert not found["scan"].measured.lines


def test_analyze_tells_of_calls(folder: Path) -> None:
    step = nodes(analyzed(program(folder, STEPPED)))["step"].measured
    assert (step.numbers["calls"], step.numbers["input_rows"]) == (2, ROWS)
    assert "2 calls, 50,000 rows a call" in step.lines
    assert "CPU of the engine" in step.lines[0]


@pytest.mark.parametrize("engine", ["duckdb", "datafusion"])
def test_a_stage_tells_what_it_spilled(folder: Path, engine: EngineChoice) -> None:
    ids = pa.array(range(1_000_000), pa.int64())
    note = pc.cast(pc.multiply(ids, 7919), pa.string())
    pq.write_table(pa.table({"id": ids, "note": note}), folder / "orders.parquet")
    text = READ + "workflow W {\n  (from orders | sort { note, -id })\n    > sorted\n}\n"
    ran = run(program(folder, text), ["sorted"], memory_bytes=64 << 20, engine=engine)
    assert ran.result.status == "succeeded", ran.result.error
    assert max(stage.spilled_bytes for stage in finished(ran)) > 1_000_000


def test_a_stage_in_json_has_its_numbers(folder: Path) -> None:
    (root,) = analyzed(program(folder, GROUPED)).to_data()["roots"]  # type: ignore[misc]
    assert root["numbers"]["rows"] == 7


def test_the_plan_is_that_of_the_engine_that_runs_it(folder: Path) -> None:
    path = program(folder, GROUPED.replace("from orders", "from orders | filter id > 10"))
    on_duckdb, on_datafusion = explained(path, "duckdb"), explained(path, "datafusion")
    (duckdb_plan,), (datafusion_plan,) = on_duckdb.plans.values(), on_datafusion.plans.values()
    assert "read_parquet(['" in duckdb_plan.sql
    assert "READ_PARQUET" in duckdb_plan.physical and "HASH_GROUP_BY" in duckdb_plan.physical
    assert "DataSourceExec" in datafusion_plan.physical
    for plan in (duckdb_plan, datafusion_plan):
        ((path_of_scan, pushed),) = plan.pushed
        assert path_of_scan == "step/orders"
        assert set(pushed.columns or ()) <= {"id", "k"}
        (only,) = pushed.filters
        assert "id" in only and "10" in only


def test_a_table_read_twice_shows_both_scans(folder: Path) -> None:
    query = "join other = orders (this.id == other.k) | aggregate { n = count this, top = max other.note }"
    text = READ + f"workflow W {{\n  (from orders | filter k == 3 | {query})\n    > n\n}}\n"
    for engine in ("duckdb", "datafusion"):
        (plan,) = explained(program(folder, text), engine).plans.values()  # type: ignore[arg-type]
        assert [path for path, _ in plan.pushed] == ["step/orders"] * 2
        assert {frozenset(pushed.columns or ()) for _, pushed in plan.pushed} >= {frozenset({"k", "note"})}


def test_a_stream_into_duckdb_shows_its_columns(folder: Path) -> None:
    text = STEPPED.replace(
        "group k ( aggregate { t = sum twice } ) | sort k", "sort {-twice} | select { twice }"
    )
    found = nodes(explained(program(folder, text), "duckdb"))["query"]
    assert any("made.double: columns twice" in line for line in found.details)
