"""Fragments on DuckDB and on DataFusion: which runs where, the same rows, the same errors, nothing left."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from heddle.engine import Engine, RunOptions
from heddle.errors import UsageError
from heddle.frontend.typed import TypedProgram
from heddle.logical.plan import EngineChoice, Fragment
from heddle.physical.cancel import CancelToken
from heddle.std.sinks import Streams
from tests.engine.harness import run
from tests.waiting import until

ORDERS = 200_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ids = range(ORDERS)
    orders = {
        "id": pa.array(ids, pa.int64()),
        "customer": pa.array([i % 1_000 for i in ids], pa.int64()),
        "amount": pa.array([None if i % 97 == 0 else i % 500 / 4 for i in ids], pa.float64()),
        "note": pa.array([f"note {i}" for i in ids]),
    }
    pq.write_table(pa.table(orders), tmp_path / "orders.parquet")
    names = "".join(f"{i},c{i}\n" for i in range(1_000))
    (tmp_path / "customers.csv").write_text("number,name\n" + names)
    return tmp_path


def program(folder: Path, text: str) -> Path:
    path = folder / "main.he"
    path.write_text(text)
    return path


JOINED = """
step orders = io.parquet { path: "orders.parquet" }
step customers = io.csv { path: "customers.csv" }

workflow Sales {
  (
    from orders
    join customers (customer == number)
    group name ( aggregate { total = sum amount, n = count this, usual = average amount } )
    sort { -total, name }
  )
    > totals
}
"""


def engines_of(path: Path, choice: EngineChoice = "auto") -> list[str]:
    with Engine.open(path) as engine:
        program = engine.check().program
        assert program is not None
        text = engine.explain(program, RunOptions(engine=choice)).to_text()
    return [line.split(", ")[0].split()[-1] for line in text.splitlines() if " quer" in line and ", " in line]


def test_a_join_and_a_group_go_to_duckdb(folder: Path) -> None:
    assert engines_of(program(folder, JOINED)) == ["duckdb"]


def test_what_only_filters_stays_on_datafusion(folder: Path) -> None:
    text = 'step orders = io.parquet { path: "orders.parquet" }\n'
    path = program(folder, text + "workflow W { (from orders | filter amount > 3) > some }\n")
    assert engines_of(path) == ["datafusion"]
    assert engines_of(path, "duckdb") == ["duckdb"]


DOUBLING = """
import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="steps")


class Amount(Table):
    amount: float | None


@plugin.step(name="double", rows="map", passthrough=True, deterministic=True)
def double(input: Amount) -> Amount:
    return Amount.from_arrow(pa.table({"amount": pc.multiply(input.to_arrow()["amount"], 2.0)}))
"""


@pytest.mark.parametrize(
    ("query", "engine"),
    [
        ("group customer ( aggregate { total = sum amount } ) | sort customer", "datafusion"),
        ("aggregate { total = sum amount }", "datafusion"),
        ("sort { -amount, id } | take 10", "datafusion"),
        ("sort { -amount, id }", "duckdb"),
        ("group customer ( sort id | derive before = lag 1 amount ) | sort id", "duckdb"),
    ],
)
def test_what_a_step_streams_is_grouped_on_datafusion(folder: Path, query: str, engine: str) -> None:
    (folder / "steps.py").write_text(DOUBLING)
    text = 'import "./steps" steps\n\nstep orders = io.parquet { path: "orders.parquet" }\n\n'
    text += (
        f"workflow W {{\n  (from orders)\n    | steps.double\n    | (from input | {query})\n    > found\n}}\n"
    )
    path = program(folder, text)
    assert engines_of(path)[0] == engine
    tables = [
        run(path, ["found"], engine=choice, inline=True).outputs["found"] for choice in ("auto", "duckdb")
    ]
    assert tables[0].equals(tables[1])


def test_both_give_the_same_rows(folder: Path) -> None:
    path = program(folder, JOINED)
    tables = [run(path, ["totals"], engine=choice).outputs["totals"] for choice in ("duckdb", "datafusion")]
    assert tables[0].schema.types == tables[1].schema.types
    assert tables[0].num_rows == 1_000
    for name in tables[0].column_names:
        left, right = (table[name].to_pylist() for table in tables)
        assert left == (pytest.approx(right) if name == "usual" else right), name


def test_a_wish_that_cannot_be_had_is_refused_before_anything_runs(folder: Path) -> None:
    text = 'step orders = io.parquet { path: "orders.parquet" }\n'
    path = program(
        folder, text + "workflow W { (from orders | derive { up = text.upper note } | sort up) > sorted }\n"
    )
    assert run(path, ["sorted"]).outputs["sorted"].num_rows == ORDERS
    with pytest.raises(UsageError, match=r"cannot run on duckdb: `text.upper`"):
        run(path, engine="duckdb")


def test_a_wish_that_a_handler_cannot_have_is_refused_before_anything_runs(folder: Path) -> None:
    path = program(
        folder,
        'step orders = io.parquet { path: "orders.parquet" }\n\n'
        "handler kept {\n  *\n    | (from input | derive { up = text.upper error_msg } | select { up })\n"
        "    | io.print\n}\n\n"
        "workflow W ? kept {\n  (from orders | aggregate { n = count this })\n    > counted\n}\n",
    )
    assert run(path, ["counted"]).rows("counted") == [{"n": ORDERS}]
    with pytest.raises(UsageError, match=r"cannot run on duckdb: `text.upper`"):
        run(path, ["counted"], engine="duckdb")


STEPS = """
from collections.abc import Iterator

from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin("made")


class Rows(Table):
    k: int
    v: int


class Count(StepConfig):
    count: int


@plugin.step(name="numbers")
def numbers(config: Count) -> Iterator[Rows]:
    for start in range(0, config.count, 10_000):
        ids = range(start, min(start + 10_000, config.count))
        yield Rows.from_pylist([{"k": i % 7, "v": i} for i in ids])
"""


def stream(folder: Path, query: str) -> Path:
    (folder / "made.py").write_text(STEPS)
    return program(
        folder,
        'import "./made.py" made\n\nstep source = made.numbers { count: 300000 }\n\n'
        f"workflow W {{\n  source\n    {query}\n}}\n",
    )


def test_rows_of_a_step_stream_into_duckdb(folder: Path) -> None:
    path = stream(folder, "| (group k ( aggregate { total = sum v } ) | sort k)\n    > totals")
    totals = run(path, ["totals"], inline=True).rows("totals")
    assert [row["k"] for row in totals] == list(range(7))
    assert sum(int(str(row["total"])) for row in totals) == 300_000 * 299_999 // 2


def test_a_limit_ends_a_stream_early(folder: Path) -> None:
    path = stream(folder, "| (take 5)\n    > some")
    before = threading.active_count()
    assert run(path, ["some"], inline=True, engine="duckdb").outputs["some"].num_rows == 5
    until(lambda: threading.active_count() <= before + 1, "threads stay behind")


def test_an_overflow_is_left_to_datafusion(folder: Path) -> None:
    """DuckDB takes the literal for 32 bits, like the column."""
    pq.write_table(pa.table({"k": pa.array([2_000_000_000, 1], pa.int32())}), folder / "small.parquet")
    path = program(
        folder,
        'step small = io.parquet { path: "small.parquet" }\n'
        "workflow W { (from small | derive { twice = k * 2 } | sort twice) > doubled }\n",
    )
    for choice in ("auto", "duckdb", "datafusion"):
        assert run(path, ["doubled"], engine=choice).rows("doubled")[-1]["twice"] == 4_000_000_000


def test_a_file_that_is_cut_off_is_named(folder: Path) -> None:
    path = program(folder, JOINED)
    whole = (folder / "orders.parquet").read_bytes()
    with Engine.open(path) as engine:
        checked = engine.check().program
        assert checked is not None
        (folder / "orders.parquet").write_bytes(b"PAR1" + b"\0" * 1_000 + whole[-len(whole) // 2 :])
        result = engine.run(
            checked, RunOptions(), lambda event: None, CancelToken(), Streams(io.StringIO(), io.StringIO())
        )
    assert result.status == "failed"
    assert result.error is not None
    assert "orders.parquet" in result.error.message


def test_cancelling_ends_a_query(folder: Path) -> None:
    path = program(
        folder,
        'step orders = io.parquet { path: "orders.parquet" }\n'
        "workflow W {\n  (\n    from orders\n    join other = orders (this.amount > that.amount)\n"
        "    aggregate { n = count this, s = sum other.id }\n  )\n    > huge\n}\n",
    )
    cancel = CancelToken()
    threading.Timer(1.0, cancel.cancel).start()
    assert run(path, cancel=cancel).result.status == "cancelled"


def test_a_small_budget_spills_and_finishes(folder: Path) -> None:
    path = program(
        folder,
        'step orders = io.parquet { path: "orders.parquet" }\n'
        "workflow W {\n  (\n    from orders\n    group { id, note } ( aggregate { t = sum amount } )\n"
        "    sort { -t, id }\n  )\n    > all\n}\n",
    )
    ran = run(path, ["all"], memory_bytes=48 << 20)
    assert ran.result.status == "succeeded", ran.result.error
    assert ran.outputs["all"].num_rows == ORDERS


def test_no_instance_is_shared_by_two_runs(folder: Path) -> None:
    path = program(folder, JOINED)
    results: list[int] = []

    def one() -> None:
        results.append(run_in(folder, path))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1_000] * 6


def run_in(folder: Path, path: Path) -> int:
    with Engine.open(path) as engine:
        checked = engine.check().program
        assert checked is not None
        target = folder / f"{threading.get_ident()}.parquet"
        options = RunOptions(outputs={"totals": str(target)})
        assert (
            engine.run(
                checked, options, lambda e: None, CancelToken(), Streams(io.StringIO(), io.StringIO())
            ).error
            is None
        )
        return pq.read_metadata(target).num_rows


def test_the_choice_is_part_of_the_plan(folder: Path) -> None:
    with Engine.open(program(folder, JOINED)) as engine:
        checked = engine.check().program
        assert checked is not None
        plan = engine.plan(checked, RunOptions())
    assert all(op.engine == "datafusion" for op in plan.ops.values() if isinstance(op, Fragment))


SPENT = """
step orders = io.parquet { path: "orders.parquet" }

workflow Spent {
  (from orders | group customer ( aggregate { n = count this, most = max amount } ) | sort customer)
    > spent
}
"""


def test_a_query_that_duckdb_knows_sees_the_file_as_it_is(folder: Path) -> None:
    """Other rows, other columns beside, another type: all after the instance has run the query."""
    file, answer = folder / "orders.parquet", folder / "answer.parquet"

    def most(engine: Engine, checked: TypedProgram) -> list[dict[str, object]]:
        options = RunOptions(outputs={"spent": str(answer)})
        streams = Streams(io.StringIO(), io.StringIO())
        result = engine.run(checked, options, lambda event: None, CancelToken(), streams)
        assert result.error is None, result.error
        return pq.read_table(answer).to_pylist()

    with Engine.open(program(folder, SPENT)) as engine:
        checked = engine.check().program
        assert checked is not None
        assert len(most(engine, checked)) == 1_000
        amounts = pa.array([2.5, 3.5], pa.float64())
        pq.write_table(pa.table({"amount": amounts, "customer": [7, 7], "other": ["a", "b"]}), file)
        assert most(engine, checked) == [{"customer": 7, "n": 2, "most": 3.5}]
        pq.write_table(pa.table({"amount": amounts.cast(pa.float32()), "customer": [8, 9]}), file)
        assert [row["most"] for row in most(engine, checked)] == [2.5, 3.5]
        file.unlink()
        with pytest.raises(AssertionError, match=r"orders\.parquet"):
            most(engine, checked)


@pytest.mark.parametrize("query", ["filter a > 5", "group s ( aggregate { n = count this } )"])
def test_a_large_arrow_file_is_read_in_one_piece(tmp_path: Path, query: str) -> None:
    """DataFusion takes a part of a divided Arrow file into memory before it gives a row of it; what is
    read after it is divided."""
    rows = pa.table({"a": pa.array(range(2_000_000), pa.int64()), "s": ["long enough"] * 2_000_000})
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=65_536)
    pa.csv.write_csv(rows, tmp_path / "rows.csv")
    formats = ("arrow", "csv")
    steps = "".join(f'step {name} = io.{name} {{ path: "rows.{name}" }}\n' for name in formats)
    flows = [f"workflow {n.title()} {{\n  (from {n} | {query})\n    > of_{n}\n}}\n" for n in formats]
    with Engine.open(program(tmp_path, steps + "\n" + "\n".join(flows))) as engine:
        checked = engine.check().program
        assert checked is not None
        explained = engine.explain(checked, RunOptions(engine="datafusion"))
    whole = ["file_groups={1 group" in plan.physical for plan in explained.plans.values()]
    assert whole == [True, False]
