"""A plugin: classes say which columns go in and out, and properties say what the optimizer may do."""

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="scoring")


class LoyaltyConfig(StepConfig):
    full_at: int


class Visits(Table):
    visits: int


class Loyalty(Table):
    loyalty: float


@plugin.step(name="loyalty", rows="map", passthrough=True, deterministic=True)
def loyalty(config: LoyaltyConfig, input: Visits) -> Loyalty:
    visitors = input.to_arrow()
    share = pc.divide(pc.cast(visitors["visits"], pa.float64()), float(config.full_at))
    return Loyalty.from_arrow(visitors.append_column("loyalty", pc.min_element_wise(share, 1.0)))


if __name__ == "__main__":
    plugin.serve()
