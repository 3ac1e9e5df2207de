"""A step that costs nothing, to be called in chains."""

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="bench-chained")


class Numbered(Table):
    number: int


@plugin.step(name="add_one", rows="map", deterministic=True)
def add_one(input: Numbered) -> Numbered:
    return Numbered.from_arrow(pa.table({"number": pc.add(input.to_arrow()["number"], 1)}))


if __name__ == "__main__":
    plugin.serve()
