"""The cache of lookups: what is found again, what is let go, and when."""

from __future__ import annotations

import pyarrow as pa
import pytest

from heddle.physical.lookup_cache import LookupCache
from heddle.sdk import LOOKUP_KEY


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def tuples(*values: object) -> pa.Table:
    return pa.table({"id": pa.array(list(values))})


def found(*rows: tuple[int, str]) -> pa.Table:
    numbers = pa.array([number for number, _ in rows], pa.int64())
    return pa.table({"name": pa.array([name for _, name in rows], pa.string()), LOOKUP_KEY: numbers})


def known(
    cache: LookupCache, asked: pa.Table, statement: str = "s"
) -> tuple[list[tuple[str, int]], list[int]]:
    """The rows that the cache knows, with the numbers of their tuples, and the tuples that it does not."""
    answer = cache.find(statement, asked)
    rows = [] if answer.rows is None else [tuple(row.values()) for row in answer.rows.to_pylist()]
    return rows, answer.unknown.to_pylist()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> LookupCache:
    return LookupCache(100_000, 60.0, clock)


def test_rows_and_that_there_are_none_are_known(cache: LookupCache) -> None:
    cache.keep("s", tuples(7, 8, 9), found((2, "nine"), (0, "seven"), (0, "other seven")))
    assert known(cache, tuples(9, 5, 8, 7)) == (
        [("nine", 0), ("seven", 3), ("other seven", 3)],
        [1],
    )


def test_statements_are_told_apart(cache: LookupCache) -> None:
    cache.keep("s", tuples(7), found((0, "seven")))
    assert known(cache, tuples(7), "other") == ([], [0])


def test_what_is_found_anew_takes_the_place_of_what_was_known(cache: LookupCache) -> None:
    cache.keep("s", tuples(7, 8), found((0, "old"), (1, "eight")))
    cache.keep("s", tuples(9, 7), found((1, "new")))
    assert known(cache, tuples(7, 8, 9)) == ([("new", 0), ("eight", 1)], [])


def test_rows_count_for_a_time_only(cache: LookupCache, clock: Clock) -> None:
    cache.keep("s", tuples(7), found((0, "seven")))
    clock.now_s += 59
    cache.keep("s", tuples(8), found((0, "eight")))
    assert known(cache, tuples(7, 8))[1] == []
    clock.now_s += 2
    assert known(cache, tuples(7, 8)) == ([("eight", 1)], [0])


def test_tuples_of_several_values(cache: LookupCache) -> None:
    def pairs(*values: tuple[str, int]) -> pa.Table:
        return pa.table({"a": [a for a, _ in values], "b": [b for _, b in values]})

    cache.keep("s", pairs(("x:1", 2), ("x", 12), ("", 0)), found((0, "first"), (2, "third")))
    assert known(cache, pairs(("x", 12), ("x:1", 2), ("x:", 12), ("", 0))) == (
        [("first", 1), ("third", 3)],
        [2],
    )


def test_what_was_used_least_recently_goes_first(clock: Clock) -> None:
    cache = LookupCache(40_000, 60.0, clock)
    cache.keep("s", tuples("hot"), found((0, "h" * 100)))
    for number in range(1000):
        cache.keep("s", tuples(f"cold {number}"), found((0, "c" * 100)))
        assert cache.size_bytes <= 40_000
        assert known(cache, tuples("hot"))[1] == []
    assert known(cache, tuples("cold 999"))[1] == []
    assert known(cache, tuples("cold 1"))[1] == [0]


def test_other_statements_make_room_too(clock: Clock) -> None:
    cache = LookupCache(20_000, 60.0, clock)
    cache.keep("a", tuples(*range(100)), found(*((n, "a" * 50) for n in range(100))))
    cache.keep("b", tuples(*range(100)), found(*((n, "b" * 50) for n in range(100))))
    cache.keep("c", tuples(*range(100)), found(*((n, "c" * 50) for n in range(100))))
    assert cache.size_bytes <= 20_000
    assert known(cache, tuples(1), "a")[1] == [0]
    assert known(cache, tuples(1), "c")[1] == []


def test_more_than_fits_is_not_kept(clock: Clock) -> None:
    cache = LookupCache(1_000, 60.0, clock)
    cache.keep("s", tuples(1), found((0, "x" * 5_000)))
    assert cache.size_bytes == 0
    assert known(cache, tuples(1)) == ([], [0])


def test_nothing_found_at_all(cache: LookupCache) -> None:
    cache.keep("s", tuples(1, 2), found())
    assert known(cache, tuples(2, 1, 3)) == ([], [2])
