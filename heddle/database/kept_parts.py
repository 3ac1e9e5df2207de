"""The parts that hold the rows of kept tables: written as batches come, cut at a size, deleted when nothing
holds them.

A part is a file, or where the tables need not outlast the process, rows in its memory, as long as there is
some left for them. It is held by the table that it belongs to, by transactions that see it, and by what is
being read.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.database.errors import QueryError
from heddle.database.kept_manifest import Part
from heddle.database.memory_part import MemoryPart, MemoryShare
from heddle.database.part_file import PartFile
from heddle.std.mapped import let_go_of_rows

ENDING: Final = ".arrow"
_NAME: Final = r"[0-9a-f]{32}\.arrow"
PART_BYTES_MAX: Final = 1 << 30
BATCH_BYTES_MIN: Final = 1 << 20
"""Smaller batches are put together before they are written."""
BATCH_COUNT_MAX: Final = 1024
"""So many small batches are put together at most."""
LARGE_PART_BYTES: Final = 16 << 20
"""To delete a larger part takes so long that nobody waits for it."""


class Parts:
    """The parts of one folder. Safe for threads."""

    def __init__(self, folder: Path, *, part_bytes_max: int, memory_bytes_max: int = 0) -> None:
        """`memory_bytes_max`: what all parts in memory may have together."""
        self.folder = folder
        self.memory = MemoryShare(memory_bytes_max)
        self._part_bytes_max = part_bytes_max
        self._lock = threading.Lock()
        self._holders: Counter[str] = Counter()
        self._forgotten: deque[tuple[Part, ...]] = deque()
        self._closed = False
        self._deleting = ThreadPoolExecutor(1, thread_name_prefix="heddle-delete")

    def hold(self, parts: Iterable[Part]) -> None:
        with self._lock:
            self._holders.update(part.file for part in parts)

    def let_go(self, parts: Iterable[Part]) -> None:
        """Delete those that nothing holds any more. What is mapped stays readable."""
        unheld: list[Part] = []
        with self._lock:
            let_go = list(parts)
            while self._forgotten:
                let_go += self._forgotten.popleft()
            for part in let_go:
                self._holders[part.file] -= 1
                assert self._holders[part.file] >= 0, "a part is let go as often as it is held"
                if not self._holders[part.file]:
                    del self._holders[part.file]
                    unheld.append(part)
            for part in unheld:
                if self._closed:
                    let_go_of_rows(self.folder / part.file)
                elif part.size_bytes < LARGE_PART_BYTES:
                    self._delete(part)
                else:
                    self._deleting.submit(self._delete, part)

    def let_go_later(self, parts: tuple[Part, ...]) -> None:
        """The same with the next ones. Takes no lock, so that the search for garbage may call it anywhere."""
        self._forgotten.append(parts)

    def close(self) -> None:
        """What was to be deleted is gone, and nothing is from here on: the folder may be somebody else's.
        More than once does no harm."""
        with self._lock:
            self._closed = True
            for file in self._holders:
                let_go_of_rows(self.folder / file)
        self._deleting.shutdown()

    def _delete(self, part: Part) -> None:
        path = self.folder / part.file
        if let_go_of_rows(path):
            self.memory.give_back(part.size_bytes)
        else:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what an ended process has left: parts that nothing holds."""
        with self._lock:
            for path in self.folder.iterdir():
                if re.fullmatch(_NAME, path.name) and path.name not in self._holders:
                    path.unlink(missing_ok=True)

    def writer(self, table: str, schema: pa.Schema) -> PartWriter:
        return PartWriter(self, table, schema, self._part_bytes_max)


class PartWriter:
    """Batches of one schema become parts, which the writer holds until they are let go. Used by one thread
    at a time."""

    def __init__(self, parts: Parts, table: str, schema: pa.Schema, part_bytes_max: int) -> None:
        self._parts = parts
        self._part_bytes_max = part_bytes_max
        self._table = table
        self._schema = schema
        self._written: list[Part] = []
        self._small: list[pa.RecordBatch] = []
        self._small_bytes = 0
        self._open: MemoryPart | FilePart | None = None

    def write(self, batch: pa.RecordBatch, *, compact: bool = False) -> None:
        """`compact`: the batch keeps little memory beside its own rows'. Raises `QueryError`; what was
        written before stays until it is let go."""
        if not batch.num_rows:
            return
        size_bytes = data_bytes(batch)
        if size_bytes >= BATCH_BYTES_MIN and not self._small:
            self._put(batch, compact=compact)
            return
        self._small.append(batch)
        self._small_bytes += size_bytes
        if self._small_bytes >= BATCH_BYTES_MIN or len(self._small) >= BATCH_COUNT_MAX:
            self._put_small()

    def finish(self) -> tuple[Part, ...]:
        """All parts, at least one. Raises `QueryError`."""
        if self._small:
            self._put_small()
        if self._open is None and not self._written:
            with write_errors(self._table):
                self._open = self._begun()
        self._end_part()
        return tuple(self._written)

    def files(self, parts: Iterable[Part]) -> list[Path]:
        """Where parts of the same folder lie."""
        return [self._parts.folder / part.file for part in parts]

    def discard(self) -> None:
        """Let go of all that was written. More than once does no harm."""
        part, self._open = self._open, None
        if part is not None:
            part.discard()
        written, self._written = self._written, []
        self._parts.let_go(written)

    def _put_small(self) -> None:
        small, self._small, self._small_bytes = self._small, [], 0
        self._put(small[0] if len(small) == 1 else pa.concat_batches(small))

    def _put(self, batch: pa.RecordBatch, *, compact: bool = False) -> None:
        with write_errors(self._table):
            if self._open is None:
                self._open = self._begun()
            if not self._open.write(batch, compact=compact):
                self._open = self._moved(self._open)
                self._open.write(batch)
        if self._open.size_bytes >= self._part_bytes_max:
            self._end_part()

    def _begun(self) -> MemoryPart | FilePart:
        memory = self._parts.memory
        path = self._parts.folder / f"{uuid4().hex}{ENDING}"
        return MemoryPart(path, self._schema, memory) if memory.bytes_max else FilePart(path, self._schema)

    def _moved(self, part: MemoryPart | FilePart) -> FilePart:
        """The rows of a part for which there is no more memory, in a file."""
        assert isinstance(part, MemoryPart), "a file takes all that is written"
        file = FilePart(self._parts.folder / f"{uuid4().hex}{ENDING}", self._schema)
        try:
            for batch in part.batches():
                file.write(batch)
        except BaseException:
            file.discard()
            raise
        part.discard()
        return file

    def _end_part(self) -> None:
        if self._open is None:
            return
        with write_errors(self._table):
            part = self._open.finish()
        self._open = None
        self._parts.hold((part,))
        self._written.append(part)


class FilePart:
    """A part that is being written to a file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._file = PartFile(self._path)
        try:
            self._writer = pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), schema)
        except BaseException:
            self.discard()
            raise
        self._rows = 0

    @property
    def size_bytes(self) -> int:
        return self._file.tell()

    def write(self, batch: pa.RecordBatch, *, compact: bool = False) -> bool:
        """Always true: it takes all."""
        self._writer.write_batch(batch)
        self._rows += batch.num_rows
        return True

    def finish(self) -> Part:
        self._writer.close()
        return Part(self._path.name, self._rows, self._file.finish())

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


@contextmanager
def write_errors(table: str) -> Iterator[None]:
    """What the disk refuses as a `QueryError` that names the table, and no path."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise QueryError(
                "exhausted",
                f"there is no space left for the rows of `{table}`",
                help="drop tables that are not needed, or give the server a larger disk",
            ) from error
        reason = os.strerror(error.errno) if error.errno is not None else "the disk does not take them"
        raise QueryError("failed", f"the rows of `{table}` cannot be kept: {reason}") from error
