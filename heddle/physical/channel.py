"""A bounded channel of record batches between two threads: the back-pressure of a streaming plan.

Producers `put` and each calls `finish` once; the one consumer iterates, and `close`s when it wants no
more. A producer's failure reaches the consumer after the batches before it, as the same exception.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.errors import Cancelled
from heddle.physical.cancel import CancelToken

BATCHES_MAX: Final = 4
JOIN_WAIT_S: Final = 2.0
"""How long a finished reader waits for a thread that fills a channel, and may be inside an engine."""


class ChannelClosed(Exception):
    """The consumer wants no more; a producer that sees this stops quietly."""


class Channel:
    def __init__(
        self,
        cancel: CancelToken,
        *,
        producers: int = 1,
        bytes_max: int,
        batches_max: int = BATCHES_MAX,
    ) -> None:
        self._batches: deque[tuple[pa.RecordBatch, int]] = deque()
        """With their sizes in bytes."""
        self._size_bytes = 0
        self._producers = producers
        self._batches_max = batches_max
        self._bytes_max = bytes_max
        self._closed = False
        self._condition = threading.Condition()
        self._cancel = cancel
        self._forget = cancel.on_cancel(self._wake)
        self.error: BaseException | None = None

    def put(self, batch: pa.RecordBatch) -> None:
        """Blocks while the channel is full. Raises `ChannelClosed` or `Cancelled`."""
        size_bytes = data_bytes(batch)
        with self._condition:
            while self._full(size_bytes) and not self._closed and not self._cancel.cancelled:
                self._condition.wait()
            self._check_open()
            self._batches.append((batch, size_bytes))
            self._size_bytes += size_bytes
            self._condition.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        with self._condition:
            self._producers -= 1
            if error is not None and self.error is None:
                self.error = error
            self._condition.notify_all()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while True:
            with self._condition:
                while not self._batches and self._producers > 0 and self.error is None:
                    if self._cancel.cancelled:
                        raise Cancelled("the run was cancelled")
                    if self._closed:
                        return
                    self._condition.wait()
                if not self._batches:
                    if self.error is not None:
                        raise self.error
                    return
                batch, size_bytes = self._batches.popleft()
                self._size_bytes -= size_bytes
                self._condition.notify_all()
            yield batch

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._batches.clear()
            self._size_bytes = 0
            self._condition.notify_all()
        self._forget()

    def _full(self, size_bytes: int) -> bool:
        if not self._batches:
            return False
        return len(self._batches) >= self._batches_max or self._size_bytes + size_bytes > self._bytes_max

    def _check_open(self) -> None:
        if self._cancel.cancelled:
            raise Cancelled("the run was cancelled")
        if self._closed:
            raise ChannelClosed

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()
