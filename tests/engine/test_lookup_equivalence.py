"""Random queries with lookups give what the same queries give when all rows are there to be joined."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.engine.harness import Ran, run

PLUGIN = Path(__file__).with_name("lookup_plugin.py")
PROGRAMS = 24
PEOPLE = [(1, "Ann"), (2, "Bob"), (2, "Bo"), (3, None), (5, "Eve"), (8, "Ike")]

PROGRAM = """\
import "./lite" lite

resource db = lite.file {{ path: "{path}" }}

step first = <file=db> lite.query {{
  query: "SELECT id AS key, name FROM people WHERE id = @key"
  schema: {{ key: "int", name: "string?" }}
}}

step second = first

workflow W {{
  [
{orders}
  ]
    > orders

  [
{people}
  ]
    > people

  ({looked_up})
    > looked_up

  ({joined})
    > joined
}}
"""

BEFORE = (
    "filter id > 2",
    "filter key != 2 && id < 9",
    "derive {twice = id * 2}",
    "derive {key = key + 1}",
    "select {id, key, extra = id % 3}",
    "sort {-id} | take 6",
    "group key (aggregate {id = max id})",
    "join other = people (this.id == other.key) | select {id, key = orders.key, seen = other.name}",
)
BETWEEN = ("filter FIRST.name != null", "derive {sum = id + 1}", "filter id != 4", "sort {id}")
AFTER = ("group name (aggregate {n = count this})", "filter name != 'Bo'", "select {id, name}")


def query(chance: random.Random) -> str:
    """A query in which `FIRST` and `SECOND` stand for what is joined."""
    before = chance.sample(BEFORE, chance.randrange(3))
    if any("orders.key" in part for part in before):
        before = [part for part in before if "orders.key" in part]
    side = chance.choice(("inner", "left"))
    parts = ["from orders", *before, f"join side:{side} FIRST (==key)"]
    if chance.random() < 0.4:
        parts += chance.sample(BETWEEN, chance.randrange(2))
        other = chance.choice(("inner", "left"))
        parts += [
            f"join side:{other} SECOND (==key)",
            "select {id, key, name = FIRST.name, more = SECOND.name}",
        ]
    elif chance.random() < 0.6:
        parts.append(chance.choice(AFTER))
    return " | ".join(parts)


def rows(ran: Ran, name: str) -> list[str]:
    """In any order, and whatever order prqlc gives the columns of a join."""
    return sorted(repr(sorted(row.items())) for row in ran.rows(name))


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_a_lookup_is_a_join(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    shutil.copy(PLUGIN, tmp_path / "lite.py")
    with sqlite3.connect(tmp_path / "people.db") as db:
        db.execute("CREATE TABLE people (id INTEGER, name TEXT)")
        db.executemany("INSERT INTO people VALUES (?, ?)", PEOPLE)
    keys = [chance.choice((1, 2, 2, 3, 4, 5, 7, None)) for _ in range(10)]
    text = query(chance)
    orders = "\n".join(f"{{ id: {i}, key: {'null' if k is None else k} }}" for i, k in enumerate(keys))
    people = "\n".join(f"{{ key: {k}, name: {'null' if n is None else repr(n)} }}" for k, n in PEOPLE)
    path = tmp_path / "main.he"
    path.write_text(
        PROGRAM.format(
            path=tmp_path / "people.db",
            orders=orders,
            people=people.replace("'", '"'),
            looked_up=text.replace("FIRST", "first").replace("SECOND", "second"),
            joined=text.replace("join side:left FIRST", "join side:left f=people")
            .replace("join side:inner FIRST", "join side:inner f=people")
            .replace("join side:left SECOND", "join side:left s=people")
            .replace("join side:inner SECOND", "join side:inner s=people")
            .replace("FIRST", "f")
            .replace("SECOND", "s"),
        )
    )
    ran = run(path, ("looked_up", "joined"), inline=True, batch_rows=chance.choice((2, 65_536)))
    assert ran.result.error is None, ran.result.error
    assert rows(ran, "looked_up") == rows(ran, "joined"), text
