"""A plugin with each kind of signature that a program can call."""

from __future__ import annotations

from typing import Literal

from heddle.core.resource import Resource, ResourceConfig
from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk import RowText, Secret, Statement
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="team/shop")


class TillConfig(ResourceConfig):
    drawer: str
    pin: Secret[str] | None = None
    port: int = 7


class ShelfConfig(ResourceConfig):
    row: int = 1


class Till(Resource):
    def __init__(self, drawer: str) -> None:
        self.drawer = drawer


class Order(Table):
    id: int
    amount: float


class Priced(Table):
    id: int
    price: float


class Extra(Table):
    price: float


class PriceConfig(StepConfig):
    rate: float
    round: Literal["up", "down"] = "up"


class LookupConfig(StepConfig[TillConfig]):
    query: Statement
    schema: RowText | None = None


@plugin.resource(name="till")
def till(config: TillConfig) -> Till:
    return Till(config.drawer)


plugin.declare_resource("shelf", config=ShelfConfig)
plugin.declare("orders", input_mode="none", output=Order, deterministic=True)
plugin.declare("stream", input_mode="none", output_from_config=True, rows="flat", config=LookupConfig)
plugin.declare("lookup", input_mode="optional", output_from_config=True, resource="till", config=LookupConfig)
plugin.declare("price", input=Order, output=Priced, rows="map", deterministic=True, config=PriceConfig)
plugin.declare("add_price", input=Order, output=Extra, rows="map", passthrough=True, config=PriceConfig)
plugin.declare("ship", output=None, rows="flat", effect=True, resource="till")
plugin.declare("mark", effect=True)
