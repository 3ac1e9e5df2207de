"""A step that takes its time over a whole table, to be called in chains whose results are kept."""

import time

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="bench-memoised")


class Numbered(Table):
    number: int


class Work(StepConfig):
    by: int
    milliseconds: float


@plugin.step(name="work", deterministic=True)
def work(input: Numbered, config: Work) -> Numbered:
    until = time.process_time() + config.milliseconds / 1000
    while time.process_time() < until:
        pass
    return Numbered.from_arrow(pa.table({"number": pc.add(input.to_arrow()["number"], config.by)}))


if __name__ == "__main__":
    plugin.serve()
