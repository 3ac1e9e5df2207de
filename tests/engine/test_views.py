"""Texts that only travel past steps: not copied, and the same rows come out as with copies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.database.database import Database
from heddle.engine import Engine, RunOptions
from tests.database.asking import Asked
from tests.engine.harness import run

PLUGIN = """
import pyarrow as pa
import pyarrow.compute as pc

from heddle.core import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")


class Priced(Table):
    price: float


class Named(Table):
    note: str


class Taxed(Table):
    tax: float


class Length(Table):
    length: int


def taxed(input: Table) -> Taxed:
    return Taxed.from_arrow(pa.table({"tax": pc.multiply(input.to_arrow()["price"], 0.25)}))


@plugin.step(name="tax", rows="map", passthrough=True, deterministic=True)
def tax(input: Priced) -> Taxed:
    return taxed(input)


@plugin.step(name="tax_and_tell", rows="map", passthrough=True)
def tax_and_tell(input: Priced) -> Taxed:
    return taxed(input)


@plugin.step(name="measure", rows="map", passthrough=True, deterministic=True)
def measure(input: Named) -> Length:
    return Length.from_arrow(pa.table({"length": pc.utf8_length(input.to_arrow()["note"])}))
"""

ROWS = 5_000
CITIES = ("Oslo", "a city with a name that is not short", "")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "heddle.toml").write_text('[plugins]\n"shop" = "shop.py"\n')
    (folder / "shop.py").write_text(PLUGIN)
    ids = range(ROWS)
    orders = {
        "id": ids,
        "city": [None if i % 10 == 9 else CITIES[i % 3] for i in ids],
        "note": [f"{i % 7} and some more words" for i in ids],
        "price": [None if i == 4_000 else float(i % 5) for i in ids],
    }
    pq.write_table(pa.table(orders), folder / "orders.parquet", row_group_size=1_000)
    return folder


def program(folder: Path, steps: str, query: str, before: str = "select {id, city, note, price}") -> Path:
    path = folder / "program.he"
    path.write_text(f"""\
import "shop" shop

workflow Orders {{
  [{{ city: "Oslo" }}]
    > cities

  io.parquet {{ path: "orders.parquet" }}
    | (from input | {before})
{steps}    | (from input | {query})
    > found
}}
""")
    return path


def kept(path: Path) -> list[str]:
    """The notes of the rule."""
    with Engine.open(path, environ={}) as engine:
        checked = engine.check(ask=True)
        assert checked.program is not None, checked.diagnostics
        text = engine.explain(checked.program, RunOptions()).to_text()
    return [line.partition("steps: ")[2] for line in text.splitlines() if "keep_views" in line]


PRICED = "filter price != null | select {id, city, note, price}"
BY_CITY = "group city (aggregate { tax = sum tax, rows = count this }) | sort city"


def test_texts_beside_a_step_are_not_copied(shop: Path) -> None:
    path = program(shop, "    | shop.tax\n", BY_CITY, PRICED)
    assert kept(path) == ["city"]
    ran, plain = run(path, ["found"], inline=True), run(path, ["found"], inline=True, optimize=False)
    assert ran.outputs["found"].schema.field("city").type == pa.string()
    assert ran.rows("found") == plain.rows("found")
    assert sum(row["rows"] for row in ran.rows("found")) == ROWS - 1  # type: ignore[misc]


def test_a_text_that_a_step_names_is_plain(shop: Path) -> None:
    query = "group {city, note} (aggregate { tax = sum tax, most = max length }) | sort {city, note}"
    path = program(shop, "    | shop.tax\n    | shop.measure\n", query, PRICED)
    one_by_one = {"inline": True, "optimize": False}
    assert run(path, ["found"], inline=True).rows("found") == run(path, ["found"], **one_by_one).rows("found")


@pytest.mark.parametrize("steps", ["    | shop.tax\n", "    | shop.tax\n    | shop.measure\n"])
def test_texts_in_processes_of_plugins(shop: Path, steps: str) -> None:
    path = program(shop, steps, BY_CITY, PRICED)
    assert kept(path) == ["city"]
    assert run(path, ["found"]).rows("found") == run(path, ["found"], inline=True).rows("found")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (
            "filter (city | text.starts_with 'a') && id > 9 | aggregate { n = count this, last = max note }",
            ["city, note"],
        ),
        ("group city (aggregate { rows = count this }) | filter city == 'Oslo'", ["city"]),
        ("join side:left cities (==city) | aggregate { rows = count this }", []),
    ],
)
def test_conditions_may_speak_of_texts(shop: Path, query: str, names: list[str]) -> None:
    path = program(shop, "    | shop.tax_and_tell\n", query, PRICED)
    assert kept(path) == names
    assert run(path, ["found"], inline=True).rows("found") == (
        run(path, ["found"], inline=True, optimize=False).rows("found")
    )


def test_a_rejected_row_fails_the_run_with_its_reason(shop: Path) -> None:
    path = program(shop, "    | shop.tax\n", BY_CITY)
    assert kept(path) == ["city"]
    error = run(path, ["found"], inline=True).result.error
    assert error is not None
    assert "rejected 1 row: `price` is null" in str(error)


def test_rows_that_a_handler_may_get_are_plain(shop: Path) -> None:
    path = program(shop, "    | shop.tax ? late\n", BY_CITY)
    path.write_text(path.read_text() + '\nhandler late {\n  *\n    | io.json { path: "late.jsonl" }\n}\n')
    assert kept(path) == []
    assert run(path, ["found"], inline=True).result.status == "handled"


def test_checked_steps(shop: Path) -> None:
    path = program(shop, "    | shop.tax\n", BY_CITY, PRICED)
    assert run(path, ["found"], inline=True, check_steps=True).rows("found") == (
        run(path, ["found"], inline=True).rows("found")
    )


@pytest.mark.parametrize(
    "condition", ["where city = 'Oslo'", "WHERE tax > 0.5", "where note like '3%' and tax is not null"]
)
def test_conditions_of_clients(shop: Path, condition: str) -> None:
    path = program(shop, "    | shop.tax_and_tell\n", "select {city, note, tax}", PRICED)
    asked = (
        f"select city, count(*) as rows, max(note) as last from found {condition} group by city order by city"
    )
    with Database.open((path,)) as database:
        found = Asked(database).rows(asked)
    conditions = {
        "where city = 'Oslo'": lambda row: row["city"] == "Oslo",
        "WHERE tax > 0.5": lambda row: row["tax"] > 0.5,
        "where note like '3%' and tax is not null": lambda row: row["note"].startswith("3"),
    }
    rows = run(path, ["found"], inline=True).rows("found")
    left = [row for row in rows if conditions[condition](row)]
    assert {row["city"]: row["rows"] for row in found} == Counter(row["city"] for row in left)
