"""The steps that the benchmark of the rewrites calls; what they declare is what the optimizer may use."""

import time

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="bench-rewritten")
ROW_S = 1e-6


class Value(Table):
    value: float


class Bucketed(Table):
    value: float
    bucket: int


class Scored(Table):
    score: float


class Marked(Table):
    score: float
    marked: int


class Line(Table):
    price: float
    discount: float


class Charged(Table):
    charge: float


@plugin.step(name="costly", rows="map", passthrough=True, deterministic=True)
def costly(input: Value) -> Scored:
    """A microsecond a row, whatever else the machine does."""
    time.sleep(ROW_S * len(input))
    return _scored(input)


@plugin.step(name="costly_marking", rows="map", passthrough=True, deterministic=True)
def costly_marking(input: Bucketed) -> Marked:
    """The same, but the bucket is a column that it writes."""
    time.sleep(ROW_S * len(input))
    table = input.to_arrow()
    return Marked.from_arrow(pa.table({"score": pc.multiply(table["value"], 2.0), "marked": table["bucket"]}))


@plugin.step(name="score", rows="map", passthrough=True, deterministic=True)
def score(input: Value) -> Scored:
    return _scored(input)


@plugin.step(name="score_still", rows="map", passthrough=True)
def score_still(input: Value) -> Scored:
    """It says too little for anything to go before it."""
    return _scored(input)


@plugin.step(name="costly_still", rows="map", passthrough=True)
def costly_still(input: Value) -> Scored:
    return costly(input)


@plugin.step(name="add_one", rows="map", deterministic=True)
def add_one(input: Value) -> Value:
    return Value.from_arrow(pa.table({"value": pc.add(input.to_arrow()["value"], 1.0)}))


@plugin.step(name="add_ten", rows="map", deterministic=True)
def add_ten(input: Value) -> Value:
    """What ten steps of `add_one` do, in as many calls of Arrow."""
    value = input.to_arrow()["value"]
    for _ in range(10):
        value = pc.add(value, 1.0)
    return Value.from_arrow(pa.table({"value": value}))


@plugin.step(name="charge", rows="map", passthrough=True, deterministic=True)
def charge(input: Line) -> Charged:
    table = input.to_arrow()
    charge = pc.multiply(table["price"], pc.subtract(1.0, table["discount"]))
    return Charged.from_arrow(pa.table({"charge": charge}))


def _scored(input: Value) -> Scored:
    return Scored.from_arrow(pa.table({"score": pc.multiply(input.to_arrow()["value"], 2.0)}))


if __name__ == "__main__":
    plugin.serve()
