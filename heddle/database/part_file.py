"""A file that is written once, front to back, past the page cache where the system can.

Writing large files through the page cache costs several times the CPU of a copy, and a wait at the end until
all of it is on the disk. Here bytes are collected in few buffers, and a thread writes a full one while the
next is filled. A file that fits into one buffer is written as any other.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

BUFFER_BYTES: Final = 4 << 20
BUFFER_COUNT: Final = 3
BLOCK_BYTES: Final = 4096
"""Files that are written past the cache are written in whole blocks, at addresses that begin one."""


class PartFile:
    """A binary file to write to, as `pyarrow.PythonFile` takes it. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError`, also when there is such a file."""
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._size_bytes = 0
        self._buffer = bytearray()
        self._writer: _BlockWriter | None = None
        self.closed = False

    def tell(self) -> int:
        return self._size_bytes

    def flush(self) -> None:
        """Nothing is on the disk for sure until `finish`."""

    def write(self, data: bytes) -> int:
        """`data` is anything with bytes. Raises `OSError`, also for what was written before."""
        view = memoryview(data).cast("B")
        count = len(view)
        self._size_bytes += count
        if self._writer is None:
            if len(self._buffer) + count <= BUFFER_BYTES:
                self._buffer += view
                return count
            self._writer = _BlockWriter(self._path)
            self._writer.write(memoryview(self._buffer))
            self._buffer = bytearray()
        self._writer.write(view)
        return count

    def finish(self) -> int:
        """Close it, and say how large it is. Raises `OSError`."""
        try:
            if self._writer is not None:
                self._writer.finish()
                os.ftruncate(self._descriptor, self._size_bytes)
            else:
                rest = memoryview(self._buffer)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
        finally:
            self.close()
        return self._size_bytes

    def close(self) -> None:
        """Without `finish` the file is not whole. More than once does no harm."""
        if self.closed:
            return
        self.closed = True
        if self._writer is not None:
            self._writer.close()
        os.close(self._descriptor)


class _BlockWriter:
    """Writes in blocks, a buffer at a time, behind the one who fills the buffers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _open_past_cache(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="heddle-part")
        self._free = [mmap.mmap(-1, BUFFER_BYTES) for _ in range(BUFFER_COUNT)]
        self._written: deque[Future[mmap.mmap]] = deque()
        self._buffer = self._free.pop()
        self._filled = 0
        self._offset = 0

    def write(self, data: memoryview) -> None:
        while data:
            count = min(len(data), BUFFER_BYTES - self._filled)
            self._buffer[self._filled : self._filled + count] = data[:count]
            self._filled += count
            data = data[count:]
            if self._filled == BUFFER_BYTES:
                self._hand_over(BUFFER_BYTES)

    def finish(self) -> None:
        """Write what is left, with zeros up to the end of its block."""
        if self._filled:
            count = -(-self._filled // BLOCK_BYTES) * BLOCK_BYTES
            self._buffer[self._filled : count] = bytes(count - self._filled)
            self._hand_over(count)
        while self._written:
            self._take_back()

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        os.close(self._descriptor)

    def _hand_over(self, count: int) -> None:
        self._written.append(self._thread.submit(self._put, self._buffer, count, self._offset))
        self._offset += count
        self._filled = 0
        if not self._free:
            self._take_back()
        self._buffer = self._free.pop()

    def _take_back(self) -> None:
        self._free.append(self._written.popleft().result())

    def _put(self, buffer: mmap.mmap, count: int, offset: int) -> mmap.mmap:
        with memoryview(buffer) as whole:
            done = 0
            while done < count:
                with whole[done:count] as rest:
                    done += self._put_some(rest, offset + done)
        return buffer

    def _put_some(self, data: memoryview, offset: int) -> int:
        """How many bytes were written, which may be less than there are."""
        try:
            return os.pwrite(self._descriptor, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        # The disk has larger blocks, or ends within one: what is left goes through the cache.
        os.close(self._descriptor)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        return os.pwrite(self._descriptor, data, offset)


def _open_past_cache(path: Path) -> int:
    """Through the cache where the file system takes no other writes."""
    flags = os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags | getattr(os, "O_DIRECT", 0))
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        return os.open(path, flags)
