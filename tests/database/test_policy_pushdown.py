"""What reaches the source of a restricted output: the policy's own filter, and nothing that a client asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from heddle.database.database import Database
from heddle.database.model import Viewer
from heddle.database.policy import Policy
from heddle.serve_settings import PolicySettings, Role, ServeSettings

PROGRAM = """\
import "fhub/sqlite" lite

resource shop = lite.connection { path: "shop.db" }

workflow W {
  <connection=shop> lite.table { table: "people" }
    > people
}
"""
SETTINGS = ServeSettings(
    roles={"tuner": Role("tuner", sees=("W.*",), explain=True)},
    policies=(PolicySettings("p", ("W.people",), "region = current_user", {"name": "initial"}),),
)
NORTH = Viewer("north", ("tuner",))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("pushdown")
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE people (id INTEGER, name TEXT, region TEXT, pay INTEGER)")
        rows = [(1, "Ada", "north", 10), (2, "Bob", "south", 900), (3, "Cleo", "north", 5)]
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", rows)
    connection.close()
    (folder / "program.he").write_text(PROGRAM)
    with Database.open([folder / "program.he"], policy=Policy(SETTINGS)) as opened:
        yield opened


def rows_of(database: Database, text: str) -> list[dict[str, object]]:
    answer = database.prepare(text, NORTH).run()
    return [row for batch in answer.batches() for row in batch.to_pylist()]


def test_the_policys_filter_is_in_the_statement_of_the_source(database: Database) -> None:
    plan = "\n".join(
        str(row["plan"]) for row in rows_of(database, "EXPLAIN SELECT id FROM people WHERE pay > 5")
    )
    [asked] = [line for line in plan.splitlines() if "asks: " in line]
    assert "= 'north'" in asked
    assert 'pay" > 5' not in asked
    assert '"pay" > 5' in plan


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("SELECT id, name FROM people ORDER BY id", [{"id": 1, "name": "A***"}, {"id": 3, "name": "C***"}]),
        ("SELECT id FROM people WHERE 1 / (pay - 900) < 1 AND pay > 5", [{"id": 1}]),
        ("SELECT id FROM people ORDER BY pay LIMIT 1", [{"id": 3}]),
        ("SELECT count(*) AS n FROM people LIMIT 1", [{"n": 2}]),
    ],
)
def test_answers(database: Database, text: str, rows: list[dict[str, object]]) -> None:
    assert rows_of(database, text) == rows
