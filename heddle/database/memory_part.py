"""Rows of kept tables that are never written anywhere: what a client puts is in memory a moment later."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa

from heddle.database.kept_manifest import Part
from heddle.std.mapped import HeldRows, hold_rows

COPIES_MAX: Final = 3
"""So many batches are being copied, or wait for it, at most."""
LARGE_BYTES: Final = 256 << 10
"""A smaller batch is copied sooner than another thread wakes up."""


class MemoryShare:
    """How much memory there is for parts, and how much of it they have. Thread-safe."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._lock = threading.Lock()
        self._taken_bytes = 0

    def take(self, size_bytes: int) -> bool:
        """Whether there was so much left."""
        with self._lock:
            if self._taken_bytes + size_bytes > self.bytes_max:
                return False
            self._taken_bytes += size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        with self._lock:
            self._taken_bytes -= size_bytes
            assert self._taken_bytes >= 0, "what is given back was taken"


class MemoryPart:
    """A part that is being filled. `path` is to stand for its rows.

    Batches that may keep much more in memory than their own rows are copied; a thread does it while the next
    ones come.
    """

    def __init__(self, path: Path, schema: pa.Schema, share: MemoryShare) -> None:
        self.size_bytes = 0
        self._path = path
        self._schema = schema
        self._share = share
        self._rows = 0
        self._batches: list[pa.RecordBatch] = []
        self._thread: ThreadPoolExecutor | None = None
        self._copying: deque[Future[pa.RecordBatch]] = deque()

    def write(self, batch: pa.RecordBatch, *, compact: bool = False) -> bool:
        """Whether there was memory for it. `compact`: it keeps little beside its own rows."""
        size_bytes = pa.ipc.get_record_batch_size(batch)
        if not self._share.take(size_bytes):
            return False
        self.size_bytes += size_bytes
        self._rows += batch.num_rows
        if compact:
            self._take_copies(0)
            self._batches.append(batch)
            return True
        if size_bytes < LARGE_BYTES and not self._copying:
            self._batches.append(self._copy(batch))
            return True
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="heddle-part")
        self._copying.append(self._thread.submit(self._copy, batch))
        self._take_copies(COPIES_MAX)
        return True

    def batches(self) -> list[pa.RecordBatch]:
        """All that were written; nothing is written afterwards."""
        self._take_copies(0)
        self._end_thread()
        return self._batches

    def finish(self) -> Part:
        hold_rows(self._path, HeldRows(self._schema, tuple(self.batches())))
        return Part(self._path.name, self._rows, self.size_bytes)

    def discard(self) -> None:
        self._copying.clear()
        self._end_thread()
        self._batches.clear()
        self._share.give_back(self.size_bytes)
        self.size_bytes = 0

    def _take_copies(self, left: int) -> None:
        """Wait until no more than `left` batches are still being copied."""
        while len(self._copying) > left:
            self._batches.append(self._copying.popleft().result())

    def _copy(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.ipc.read_record_batch(batch.serialize(), self._schema)

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
