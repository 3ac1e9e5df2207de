"""Steps of every kind, for the tests of merged calls."""

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="merged")


class Row(Table):
    x: int


class Doubled(Table):
    y: int


@plugin.step(name="double", rows="map", passthrough=True, deterministic=True)
def double(input: Row) -> Doubled:
    table = input.to_arrow()
    return Doubled(table.append_column("y", pc.multiply(table["x"], 2)))


@plugin.step(name="reject", rows="map", passthrough=True, deterministic=True)
def reject(input: Row, context: StepContext) -> Row:
    x = input.to_arrow()["x"]
    context.reject(pc.less(x, 0), "negative", error_type="Negative")
    context.reject(pc.greater(x, 3), "large")
    return input


@plugin.step(name="reject_and_drop", rows="map", passthrough=True, deterministic=True)
def reject_and_drop(input: Row, context: StepContext) -> Row:
    table = input.to_arrow()
    context.reject(pc.less(table["x"], 0), "negative")
    return Row(table.filter(pc.greater_equal(table["x"], 0)))


@plugin.step(name="keep", rows="filter", passthrough=True, deterministic=True)
def keep(input: Row) -> Row:
    table = input.to_arrow()
    return Row(table.filter(pc.greater(table["x"], 0)))


@plugin.step(name="repeat", rows="flat", passthrough=True, deterministic=True)
def repeat(input: Row) -> Row:
    table = input.to_arrow()
    return Row(table.take(pa.array([i for i in range(table.num_rows) for _ in range(2)], pa.int64())))


@plugin.step(name="picky", rows="map", passthrough=True, deterministic=True)
def picky(input: Row) -> Row:
    for value in input.to_arrow()["x"].to_pylist():
        if value == -5:
            raise ValueError("not that one")
    return input


@plugin.step(name="picky_effect", rows="map", passthrough=True, effect=True)
def picky_effect(input: Row) -> Row:
    return picky(input)


@plugin.step(name="keep_open", rows="filter", passthrough=True, deterministic=True)
def keep_open(input: Table) -> Table:
    return input


@plugin.step(name="keep_closed", rows="filter", deterministic=True)
def keep_closed(input: Row) -> Row:
    return input


@plugin.step(name="total", deterministic=True)
def total(input: Row) -> Row:
    return input
