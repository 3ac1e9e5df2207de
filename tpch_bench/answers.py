"""What the right answer of a TPC-H query is: DuckDB's, running the official SQL on the same files.

`duckdb_answer` computes it, `differences` compares two answers: exactly, except where one side is
a float: two floats may differ by rounding, a float and a decimal by one unit of the decimal's last
digit (an average of decimals is a float in one engine and a decimal of six digits in the other).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa

HERE = Path(__file__).parent
FLOAT_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Query:
    """A program, its SQL and the named output that holds the answer."""

    number: int
    output: str

    @property
    def workflow(self) -> str:
        return f"Q{self.number:02}"

    @property
    def name(self) -> str:
        """As it is called in tables and on the command line."""
        return str(self.number)

    @property
    def program(self) -> Path:
        return HERE / "queries" / f"q{self.number:02}.he"

    @property
    def sql(self) -> str:
        return (HERE / "sql" / f"q{self.number:02}.sql").read_text()


QUERIES: tuple[Query, ...] = (
    Query(1, "pricing_summary"),
    Query(2, "cheapest_suppliers"),
    Query(3, "shipping_priority"),
    Query(4, "late_orders"),
    Query(5, "local_supplier_volume"),
    Query(6, "forecast"),
    Query(7, "volume_shipping"),
    Query(8, "market_share"),
    Query(9, "profit_by_nation"),
    Query(10, "returned_items"),
    Query(11, "important_stock"),
    Query(12, "late_lines"),
    Query(13, "distribution"),
    Query(14, "promotion_effect"),
    Query(15, "top_supplier"),
    Query(16, "suppliers_of_kind"),
    Query(17, "small_orders"),
    Query(18, "large_volume_customers"),
    Query(19, "discounted_revenue"),
    Query(20, "promotion_candidates"),
    Query(21, "waiting_suppliers"),
    Query(22, "opportunities"),
)


def duckdb_answer(query: Query, tables: Mapping[str, Path]) -> pa.Table:
    with duckdb.connect() as connection:
        for table, path in tables.items():
            connection.read_parquet(str(path)).create_view(table)
        return connection.sql(query.sql).to_arrow_table()


def differences(ours: pa.Table, theirs: pa.Table) -> list[str]:
    """One line for each cell that differs; empty when the answers are equal, in order."""
    if ours.column_names != theirs.column_names:
        return [f"columns {ours.column_names} instead of {theirs.column_names}"]
    if ours.num_rows != theirs.num_rows:
        return [f"{ours.num_rows} rows instead of {theirs.num_rows}"]
    found: list[str] = []
    for name in theirs.column_names:
        pairs: Sequence[tuple[object, object]] = list(
            zip(ours[name].to_pylist(), theirs[name].to_pylist(), strict=True)
        )
        found += [
            f"row {i}, {name}: {a!r} instead of {b!r}" for i, (a, b) in enumerate(pairs) if not same(a, b)
        ]
    return found


def same(a: object, b: object) -> bool:
    if not isinstance(a, float) and not isinstance(b, float):
        return a == b
    if a is None or b is None:
        return False
    digits = [d.as_tuple().exponent for d in (a, b) if isinstance(d, Decimal)]
    unit_of_last_digit = 10.0 ** int(digits[0]) if digits else 0.0
    return math.isclose(float(a), float(b), rel_tol=FLOAT_TOLERANCE, abs_tol=unit_of_last_digit)  # type: ignore[arg-type]
