"""A step of the program: an annotated function that takes and returns a `Table`."""

from typing import TypedDict

import pyarrow.compute as pc

from heddle.core import Table


class CostConfig(TypedDict):
    per_kilogram: float


def cost(config: CostConfig, input: Table) -> Table:
    orders = input.to_arrow()
    shipping = pc.add(4.0, pc.multiply(orders["kilograms"], config["per_kilogram"]))
    return Table.from_arrow(orders.append_column("shipping", shipping))
