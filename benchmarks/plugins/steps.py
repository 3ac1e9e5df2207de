"""The steps that the benchmarks of plugin processes call."""

import threading
import time

import pyarrow as pa

from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="bench-steps")
DEVICE = threading.Lock()


class CostConfig(StepConfig):
    seconds: float


@plugin.step(name="identity", rows="map", deterministic=True)
def identity(input: Table) -> Table:
    return input


@plugin.step(name="rebuild", rows="map", deterministic=True)
def rebuild(input: Table) -> Table:
    """The same rows in new memory, so that all of it travels back."""
    columns = [
        pa.chunked_array([pa.concat_arrays([c]) for c in column.chunks]) for column in input.to_arrow()
    ]
    return Table(pa.table([_copied(c) for c in columns], names=input.to_arrow().column_names))


@plugin.step(name="device", rows="map", deterministic=True)
def device(config: CostConfig, input: Table) -> Table:
    """A call costs the same however many rows it has, and only one is made at a time, as on a GPU."""
    with DEVICE:
        time.sleep(config.seconds)
    return input


def _copied(column: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = []
    for chunk in column.chunks:
        buffers = [pa.py_buffer(b.to_pybytes()) if b is not None else None for b in chunk.buffers()]
        chunks.append(pa.Array.from_buffers(chunk.type, len(chunk), buffers, offset=chunk.offset))
    return pa.chunked_array(chunks, column.type)


if __name__ == "__main__":
    plugin.serve()
