"""Lowers every price by a percentage."""

from typing import TypedDict

import pyarrow.compute as pc

from heddle.core import Table


class DiscountConfig(TypedDict):
    percent: float


def apply(config: DiscountConfig, input: Table) -> Table:
    sales = input.to_arrow()
    price = pc.multiply(sales["price"], 1.0 - config["percent"] / 100.0)
    return Table.from_arrow(sales.set_column(sales.column_names.index("price"), "price", price))
