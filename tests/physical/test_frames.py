"""Frames: in memory up to the store's limit, then mapped files; freed without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.physical.frames import FrameStore


def batches(count: int, rows: int = 1000) -> Iterator[pa.RecordBatch]:
    for i in range(count):
        yield pa.record_batch({"n": pa.array(range(i * rows, (i + 1) * rows), pa.int64())})


def numbers(frame_batches: tuple[pa.RecordBatch, ...]) -> list[int]:
    return pa.Table.from_batches(frame_batches)["n"].to_pylist()


def test_a_small_frame_stays_in_memory(tmp_path: Path) -> None:
    frame = FrameStore(tmp_path, 1 << 20).collect(batches(3))
    assert (frame.rows, frame.file, frame.size_bytes) == (3000, None, 24_000)
    assert numbers(frame.batches) == list(range(3000))


def test_a_big_frame_is_a_mapped_file_that_freeing_removes(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 10_000)
    before = pa.total_allocated_bytes()
    frame = store.collect(batches(50))
    assert frame.file is not None and frame.file.exists()
    assert frame.memory_bytes == 0
    assert pa.total_allocated_bytes() - before < 10_000
    assert numbers(frame.batches) == list(range(50_000))
    store.free(frame)
    assert list(tmp_path.iterdir()) == []


def test_memory_given_back_is_used_again(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 10_000)
    for _ in range(5):
        frame = store.collect(batches(1))
        assert frame.file is None
        store.free(frame)


def test_a_stream_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from batches(5)
        raise ValueError("torn")

    store = FrameStore(tmp_path, 10_000)
    with pytest.raises(ValueError, match="torn"):
        store.collect(broken())
    assert list(tmp_path.iterdir()) == []
    assert store.collect(batches(1)).file is None


def test_partitions_keep_all_rows_in_order(tmp_path: Path) -> None:
    frame = FrameStore(tmp_path, 1 << 20).collect(batches(7))
    partitions = frame.partitions(3)
    assert len(partitions) == 3
    assert numbers(tuple(b for p in partitions for b in p)) == list(range(7000))


def test_an_empty_frame_still_has_a_batch_to_register(tmp_path: Path) -> None:
    frame = FrameStore(tmp_path, 1 << 20).collect(batches(1, rows=0))
    assert frame.rows == 0
    assert [[b.num_rows for b in p] for p in frame.partitions(4)] == [[0]]
