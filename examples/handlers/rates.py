"""Converts amounts to euro with the rates of a bank that needs a few calls to wake up."""

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.resource import Resource, ResourceConfig
from heddle.core.step import StepConfig, StepContext
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="rates")


class BankConfig(ResourceConfig):
    ready_after_calls: int


class Bank(Resource):
    def __init__(self, ready_after_calls: int) -> None:
        self.calls_left = ready_after_calls

    def rates(self) -> pa.Table:
        self.calls_left -= 1
        if self.calls_left > 0:
            raise ConnectionError("the bank is not awake yet")
        return pa.table({"currency": ["EUR", "USD", "JPY"], "rate": [1.0, 0.92, 0.0061]})


class Invoices(Table):
    amount: float
    currency: str


class Converted(Table):
    euro: float


@plugin.resource(name="bank")
def open_bank(config: BankConfig) -> Bank:
    return Bank(config.ready_after_calls)


@plugin.step(name="to_euro", resource="bank", rows="map", passthrough=True, deterministic=True)
def to_euro(config: StepConfig[BankConfig], input: Invoices, context: StepContext) -> Converted:
    rates = config.resource.rates()
    invoices = input.to_arrow()
    position = pc.index_in(invoices["currency"], value_set=rates["currency"])
    context.reject(pc.is_null(position), "unknown currency")
    context.reject(pc.less(invoices["amount"], 0.0), "negative amount")
    euro = pc.multiply(invoices["amount"], pc.take(rates["rate"], position))
    return Converted.from_arrow(invoices.append_column("euro", euro))


if __name__ == "__main__":
    plugin.serve()
