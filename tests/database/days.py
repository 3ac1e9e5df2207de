"""A program whose outputs take parameters, over a database of orders, one for each day of a month."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

ORDERS: Final = 20
PROGRAM: Final = """
import "fhub/sqlite" sqlite
import "std/col"

resource db = sqlite.connection { path: "days.db" }

step order = <connection=db> sqlite.query {
  query: "SELECT id, amount FROM orders WHERE id = @id AND amount >= @least"
}

workflow Days(since: date, until: date = "2026-12-31", least: float = 0.0, name: string = "x") {
  <connection=db> sqlite.query {
    query: "SELECT id, day, amount FROM orders WHERE day >= @since AND day <= @until"
  }
    > orders_since

  (from orders_since | filter amount > 3 | select {id, day, amount})
    > large

  (from large | group day (aggregate { n = count this, total = sum amount }))
    > per_day

  (from large | join per_day (==day) | select {large.id, per_day.n})
    > counted

  <connection=db> sqlite.query {
    query: "SELECT id, amount FROM orders WHERE amount >= @least"
  }
    > at_least

  <connection=db> sqlite.query {
    query: "SELECT CAST(@name AS TEXT) AS name, typeof(@name) AS kind, CAST(@count AS TEXT) AS count"
    schema: { name: "string", kind: "string", count: "string" }
  }
    > told

  (from at_least | aggregate { n = count this })
    > number

  orders_since
    | col.rename { id: "number" }
    | (derive double = amount * 2)
    | col.cast { double: "int" }
    > renamed

  (from large | select {id} | join order (==id) | select {order.id, order.amount})
    > found

  [ { id: 1, FROM: "days" } ]
    > plain
}
"""


def write(folder: Path) -> Path:
    with sqlite3.connect(folder / "days.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, day TEXT, amount REAL)")
        rows = [(number, f"2026-01-{number:02}", number * 1.5) for number in range(1, ORDERS + 1)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
    connection.close()
    program = folder / "days.he"
    program.write_text(PROGRAM)
    return program
