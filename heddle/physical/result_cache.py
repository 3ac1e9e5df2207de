"""The result cache: answers of clients' queries, and results of steps below them, in memory by content key.

A key is equal only for what computes the same of the same files, so an entry is never wrong; it is only left
over when its files have changed. What was not used for the longest time goes when there is no room.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.core.record import record
from heddle.core.wire.payload import PayloadError, payload, read
from heddle.physical.batches import Batches
from heddle.physical.frames import Frame

RESULT_CACHE: Final = "result cache"
"""Its name in explain."""
FROM_RESULT_CACHE: Final = f"from the {RESULT_CACHE}"
"""What `StageTaken` says of its results."""
ENTRY_SHARE: Final = 4
"""An entry takes at most this part of the cache."""
WAY_SHARE: Final = 2
"""What may become entries takes at most this part, as long as it is on its way."""
FIRST_BYTES_MAX: Final = 1 << 20
"""A larger result is kept when it is computed for the second time. Until then it costs nothing, and what is
asked once takes no room from what is asked often."""
ASKED_MAX: Final = 4096
"""Keys that are known to have been asked."""
ENTRY_BYTES: Final = 4 << 10
"""What an entry takes beside its rows."""
LOOSE_BYTES: Final = 64 << 10
"""A batch that holds so much more than its rows need is copied while it waits."""


@record(frozen=True, slots=True)
class Forgotten:
    count: int
    size_bytes: int


class ResultCache:
    """Entries take at most `size_bytes_max` in all, with those on their way. Thread-safe."""

    def __init__(self, size_bytes_max: int) -> None:
        self.size_bytes_max = size_bytes_max
        self._entry_bytes_max = size_bytes_max // ENTRY_SHARE
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Frame] = OrderedDict()
        self._asked: OrderedDict[str, int] = OrderedDict()
        """By key, how large its result may be to be kept the next time."""
        self._size_bytes = 0
        self._way_bytes = 0

    @property
    def size_bytes(self) -> int:
        """What the entries take."""
        return self._size_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def load(self, key: str) -> Frame | None:
        """The result; makes it the last that goes."""
        with self._lock:
            frame = self._entries.get(key)
            if frame is not None:
                self._entries.move_to_end(key)
            return frame

    def keeping(self, key: str, batches: Batches, holds: Callable[[], bool]) -> Batches:
        """The same batches. They become an entry when they were read to their end, if they are not too large
        and what the key says still `holds`."""
        size_bytes_max = self._size_bytes_max_of(key)
        way = _Way(self, size_bytes_max)
        try:
            with closing(batches):
                for batch in batches:
                    way.take(batch)
                    yield batch
            batches_read = way.batches
            if batches_read and holds():
                way.leave()
                self._put(key, batches_read)
        finally:
            way.leave()
            if way.too_large and size_bytes_max == self._entry_bytes_max:
                self._never(key)

    def clear(self) -> Forgotten:
        """Forget all entries, and say how many there were and how much they took."""
        with self._lock:
            forgotten = Forgotten(len(self._entries), self._size_bytes)
            self._entries.clear()
            self._size_bytes = 0
        return forgotten

    def _size_bytes_max_of(self, key: str) -> int:
        with self._lock:
            size_bytes_max = self._asked.get(key, min(FIRST_BYTES_MAX, self._entry_bytes_max))
            self._asked.setdefault(key, self._entry_bytes_max)
            self._asked.move_to_end(key)
            if len(self._asked) > ASKED_MAX:
                self._asked.popitem(last=False)
        return size_bytes_max

    def _never(self, key: str) -> None:
        """The result is larger than any entry may be, so nothing is put aside for it again."""
        with self._lock:
            if key in self._asked:
                self._asked[key] = 0

    def reserve(self, size_bytes: int) -> bool:
        """Room for so much of an entry on its way, which is given back. Entries go for it."""
        with self._lock:
            if self._way_bytes + size_bytes > self.size_bytes_max // WAY_SHARE:
                return False
            self._way_bytes += size_bytes
            self._make_room()
        return True

    def give_back(self, size_bytes: int) -> None:
        with self._lock:
            self._way_bytes -= size_bytes

    def _put(self, key: str, batches: Sequence[pa.RecordBatch]) -> None:
        try:
            frame = _copied(batches)
        except (pa.ArrowException, PayloadError):
            return  # rows that cannot be copied are not kept
        with self._lock:
            before = self._entries.pop(key, None)
            self._size_bytes += frame.size_bytes - (before.size_bytes if before is not None else 0)
            self._entries[key] = frame
            self._make_room()

    def _make_room(self) -> None:
        while self._entries and self._size_bytes + self._way_bytes > self.size_bytes_max:
            _, gone = self._entries.popitem(last=False)
            self._size_bytes -= gone.size_bytes


class _Way:
    """Batches that may become an entry; none when they are too large, or there is no room."""

    def __init__(self, cache: ResultCache, size_bytes_max: int) -> None:
        self.batches: list[pa.RecordBatch] = []
        self.too_large = size_bytes_max == 0
        self._cache = cache
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._has_room = True

    def take(self, batch: pa.RecordBatch) -> None:
        if self.too_large or not self._has_room:
            return
        size_bytes = data_bytes(batch) + (0 if self.batches else ENTRY_BYTES)
        self.too_large = self._size_bytes + size_bytes > self._size_bytes_max
        self._has_room = not self.too_large and self._cache.reserve(size_bytes)
        if self._has_room:
            self._size_bytes += size_bytes
            self.batches.append(_without_loose(batch))
        else:
            self.leave()

    def leave(self) -> None:
        """More than once does no harm."""
        self._cache.give_back(self._size_bytes)
        self._size_bytes = 0
        self.batches = []


def _without_loose(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch in memory of its own, if it is a small part of what it holds."""
    if batch.get_total_buffer_size() <= 2 * data_bytes(batch) + LOOSE_BYTES:
        return batch
    return (_copied([batch]).batches or (batch.slice(0, 0),))[0]


def _copied(batches: Sequence[pa.RecordBatch]) -> Frame:
    """In one piece of memory, which is all that it holds: neither a mapped file nor what rows were cut of."""
    written = payload(batches[0].schema, batches)
    memory = pa.allocate_buffer(written.size_bytes, resizable=False)
    written.write(memory)
    table = read(memory)
    kept = tuple(batch for batch in table.to_batches() if batch.num_rows)
    return Frame(table.schema, kept, table.num_rows, written.size_bytes + ENTRY_BYTES, 0, None)
