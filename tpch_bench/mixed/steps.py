"""The functions of `models.py` as steps of Heddle, with what the optimizer may know of them."""

import pyarrow as pa

from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

from . import models

plugin = Plugin(namespace="tpch-steps")


class Line(Table):
    price: float
    discount: float
    days: int


class WithMargin(Table):
    margin: float


class Comment(Table):
    o_comment: str


class WithTone(Table):
    tone: float


class MonthlyRevenue(Table):
    nation: str
    month: int
    revenue: float


class Forecast(Table):
    nation: str
    grows_by: float
    expected: float


@plugin.step(name="margin", rows="map", passthrough=True, deterministic=True)
def margin(input: Line) -> WithMargin:
    lines = input.to_arrow()
    margin = models.margin(lines["price"], lines["discount"], lines["days"])
    return WithMargin.from_arrow(pa.table({"margin": margin}))


@plugin.step(name="tone", rows="map", passthrough=True, deterministic=True)
def tone(input: Comment) -> WithTone:
    return WithTone.from_arrow(pa.table({"tone": models.tone(input.to_arrow()["o_comment"])}))


@plugin.step(name="forecast", rows="table", deterministic=True)
def forecast(input: MonthlyRevenue) -> Forecast:
    return Forecast.from_arrow(models.forecast(input.to_arrow()))


if __name__ == "__main__":
    plugin.serve()
