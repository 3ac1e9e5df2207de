"""Makes the demo's data: two million orders (Parquet) and fifty thousand customers (CSV), some of them dirty.

`python generate.py [FOLDER]` writes `orders.parquet` and `customers.csv` there (default: `data` beside
this file). The same seed gives the same files; a folder that is complete already is left alone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

ORDERS = 2_000_000
CUSTOMERS = 50_000
SEED = 20_250_101
FIRST_DAY = 1_704_067_200  # 2024-01-01 UTC, in seconds
SECONDS = 2 * 365 * 86_400

FIRST_NAMES = ["Ada", "Alan", "Barbara", "Edsger", "Frances", "Grace", "Ken", "Leslie", "Margaret", "Niklaus"]
LAST_NAMES = [
    "Allen",
    "Dijkstra",
    "Hamilton",
    "Hopper",
    "Lamport",
    "Liskov",
    "Lovelace",
    "Thompson",
    "Turing",
]
COUNTRIES = ["DE", "FR", "US", "GB", "NL", "ES", "IT", "SE", "PL", "JP"]
TIERS = ["standard", "standard", "standard", "plus", "plus", "business"]
CURRENCIES = ["EUR", "EUR", "EUR", "USD", "GBP", "JPY"]
CHANNELS = ["web", "web", "app", "store", "partner"]
STATUSES = ["paid", "paid", "paid", "paid", "shipped", "shipped", "cancelled", "returned"]


class Dice:
    """Columns of random values; each call gives a new column, the same in every run."""

    def __init__(self, rows: int, seed: int) -> None:
        self.rows = rows
        self.seed = seed

    def fraction(self) -> pa.Array:
        self.seed += 1
        return pc.random(self.rows, initializer=self.seed)

    def below(self, limit: int) -> pa.Array:
        return pc.cast(pc.floor(pc.multiply(self.fraction(), float(limit))), pa.int64())

    def pick(self, values: list[str]) -> pa.Array:
        return pc.take(pa.array(values), self.below(len(values)))

    def mostly(self, values: pa.Array, exceptions: pa.Array | pa.Scalar, share: float) -> pa.Array:
        """`values`, with about `share` of them replaced."""
        return pc.if_else(pc.less(self.fraction(), share), exceptions, values)


def orders(rows: int = ORDERS) -> pa.Table:
    """In order of time, as an order system would export them; about 1 % of the rows make no sense."""
    dice = Dice(rows, SEED)
    number = pa.array(range(rows), pa.int64())
    seconds = pc.add(FIRST_DAY, pc.divide(pc.multiply(number, SECONDS), rows))
    popularity = pc.power(dice.fraction(), 2.0)
    customer = pc.add(1, pc.cast(pc.floor(pc.multiply(popularity, CUSTOMERS * 1.02)), pa.int64()))
    price = pc.round(pc.add(2.5, pc.multiply(900.0, pc.power(dice.fraction(), 4.0))), ndigits=2)
    quantity = dice.mostly(pc.add(1, dice.below(5)), pc.multiply(-1, dice.below(3)), 0.004)
    return pa.table(
        {
            "order_id": pc.add(1_000_000, number),
            "customer_id": customer,
            "ordered_at": pc.cast(pc.multiply(seconds, 1_000_000), pa.timestamp("us", tz="UTC")),
            "sku": pc.binary_join_element_wise(
                "SKU", pc.cast(pc.add(10_000, dice.below(4_000)), pa.string()), "-"
            ),
            "quantity": quantity,
            "unit_price": dice.mostly(price, pa.scalar(None, pa.float64()), 0.002),
            "currency": dice.pick(CURRENCIES),
            "channel": dice.pick(CHANNELS),
            "status": dice.pick(STATUSES),
        }
    )


def customers(rows: int = CUSTOMERS) -> pa.Table:
    """Typed by people: one country in eight has stray blanks or small letters, some tiers are missing."""
    dice = Dice(rows, SEED + 1_000)
    number = pa.array(range(1, rows + 1), pa.int64())
    country = dice.pick(COUNTRIES)
    sloppy = pc.binary_join_element_wise("", pc.utf8_lower(country), "", " ")
    return pa.table(
        {
            "customer_id": number,
            "name": pc.binary_join_element_wise(dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES), " "),
            "country": dice.mostly(country, sloppy, 0.125),
            "tier": dice.mostly(dice.pick(TIERS), pa.scalar(None, pa.string()), 0.02),
        }
    )


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "orders.parquet.partial"
    pq.write_table(orders(), partial, row_group_size=200_000, sorting_columns=[pq.SortingColumn(2)])
    pyarrow.csv.write_csv(customers(), folder / "customers.csv")
    partial.rename(folder / "orders.parquet")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data"
    if (folder / "orders.parquet").exists():
        print(f"{folder}: there already", file=sys.stderr)
        return
    started = time.monotonic()
    write(folder)
    took = time.monotonic() - started
    print(f"{folder}: {ORDERS:,} orders, {CUSTOMERS:,} customers in {took:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
