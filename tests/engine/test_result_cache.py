"""The result cache by itself: what it takes, and what goes for it."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pytest

from heddle.physical.batches import Batches
from heddle.physical.result_cache import ENTRY_BYTES, ENTRY_SHARE, FIRST_BYTES_MAX, ResultCache

KIB = 1 << 10


def rows(size_bytes: int, value: int = 0) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array([value] * (size_bytes // 8), pa.int64())})


def put(cache: ResultCache, key: str, *batches: pa.RecordBatch, holds: bool = True) -> None:
    assert list(cache.keeping(key, stream(batches), lambda: holds)) == list(batches)


def stream(batches: Iterable[pa.RecordBatch]) -> Batches:
    yield from batches


def keys(cache: ResultCache, *known: str) -> set[str]:
    return {key for key in known if key in cache}


def test_rows_come_back_as_they_were() -> None:
    cache = ResultCache(1 << 20)
    schema = pa.schema(
        [pa.field("a", pa.dictionary(pa.int8(), pa.string()), nullable=False), ("b", pa.list_(pa.int64()))],
        metadata={"of": "a table"},
    )
    batch = pa.record_batch(
        [pa.array(["x", "y", "x"]).dictionary_encode().cast(schema[0].type), [[1], None, []]], schema
    )
    put(cache, "key", batch, batch.slice(1))
    found = cache.load("key")
    assert found is not None
    assert found.schema.equals(schema, check_metadata=True)
    assert (found.rows, pa.Table.from_batches(found.batches).to_pylist()) == (
        5,
        [*batch.to_pylist(), *batch.slice(1).to_pylist()],
    )


def test_no_rows_are_a_result() -> None:
    cache = ResultCache(1 << 20)
    put(cache, "key", rows(0))
    found = cache.load("key")
    assert found is not None
    assert (found.rows, found.schema.names) == (0, ["n"])


def test_what_was_not_used_for_the_longest_time_goes() -> None:
    cache = ResultCache(256 * KIB)
    for key in "abc":
        put(cache, key, rows(60 * KIB))
    assert cache.load("a") is not None
    for key in "de":
        put(cache, key, rows(60 * KIB))
    assert keys(cache, *"abcde") == {"a", "d", "e"}
    assert cache.size_bytes <= cache.size_bytes_max


def test_what_is_too_large_takes_no_room() -> None:
    cache = ResultCache(256 * KIB)
    put(cache, "small", rows(KIB))
    put(cache, "large", *[rows(16 * KIB)] * (256 // 16 // ENTRY_SHARE))
    assert keys(cache, "small", "large") == {"small"}
    for key in "abcdefgh":  # what it had taken was given back
        put(cache, key, rows(KIB))
    assert len(cache) == 9


def test_rows_on_their_way_take_room() -> None:
    cache = ResultCache(256 * KIB)
    put(cache, "before", rows(50 * KIB))
    ways = [cache.keeping(str(i), stream([rows(50 * KIB)]), lambda: True) for i in range(4)]
    for way in ways:
        next(way)
    assert cache.size_bytes + 2 * (50 * KIB + ENTRY_BYTES) <= cache.size_bytes_max
    for way in ways:
        assert next(way, None) is None
    assert keys(cache, "before", *"0123") == {"before", "0", "1"}
    put(cache, "0", rows(KIB))
    assert cache.size_bytes < 110 * KIB + 3 * ENTRY_BYTES + KIB


@pytest.mark.parametrize("ends", ["closed", "failed"])
def test_what_does_not_end_is_no_result(ends: str) -> None:
    cache = ResultCache(1 << 20)
    closed: list[str] = []

    def given() -> Batches:
        try:
            yield rows(KIB)
            raise OSError("broken")
        finally:
            closed.append("source")

    batches = cache.keeping("key", given(), lambda: True)
    next(batches)
    if ends == "closed":
        batches.close()
    else:
        with pytest.raises(OSError, match="broken"):
            next(batches)
    assert closed == ["source"]
    assert "key" not in cache
    put(cache, "all", rows(250 * KIB))
    assert "all" in cache


def test_what_holds_no_longer_is_no_result() -> None:
    cache = ResultCache(1 << 20)
    put(cache, "key", rows(KIB), holds=False)
    assert "key" not in cache


def test_a_few_rows_do_not_hold_those_that_they_were_cut_of() -> None:
    cache = ResultCache(1 << 20)
    whole = rows(8 << 20)
    before = pa.total_allocated_bytes()
    put(cache, "key", whole.slice(10, 5))
    found = cache.load("key")
    assert found is not None
    assert sum(batch.get_total_buffer_size() for batch in found.batches) < KIB
    assert found.size_bytes < 2 * ENTRY_BYTES
    assert pa.total_allocated_bytes() - before < 64 * KIB


def test_clearing_says_what_there_was() -> None:
    cache = ResultCache(1 << 20)
    put(cache, "a", rows(KIB))
    put(cache, "b", rows(KIB))
    size_bytes = cache.size_bytes
    forgotten = cache.clear()
    assert (forgotten.count, forgotten.size_bytes) == (2, size_bytes)
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_a_large_result_is_kept_when_it_is_computed_again() -> None:
    cache = ResultCache(64 << 20)
    large = rows(FIRST_BYTES_MAX)
    for there in (False, True):
        put(cache, "key", large)
        assert ("key" in cache) is there


def test_nothing_is_put_aside_for_what_is_known_to_be_too_large() -> None:
    cache = ResultCache(16 << 20)
    put(cache, "other", rows(KIB))
    too_large = [rows(1 << 20)] * 5
    for _ in range(2):
        put(cache, "key", *too_large)
    way = cache.keeping("key", stream(too_large), lambda: True)
    next(way)
    for i in range(15):
        put(cache, str(i), rows(1 << 20))
        put(cache, str(i), rows(1 << 20))
    assert len(cache) == 16
    assert list(way) == too_large[1:]
    assert keys(cache, "key", "other", "14") == {"other", "14"}
