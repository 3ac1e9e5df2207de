"""What PostgreSQL says of a program's statements, and when it sees what a run writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heddle.engine import Engine
from heddle.refreshing import LockChange
from tests.engine.harness import Ran, run
from tests.fhub.postgresql.database import Database, opened
from tests.services.postgresql import Postgresql
from tests.services.service import HOST

PROGRAM = """\
import "./steps" steps
import "fhub/postgresql" pg
import "std/io" io

resource shop = pg.connection {{ host: "{host}", port: {port}, database: "{database}" }}

workflow W(least: int = 2) {{
  <connection=shop> pg.query {{ query: "SELECT id, price, at FROM orders WHERE id >= @least ORDER BY id" }}
    > orders

  orders
    | (from input | select {{id, price}})
    | <connection=shop> pg.insert {{ table: "kept" }}
{more}}}
"""
BOOM = """
  orders
    | steps.boom
    | io.stderr
"""
STEPS = "from heddle.core import Table\n\ndef boom(input: Table) -> Table:\n    raise ValueError('no luck')\n"


class Shop:
    def __init__(self, folder: Path, database: Database, name: str) -> None:
        self.path = folder / "shop.he"
        self.database = database
        self.name = name
        (folder / "steps.py").write_text(STEPS)
        database.run(
            "CREATE TABLE orders (id int NOT NULL, price numeric(8, 2), at timestamptz)",
            "INSERT INTO orders VALUES (1, 1.5, now()), (2, 2.5, now()), (3, NULL, now())",
            "CREATE TABLE kept (id int, price numeric(8, 2))",
        )
        self.write()

    def write(self, more: str = "") -> None:
        server = self.database.server
        text = PROGRAM.format(host=HOST, port=server.port, database=self.name, more=more)
        self.path.write_text(text)

    def refresh(self) -> tuple[LockChange, ...]:
        with Engine.open(self.path) as engine:
            refreshed = engine.refresh()
        assert refreshed.checked.ok, refreshed.checked.diagnostics
        return refreshed.changes

    def run(self, **params: str) -> Ran:
        return run(self.path, params=params)

    @property
    def kept(self) -> list[object]:
        return [row["id"] for row in self.database.rows("SELECT id FROM kept ORDER BY id")]


@pytest.fixture
def shop(postgresql: Postgresql, tmp_path: Path) -> Iterator[Shop]:
    name = postgresql.create_database()
    with opened(postgresql, name) as database:
        yield Shop(tmp_path, database, name)


def test_the_server_describes_statements_and_their_changes(shop: Shop) -> None:
    mark = shop.database.server.mark()
    [added] = shop.refresh()
    assert (added.change, added.columns) == (
        "added",
        ("id: int32?", "price: decimal(8,2)?", "at: timestamp?"),
    )
    asked = [s.text for s in shop.database.server.statements(mark) if "orders" in s.text]
    assert not any(text.lstrip().upper().startswith("SELECT ID") for text in asked), "it was executed"
    assert shop.run().result.status == "succeeded"
    shop.database.run(
        "ALTER TABLE orders ALTER COLUMN price TYPE text", "ALTER TABLE kept ALTER price TYPE text"
    )
    stale = shop.run()
    assert stale.result.error is not None
    assert f"heddle check --refresh {shop.path}" in (stale.result.error.help or "")
    [changed] = shop.refresh()
    assert changed.columns == ("`price` is string?, was decimal(8,2)?",)
    assert shop.run().result.status == "succeeded"


def test_a_run_asks_and_binds_its_parameters(shop: Shop) -> None:
    assert shop.run().result.status == "succeeded"
    assert shop.run(least="3").result.status == "succeeded"
    assert shop.kept == [2, 3, 3]


def test_the_server_sees_nothing_of_a_run_that_fails(shop: Shop) -> None:
    shop.write(BOOM)
    assert shop.run().result.status == "failed"
    assert shop.kept == []
    assert shop.database.rows("SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == []


def test_a_constraint_that_the_commit_finds_broken(shop: Shop) -> None:
    shop.database.run(
        "ALTER TABLE kept ADD CONSTRAINT once UNIQUE (id) DEFERRABLE INITIALLY DEFERRED",
        "INSERT INTO kept VALUES (2, 1)",
    )
    ran = shop.run()
    assert ran.result.error is not None
    assert "once" in ran.result.error.message
    assert shop.kept == [2]
