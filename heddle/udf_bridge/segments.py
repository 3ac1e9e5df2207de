"""The engine's shared memory: segments that it makes, lends and takes back (protocol.md, "Shared memory").

A segment is a `memfd`, so nothing is left of it after any crash; a system without them sends everything
inline. Segments are reused, because touching new pages costs more than copying into old ones.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import deque
from typing import Final

import pyarrow as pa

from heddle.core.record import record
from heddle.core.wire.plugin_pb2 import Segment
from heddle.core.wire.segments import slice_of

MEBIBYTE: Final = 1 << 20
SLACK: Final = 1.25
"""Room for the next batch of a stream, which is seldom of the same size."""
HAS_SEGMENTS: Final = hasattr(os, "memfd_create")
FIT_MAX: Final = 4
"""A free segment is taken for a payload of at least this part of it."""


class SharedMemory:
    """How many bytes of shared memory all pools of an engine may hold."""

    def __init__(self, bytes_max: int) -> None:
        self._free = bytes_max
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> bool:
        with self._lock:
            if size_bytes > self._free:
                return False
            self._free -= size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        with self._lock:
            self._free += size_bytes


@record(frozen=True, slots=True)
class OwnedSegment:
    """`memory` maps all of it, writable."""

    id: int
    descriptor: int
    path: str
    memory: pa.Buffer

    @property
    def wire(self) -> Segment:
        return Segment(id=self.id, path=self.path, size_bytes=self.memory.size)


class SegmentPool:
    """The segments that are shared with one plugin process. Thread-safe."""

    def __init__(self, shared: SharedMemory) -> None:
        self._shared = shared
        self._lock = threading.Lock()
        self._free: dict[int, OwnedSegment] = {}
        self._lent: dict[int, OwnedSegment] = {}
        self._returned: deque[int] = deque()
        self._forgotten: list[int] = []
        self._next_id = 1
        self._closed = False

    def take(self, size_bytes: int) -> OwnedSegment | None:
        """A segment of at least `size_bytes`; None when the memory is used up."""
        with self._lock:
            if self._closed:
                return None
            self._take_back()
            fitting = [s for s in self._free.values() if size_bytes <= s.memory.size]
            found = min(fitting, key=lambda s: s.memory.size, default=None)
            if found is None or found.memory.size > max(size_bytes * FIT_MAX, MEBIBYTE):
                found = self._make(size_bytes) or found
            if found is not None:
                self._free.pop(found.id, None)
                self._lent[found.id] = found
            return found

    def give_back(self, id: int) -> None:
        """Nobody reads or writes it any more. May be called by a finalizer, so it takes no lock."""
        self._returned.append(id)

    def lent_slice(self, segment: OwnedSegment, length: int) -> pa.Buffer:
        """What was written into a segment, to read; the segment comes back when nothing refers to it."""
        return slice_of(segment.memory, 0, length, lambda: self.give_back(segment.id))

    def lent(self, id: int) -> OwnedSegment | None:
        with self._lock:
            return self._lent.get(id)

    def forgotten(self) -> list[int]:
        """Segments that are gone since the last time, for the plugin to unmap."""
        with self._lock:
            ids, self._forgotten = self._forgotten, []
            return ids

    def trim(self, keep_bytes: int) -> None:
        """Drop free segments, the largest first, until they hold at most `keep_bytes`."""
        with self._lock:
            self._take_back()
            free = sorted(self._free.values(), key=lambda s: s.memory.size)
            held = sum(s.memory.size for s in free)
            while free and held > keep_bytes:
                segment = free.pop()
                held -= segment.memory.size
                self._drop(self._free.pop(segment.id))

    def close(self) -> None:
        """The plugin is gone: what it had borrowed is free. What the engine still reads stays mapped."""
        with self._lock:
            self._closed = True
            for segment in [*self._free.values(), *self._lent.values()]:
                self._drop(segment)
            self._free.clear()
            self._lent.clear()

    def _take_back(self) -> None:
        while self._returned:
            segment = self._lent.pop(self._returned.popleft(), None)
            if segment is not None:
                self._free[segment.id] = segment

    def _make(self, size_bytes: int) -> OwnedSegment | None:
        if not HAS_SEGMENTS:
            return None
        whole = -(-int(size_bytes * SLACK) // MEBIBYTE) * MEBIBYTE
        free = sorted(self._free.values(), key=lambda s: s.memory.size)
        while not self._shared.take(whole):
            if not free:
                return None
            self._drop(self._free.pop(free.pop().id))
        try:
            segment = _segment(self._next_id, whole)
        except OSError:
            self._shared.give_back(whole)
            return None
        self._next_id += 1
        return segment

    def _drop(self, segment: OwnedSegment) -> None:
        self._forgotten.append(segment.id)
        os.close(segment.descriptor)
        self._shared.give_back(segment.memory.size)


def _segment(id: int, size_bytes: int) -> OwnedSegment:
    """Its pages are there before anybody writes. Raises `OSError` when there is no memory for them."""
    descriptor = os.memfd_create("heddle", os.MFD_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
        mapped = mmap.mmap(
            descriptor, size_bytes, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ | mmap.PROT_WRITE
        )
    except OSError:
        os.close(descriptor)
        raise
    return OwnedSegment(id, descriptor, f"/proc/{os.getpid()}/fd/{descriptor}", pa.py_buffer(mapped))
