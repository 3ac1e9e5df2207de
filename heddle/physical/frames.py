"""Frames: materialized results of a run, in memory up to a limit and then in mapped Arrow files.

`FrameStore.collect` drains a stream into a `Frame`; a frame knows its exact rows and bytes, which gives
the plans that read it real statistics. Files lie in the run's private folder and are mapped, so a
spilled frame costs address space and page cache, not memory of the process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.core.record import record
from heddle.physical.batches import empty_batch


@record(frozen=True, slots=True)
class Frame:
    """`batches` share one schema; those of a spilled frame map `file`. `memory_bytes` is its heap."""

    schema: pa.Schema
    batches: tuple[pa.RecordBatch, ...]
    rows: int
    size_bytes: int
    memory_bytes: int
    file: Path | None

    def partitions(self, count: int) -> list[list[pa.RecordBatch]]:
        """The batches in `count` runs of about equal rows, in order; at least one batch in all."""
        if not self.batches:
            return [[empty_batch(self.schema)]]
        target = max(1, -(-self.rows // count))
        result: list[list[pa.RecordBatch]] = [[]]
        filled = 0
        for batch in self.batches:
            if filled >= target and len(result) < count:
                result.append([])
                filled = 0
            result[-1].append(batch)
            filled += batch.num_rows
        return result


class FrameStore:
    """The frames of one run. What exceeds `memory_bytes_max` in all goes to files in `folder`."""

    def __init__(self, folder: Path, memory_bytes_max: int) -> None:
        self._folder = folder
        self._memory_bytes_max = memory_bytes_max
        self._memory_bytes = 0
        self._count = 0
        self._lock = threading.Lock()

    def collect(self, batches: Iterable[pa.RecordBatch]) -> Frame:
        """Drain a stream of at least one batch. A half-written file is removed when the stream fails."""
        kept: list[pa.RecordBatch] = []
        rows = size_bytes = kept_bytes = 0
        schema: pa.Schema | None = None
        file: _FrameFile | None = None
        try:
            for batch in batches:
                schema = schema or batch.schema
                batch_bytes = data_bytes(batch)
                rows += batch.num_rows
                size_bytes += batch_bytes
                if file is None and not self._reserve(batch_bytes):
                    file = _FrameFile(self._next_path(), schema)
                    for earlier in kept:
                        file.write(earlier)
                    self._give_back(kept_bytes)
                    kept, kept_bytes = [], 0
                if file is None:
                    kept.append(batch)
                    kept_bytes += batch_bytes
                else:
                    file.write(batch)
            assert schema is not None, "a stream gives at least one batch"
        except BaseException:
            self._give_back(kept_bytes)
            if file is not None:
                file.discard()
            raise
        if file is None:
            return Frame(
                schema,
                tuple(b for b in kept if b.num_rows),
                rows,
                size_bytes,
                kept_bytes,
                None,
            )
        return Frame(schema, file.mapped(), rows, size_bytes, 0, file.path)

    def free(self, frame: Frame) -> None:
        """Nothing reads the frame any more."""
        self._give_back(frame.memory_bytes)
        if frame.file is not None:
            frame.file.unlink(missing_ok=True)

    def hand_over(self, frame: Frame, to: FrameStore) -> None:
        """The frame's memory counts there instead, which may take that store above its limit."""
        self._give_back(frame.memory_bytes)
        to._give_back(-frame.memory_bytes)

    def _reserve(self, size_bytes: int) -> bool:
        with self._lock:
            if self._memory_bytes + size_bytes > self._memory_bytes_max:
                return False
            self._memory_bytes += size_bytes
            return True

    def _give_back(self, size_bytes: int) -> None:
        with self._lock:
            self._memory_bytes -= size_bytes

    def _next_path(self) -> Path:
        with self._lock:
            self._count += 1
            return self._folder / f"frame-{self._count}.arrow"


class _FrameFile:
    """An Arrow IPC file that is being written."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def mapped(self) -> tuple[pa.RecordBatch, ...]:
        self._writer.close()
        self._file.close()
        reader = pa.ipc.open_file(pa.memory_map(str(self.path)))
        return tuple(reader.get_batch(i) for i in range(reader.num_record_batches))

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
