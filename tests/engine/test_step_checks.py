"""`check_steps`: a step that does not do what it declares is named, with what it declared and what it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.harness import run

SHOP = """
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")
calls = itertools.count()


class Priced(Table):
    price: float


class Taxed(Table):
    tax: float


@plugin.step(name="honest", rows="map", passthrough=True, deterministic=True)
def honest(input: Priced) -> Taxed:
    return Taxed.from_arrow(pa.table({"tax": pc.multiply(input.to_arrow()["price"], 0.25)}))


@plugin.step(name="cheap", rows="filter", passthrough=True, deterministic=True)
def cheap(input: Priced) -> Priced:
    table = input.to_arrow()
    return Priced.from_arrow(table.filter(pc.less(table["price"], 3.0)))


@plugin.step(name="unsteady", rows="map", passthrough=True, deterministic=True)
def unsteady(input: Priced) -> Taxed:
    return Taxed.from_arrow(pa.table({"tax": pc.add(input.to_arrow()["price"], float(next(calls)))}))


@plugin.step(name="recorded", rows="map", passthrough=True, effect=False)
def recorded(input: Priced) -> Taxed:
    return unsteady(input)


@plugin.step(name="centred", rows="map", passthrough=True, deterministic=True)
def centred(input: Priced) -> Taxed:
    prices = input.to_arrow()["price"]
    return Taxed.from_arrow(pa.table({"tax": pc.subtract(prices, pc.mean(prices))}))


@plugin.step(name="turned", rows="filter", passthrough=True, deterministic=True)
def turned(input: Priced) -> Priced:
    table = input.to_arrow()
    return Priced.from_arrow(table.take(list(reversed(range(table.num_rows)))))


@plugin.step(name="renumbered", rows="flat", passthrough=True, deterministic=True)
def renumbered(input: Priced) -> Priced:
    table = input.to_arrow()
    ids = pc.add(table["id"], 10)
    return Priced.from_arrow(table.set_column(table.schema.get_field_index("id"), "id", ids))
"""

PROGRAM = """import "shop" shop

workflow W {{
  [
    {{ id: 1, price: 1.0 }}
    {{ id: 2, price: 2.0 }}
    {{ id: 3, price: 4.0 }}
  ]
    | shop.{step}
    | io.stdout
}}
"""


def _project(folder: Path, step: str) -> Path:
    (folder / "heddle.toml").write_text('[plugins]\n"shop" = "shop.py"\n')
    (folder / "shop.py").write_text(SHOP)
    path = folder / "program.he"
    path.write_text(PROGRAM.format(step=step))
    return path


@pytest.mark.parametrize("step", ["honest", "cheap", "recorded", "honest {}\n    | shop.cheap"])
def test_a_step_that_does_what_it_declares(step: str, tmp_path: Path) -> None:
    path = _project(tmp_path, step)
    checked = run(path, inline=True, check_steps=True)
    assert checked.result.error is None
    assert run(path, inline=True, check_steps=False).result.rows == checked.result.rows


@pytest.mark.parametrize(
    ("step", "declared", "found"),
    [
        ("unsteady", "deterministic=True", "called twice with the same rows, it gave "),
        ("centred", 'rows="map"', "called with the same rows in two parts, it gave"),
        ("turned", 'rows="filter"', "row 1 of what it returned, {id: 2, price: 2.0}"),
        ("renumbered", "passthrough=True", "row 0 of what it returned, {id: 11}, is in no row of its input"),
    ],
)
def test_a_step_that_lies(step: str, declared: str, found: str, tmp_path: Path) -> None:
    path = _project(tmp_path, step)
    assert run(path, inline=True).result.error is None
    error = run(path, inline=True, check_steps=True).result.error
    assert error is not None
    assert error.message.startswith(f"`shop.{step}` is declared with {declared}, but ")
    assert found in error.message
