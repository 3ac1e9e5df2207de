"""Rows of another stage as a table of an engine: a thread fills the channel that the engine reads from."""

from __future__ import annotations

from threading import Thread

import pyarrow as pa

from heddle.core.deep_stack import deep_thread
from heddle.physical.batches import Batches
from heddle.physical.channel import Channel, ChannelClosed


def feed(first: pa.RecordBatch, rest: Batches, leaf: Channel) -> Thread:
    """Put a stream, whose first batch was taken to learn its schema, into the channel."""

    def run() -> None:
        error: BaseException | None = None
        try:
            leaf.put(first)
            for batch in rest:
                leaf.put(batch)
        except ChannelClosed:
            pass
        except BaseException as failure:  # the reader must learn of any end but the real one
            error = failure
        finally:
            rest.close()
            leaf.finish(error)

    return deep_thread(run, "heddle-feed")
