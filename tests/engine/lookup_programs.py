"""Programs with lookups that ask SQLite, through `lookup_plugin.py`."""

from __future__ import annotations

import json
import shutil
import sqlite3
import textwrap
from collections.abc import Callable
from pathlib import Path

from heddle.physical.events import StageMetric
from tests.engine.harness import Ran, run

PLUGIN = Path(__file__).with_name("lookup_plugin.py")

HEAD = '''\
import "./lite" lite

resource db = lite.file { path: "DB" }

step customer = <file=db> lite.query {
  query: "SELECT id AS user_id, name FROM users WHERE id = @user_id"
  schema: { user_id: "int", name: "string?" }
}

step price = <file=db> lite.query {
  query: """
    SELECT currency, rate FROM rates WHERE currency = @currency AND day <= @day ORDER BY day DESC LIMIT 1
  """
  schema: { currency: "string", rate: "float" }
}

'''

ORDERS = """\
  [
    { id: 1, user_id: 1, currency: "EUR", day: 10 }
    { id: 2, user_id: 2, currency: "EUR", day: 20 }
    { id: 3, user_id: 2, currency: "USD", day: 20 }
    { id: 4, user_id: 9, currency: "EUR", day: 5 }
    { id: 5, user_id: null, currency: "EUR", day: 20 }
  ]
    > orders

"""

Program = Callable[..., Ran]


FAILING = """
step broken = <file=db> lite.query {
  query: "SELECT id AS user_id, name FROM users WHERE id = @user_id"
  schema: { user_id: "int", name: "string" }
  fail: "always"
}

handler note {
  (from input | select {error_msg, step, payload} | sort payload)
    | io.stdout { format: "json" }
}

"""

STEPS = """
step score = lite.score
step choosy = lite.choosy
step pair_score = lite.pair_score
step twice = lite.twice
step lost = lite.lost
"""

OPEN = """
import "./loose" loose

"""
LOOSE = """
import pyarrow as pa

from heddle.core import Table


def rows() -> Table:
    return Table.from_arrow(pa.table({"id": [1, 2, 3], "user_id": [1, 2, 9], "more": ["a", "b", "c"]}))
"""


def lookup_program(tmp_path: Path) -> Program:
    """Runs statements over `orders` and a database; the outputs are read back."""
    shutil.copy(PLUGIN, tmp_path / "lite.py")
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE users (id INTEGER, name TEXT)")
        db.executemany("INSERT INTO users VALUES (?, ?)", [(1, "Ann"), (2, "Bob"), (2, "Bo"), (3, "Cy")])
        db.execute("CREATE TABLE rates (currency TEXT, day INTEGER, rate REAL)")
        rates = [("EUR", 1, 1.0), ("EUR", 15, 1.5), ("USD", 1, 2.0)]
        db.executemany("INSERT INTO rates VALUES (?, ?, ?)", rates)

    def runs(
        statements: str, *, head: str = "", outputs: tuple[str, ...] = ("found",), **options: object
    ) -> Ran:
        text = HEAD.replace("DB", str(path)) + textwrap.dedent(head)
        file = tmp_path / "main.he"
        file.write_text(
            f"{text}workflow W {{\n{ORDERS}{textwrap.indent(textwrap.dedent(statements), '  ')}}}\n"
        )
        return run(file, outputs, **({"inline": True} | options))

    return runs


def asked(folder: Path) -> list[tuple[str, list[dict[str, object]]]]:
    """The statements that the database got, with their tuples."""
    log = folder / "log.jsonl"
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []  # type: ignore[misc]


def tuples_of(ran: Ran, name: str = "found") -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in ran.rows(name)]


def metric(ran: Ran, name: str) -> float:
    return sum(event.value for event in ran.events if isinstance(event, StageMetric) and event.name == name)
