"""The memo: results of steps on disk, by content key, for later runs of any program of this user.

An entry is one file: a head with a checksum, then an Arrow file that is mapped when it is read. It appears
whole or not at all, and is never changed, so that processes need no agreement to read. What was not used for
the longest time goes when the memo gets larger than it may be. A memo only ever saves work: an entry that
cannot be read is none, and one that cannot be written is left out.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.core.private_folder import private
from heddle.core.record import record
from heddle.physical.frames import Frame

FORMAT: Final = b"heddle-memo-1\0\0\0"
HEAD_BYTES: Final = 64
"""A multiple of the alignment that Arrow wants of buffers."""
ENDING: Final = ".memo"
PARTIAL_ENDING: Final = ".partial"
PARTIAL_AGE_MAX_S: Final = 3600.0
"""An unfinished entry of that age was left by a process that is gone."""
CHUNK_BYTES: Final = 1 << 20


def memo_folder(environ: Mapping[str, str]) -> Path:
    """`heddle/memo` in the user's cache folder. Raises `OSError` when it cannot be had for the user alone."""
    cache = Path(environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # as the XDG specification wants it
        cache = Path(environ.get("HOME") or Path.home(), ".cache")
    above = cache / "heddle"
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    return private(above / "memo", variable="XDG_CACHE_HOME")


@record(frozen=True, slots=True)
class Cleared:
    count: int
    size_bytes: int


class Memo:
    """The entries of one folder, which take at most `size_bytes_max`. Safe for threads and processes."""

    def __init__(self, folder: Path, size_bytes_max: int) -> None:
        self._folder = folder
        self._size_bytes_max = size_bytes_max

    def holds(self, key: str) -> bool:
        return self._path(key).exists()

    def load(self, key: str) -> Frame | None:
        """The result, mapped; it stays readable when the entry goes. Makes it the last that goes."""
        path = self._path(key)
        try:
            with pa.memory_map(str(path)) as file:
                whole = file.read_buffer()
        except OSError:
            return None
        frame = _frame(whole)
        with suppress(OSError):  # another process has removed it, or the disk is read-only
            path.unlink() if frame is None else os.utime(path)
        return frame

    def store(self, key: str, frame: Frame) -> bool:
        """Whether it is there now; not when it is too large, or cannot be written."""
        if frame.size_bytes > self._size_bytes_max:
            return False
        partial = self._folder / f"{uuid4().hex}{PARTIAL_ENDING}"
        try:
            _write(partial, frame)
            with self._locked():
                partial.rename(self._path(key))
                self._evict()
        except (OSError, pa.ArrowInvalid):
            partial.unlink(missing_ok=True)
            return False
        return self.holds(key)

    def clear(self) -> Cleared:
        """Remove all entries, and say how many there were and how much they took."""
        with self._locked():
            entries = list(self._entries())
            for path, _ in entries:
                path.unlink(missing_ok=True)
        return Cleared(len(entries), sum(status.st_size for _, status in entries))

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{ENDING}"

    def _evict(self) -> None:
        entries = sorted(self._entries(), key=lambda entry: entry[1].st_mtime_ns, reverse=True)
        size_bytes = 0
        for path, status in entries:
            size_bytes += status.st_size
            if size_bytes > self._size_bytes_max:
                path.unlink(missing_ok=True)
        for partial in self._folder.glob(f"*{PARTIAL_ENDING}"):
            try:
                if time.time() - partial.stat().st_mtime > PARTIAL_AGE_MAX_S:
                    partial.unlink()
            except FileNotFoundError:
                continue

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._folder.glob(f"*{ENDING}"):
            try:
                yield path, path.stat()
            except FileNotFoundError:
                continue

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one process at a time adds and removes entries, so that their sum is right."""
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _write(path: Path, frame: Frame) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        file.write(bytes(HEAD_BYTES))
        with pa.ipc.new_file(pa.PythonFile(file, mode="w"), frame.schema) as writer:
            for batch in frame.batches:
                writer.write_batch(batch)
        file.seek(HEAD_BYTES)
        checksum = 0
        while chunk := file.read(CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
        file.seek(0)
        file.write(FORMAT + struct.pack("<I", checksum))


def _frame(whole: pa.Buffer) -> Frame | None:
    """The entry as a frame; None when it is not whole."""
    head = whole[:HEAD_BYTES].to_pybytes()
    body = whole[HEAD_BYTES:]
    if len(head) < HEAD_BYTES or not head.startswith(FORMAT):
        return None
    (checksum,) = struct.unpack_from("<I", head, len(FORMAT))
    if zlib.crc32(body) != checksum:
        return None
    reader = pa.ipc.open_file(pa.BufferReader(body))
    batches = tuple(reader.get_batch(i) for i in range(reader.num_record_batches))
    rows = sum(batch.num_rows for batch in batches)
    return Frame(reader.schema, batches, rows, sum(map(data_bytes, batches)), 0, None)
