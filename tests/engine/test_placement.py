"""Where rows are dropped: joins and sorts before steps, by what files say and what steps took."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.engine import Engine, RunOptions
from heddle.logical.plan import LogicalPlan, Scan, Step
from heddle.physical.estimates import FileEstimates
from heddle.physical.events import StageFinished
from heddle.physical.step_costs import NEWEST_WEIGHT, StepCosts
from tests.engine.harness import run

ROWS = 400_000
PLUGIN = """
import pyarrow as pa
import pyarrow.compute as pc

from heddle.core import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")


class Priced(Table):
    price: float


class Taxed(Table):
    tax: float


@plugin.step(name="tax", rows="map", passthrough=True, deterministic=True)
def tax(input: Priced) -> Taxed:
    return Taxed.from_arrow(pa.table({"tax": pc.multiply(input.to_arrow()["price"], 0.25)}))
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Orders of 1,000 users, in order of their time, and the users, who are as old as their number says."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "heddle.toml").write_text('[plugins]\n"shop" = "shop.py"\n')
    ids = range(ROWS)
    orders = {"id": ids, "user": [i % 1_000 for i in ids], "price": [float(i % 7) for i in ids]}
    pq.write_table(pa.table(orders), folder / "orders.parquet", row_group_size=10_000)
    users = {"user": range(1_000), "age": range(1_000)}
    pq.write_table(pa.table(users), folder / "users.parquet")
    return folder


VERSIONS = count()


def program(folder: Path, query: str, sides: str = "") -> Path:
    """Its step is a new one, of which nothing was learned."""
    (folder / "shop.py").write_text(f"{PLUGIN}\nVERSION = {next(VERSIONS)}\n")
    path = folder / "program.he"
    path.write_text(
        f"""import "shop" shop

workflow Orders {{
  io.parquet {{ path: "users.parquet" }}
    > users

{sides}  io.parquet {{ path: "orders.parquet" }}
    | shop.tax
    | (from input | {query})
    > found
}}
"""
    )
    return path


def younger_than(age: int) -> str:
    return f"  (from users | filter age < {age})\n    > young\n\n"


JOINED = "join young (==user) | aggregate {rows = count this}"


def plan_of(path: Path) -> LogicalPlan:
    with Engine.open(path, environ={}) as engine:
        checked = engine.check()
        assert checked.program is not None, checked.diagnostics
        return engine.plan(checked.program, RunOptions())


@pytest.mark.parametrize(("age", "goes"), [(10, True), (500, True), (950, False), (2_000, False)])
def test_a_join_goes_before_a_step_where_it_drops_enough(shop: Path, age: int, goes: bool) -> None:
    notes = [n for n in plan_of(program(shop, JOINED, younger_than(age))).notes if n.rule == "push_joins"]
    assert [n.fired for n in notes] == [goes]


def test_explain_says_why_a_join_stays(shop: Path) -> None:
    (note,) = [n for n in plan_of(program(shop, JOINED, younger_than(950))).notes if n.rule == "push_joins"]
    assert "about 95% of the rows have a partner, and to find them takes 35 ns a row" in note.text


def test_the_step_gets_only_rows_with_a_partner(shop: Path) -> None:
    ran = run(program(shop, JOINED, younger_than(10)), ["found"], inline=True)
    assert ran.rows("found") == [{"rows": ROWS // 100}]
    (step,) = [e for e in ran.events if isinstance(e, StageFinished) and e.stage.endswith("shop.tax")]
    assert step.input_rows == ROWS // 100


def test_a_partner_that_is_filtered_in_the_join_itself_counts(shop: Path) -> None:
    query = "join u=users (==user) | filter u.age < 10 | aggregate {rows = count this}"
    ran = run(program(shop, query), ["found"], inline=True)
    assert ran.rows("found") == [{"rows": ROWS // 100}]
    (step,) = [e for e in ran.events if isinstance(e, StageFinished) and e.stage.endswith("shop.tax")]
    assert step.input_rows == ROWS // 100


def test_a_join_with_a_handler_of_its_own_stays(shop: Path) -> None:
    path = program(shop, JOINED, younger_than(10))
    handler = "handler park {\n  *\n    | io.stderr\n}\n\n"
    text = path.read_text().replace("workflow Orders", f"{handler}workflow Orders")
    path.write_text(text.replace("{rows = count this})", "{rows = count this}) ? park"))
    assert not [n for n in plan_of(path).notes if n.rule == "push_joins" and n.fired]


def test_the_newest_rows_are_read_from_the_end(shop: Path) -> None:
    ran = run(program(shop, "sort {-id} | take 10 | select {id, tax}"), ["found"], inline=True)
    assert ran.outputs["found"]["id"].to_pylist() == list(range(ROWS - 1, ROWS - 11, -1))
    (step,) = [e for e in ran.events if isinstance(e, StageFinished) and e.stage.endswith("shop.tax")]
    assert step.input_rows == 10
    assert ran.result.bytes_scanned < (shop / "orders.parquet").stat().st_size / 10


def test_what_files_say(shop: Path) -> None:
    scans = {
        s.path: s
        for s in plan_of(program(shop, JOINED, younger_than(10))).ops.values()
        if isinstance(s, Scan)
    }
    (orders,) = [s for s in scans.values() if s.row.column("price") is not None]
    estimates = FileEstimates(shop)
    assert estimates.rows(orders) == ROWS
    assert estimates.bounds(orders, "user") == (0, 999)
    assert estimates.bounds(orders, "nowhere") is None
    assert estimates.ascends(orders, "id")
    assert not estimates.ascends(orders, "user")


def test_what_steps_took(shop: Path) -> None:
    (step,) = [
        op for op in plan_of(program(shop, JOINED, younger_than(10))).ops.values() if isinstance(op, Step)
    ]
    costs = StepCosts()
    costs.add(step, 10, 1.0)
    assert costs.row_ns(step.call) is None, "of so few rows it tells nothing"
    costs.add(step, 1_000_000, 0.1)
    assert costs.row_ns(step.call) == pytest.approx(100)
    costs.add(step, 1_000_000, 0.2)
    assert costs.row_ns(step.call) == pytest.approx(100 + NEWEST_WEIGHT * 100)
    assert costs.magnitude(step.call) == 7
