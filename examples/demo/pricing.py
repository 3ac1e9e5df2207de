"""The demo's Python step: what each order is worth in euro, and which orders cannot be priced."""

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.step import StepConfig, StepContext
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="pricing")


class Discounts(StepConfig):
    plus_discount: float
    business_discount: float


class Orders(Table):
    quantity: int
    unit_price: float | None
    rate: float
    tier: str


class Priced(Table):
    euro: float


@plugin.step(name="price", rows="map", passthrough=True, deterministic=True)
def price(config: Discounts, input: Orders, context: StepContext) -> Priced:
    orders = input.to_arrow()
    context.reject(pc.is_null(orders["unit_price"]), "no unit price")
    context.reject(pc.less_equal(orders["quantity"], 0), "the quantity is not positive")

    gross = pc.multiply(
        pc.multiply(pc.cast(orders["quantity"], pa.float64()), orders["unit_price"]), orders["rate"]
    )
    is_business, is_plus = (pc.equal(orders["tier"], tier) for tier in ("business", "plus"))
    discount = pc.if_else(
        is_business, config.business_discount, pc.if_else(is_plus, config.plus_discount, 0.0)
    )
    euro = pc.round(pc.multiply(gross, pc.subtract(1.0, discount)), ndigits=2)
    return Priced.from_arrow(orders.append_column("euro", euro))


if __name__ == "__main__":
    plugin.serve()
