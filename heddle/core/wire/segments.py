"""Shared memory as a plugin sees it: segments mapped once, slices of them as buffers that tell their end."""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections.abc import Callable, Iterable

import pyarrow as pa

from heddle.core.wire.plugin_pb2 import Segment


class SegmentError(Exception):
    """A segment that cannot be mapped."""


class MappedSegments:
    """Segments by id; input is mapped read-only, output writable. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mapped: dict[tuple[int, bool], pa.Buffer] = {}

    def input(
        self, segment: Segment, offset: int, length: int, on_release: Callable[[int], None]
    ) -> pa.Buffer:
        """A slice to read. `on_release` is called with the segment's id, from any thread, when the last
        array over it is gone. Raises `SegmentError`."""
        return slice_of(self._map(segment, False), offset, length, lambda: on_release(segment.id))

    def output(self, segment: Segment) -> pa.Buffer:
        """The whole segment, to write. Raises `SegmentError`."""
        return self._map(segment, True)

    def forget(self, ids: Iterable[int]) -> None:
        """The memory is given back when the last array over it is gone."""
        with self._lock:
            for id in ids:
                self._mapped.pop((id, False), None)
                self._mapped.pop((id, True), None)

    def _map(self, segment: Segment, writable: bool) -> pa.Buffer:
        with self._lock:
            found = self._mapped.get((segment.id, writable))
            if found is None:
                found = self._mapped[segment.id, writable] = map_file(
                    segment.path, segment.size_bytes, writable=writable
                )
            return found


def map_file(path: str, size_bytes: int, *, writable: bool) -> pa.Buffer:
    """The file as a buffer; a mutable one when `writable`. Raises `SegmentError`."""
    try:
        descriptor = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        raise SegmentError(f"a shared-memory segment cannot be opened ({error.strerror})") from error
    try:
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        return pa.py_buffer(mmap.mmap(descriptor, size_bytes, mmap.MAP_SHARED, protection))
    except (OSError, ValueError) as error:
        raise SegmentError(f"a shared-memory segment cannot be mapped ({error})") from error
    finally:
        os.close(descriptor)


class _Slice:
    """What every array over a slice holds; its end is the slice's release."""

    __slots__ = ("__weakref__", "memory")

    def __init__(self, memory: pa.Buffer) -> None:
        self.memory = memory


def slice_of(memory: pa.Buffer, offset: int, length: int, on_release: Callable[[], None]) -> pa.Buffer:
    """A read-only buffer over a part of `memory`; `on_release` is called once nothing refers to it."""
    if offset + length > memory.size:
        raise SegmentError(f"bytes {offset} to {offset + length} of a segment of {memory.size} bytes")
    owner = _Slice(memory)
    weakref.finalize(owner, on_release).atexit = False
    return pa.foreign_buffer(memory.address + offset, length, base=owner)
