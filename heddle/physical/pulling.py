"""Batches of a partition, pulled until somebody gives it up: then the engine stops working on it at once.

What runs in DataFusion without ever yielding, such as a nested loop join, goes on to its own end.
"""

from __future__ import annotations

import asyncio
import threading

import pyarrow as pa

from heddle.physical.batches import as_plain
from heddle.physical.channel import Channel, ChannelClosed
from heddle.physical.engine_errors import engine_errors
from heddle.physical.session import PlannedFragment


class Pull:
    """`run` puts the batches into the channel; `give_up` ends that, from any thread."""

    def __init__(self, planned: PlannedFragment, partition: int, schema: pa.Schema, output: Channel) -> None:
        self._planned = planned
        self._partition = partition
        self._schema = schema
        self._output = output
        self._lock = threading.Lock()
        self._given_up = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None

    def run(self) -> None:
        error: BaseException | None = None
        try:
            with engine_errors():
                asyncio.run(self._pull())
        except (ChannelClosed, asyncio.CancelledError):
            pass
        except BaseException as failure:  # the reader must learn of any end but the real one
            error = failure
        finally:
            self._output.finish(error)

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            running = self._running
            if running is not None:
                loop, task = running
                loop.call_soon_threadsafe(task.cancel)

    async def _pull(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        with self._lock:
            if self._given_up:
                return
            self._running = asyncio.get_running_loop(), task
        try:
            async for batch in self._planned.context.execute(self._planned.plan, self._partition):
                self._output.put(as_plain(batch.to_pyarrow(), self._schema))
        finally:
            with self._lock:
                self._running = None
