"""The program that clients look at: two tables, and one whose self-join takes long."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

ROWS = 200_000
KEYS = 10
PROGRAM = """\
workflow Shop {
  [
    { id: 1, name: "Ada", country: "DE" }
    { id: 2, name: "Grace", country: "US" }
    { id: 3, name: "Edsger", country: "NL" }
  ]
    > customers { key: "id" }

  [
    { id: 10, customer_id: 1, amount: 12.5 }
    { id: 11, customer_id: 1, amount: 7.25 }
    { id: 12, customer_id: 2, amount: 99.0 }
  ]
    > orders {
      key: "id"
      references: [{ customer_id: "Shop.customers.id" }]
    }

  io.arrow { path: "numbers.arrow" }
    > numbers
}
"""
LONG = "SELECT count(*) AS n FROM Shop.numbers a JOIN Shop.numbers b ON a.k = b.k WHERE a.v < b.v"
"""Four thousand million pairs: some seconds of both processors, which it gives back when it is cancelled."""


def write(folder: Path) -> Path:
    """The program with its file."""
    table = pa.table({"k": pa.array(i % KEYS for i in range(ROWS)), "v": pa.array(range(ROWS))})
    target = folder / "numbers.arrow"
    with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    program = folder / "shop.he"
    program.write_text(PROGRAM)
    return program
