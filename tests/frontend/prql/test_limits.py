"""Deep and long queries: within the limits they compile, beyond them a diagnostic says so, nothing dies."""

from __future__ import annotations

import threading

import pytest

from heddle.frontend.prql.native import DIRECT_CHARS_MAX
from heddle.frontend.prql.words import NESTING_MAX, TERMS_MAX
from tests.frontend.prql.queries import compile_one, failed, rows_of
from tests.waiting import until


@pytest.mark.parametrize(
    "text",
    [
        "derive {x = " + "(" * 1_000 + "id" + ")" * 1_000 + "}",
        "derive {x = " + " + ".join(["id"] * 1_000) + "}",
        "filter " + " && ".join(["id > 1"] * 1_000),
        "derive {x = " + "-" * 1_000 + "id}",
        "derive {x = " + "{" * 1_000 + "id" + "}" * 1_000 + "}",
        "derive {x = " + "(math.abs " * 60 + "id" + ")" * 60 + "}",
        "derive {x = " + "case [paid => " * 60 + "id" + "]" * 60 + "}",
        "select {" + "(" * 5_000,
        "filter " + "id == 1 || " * 5_000,
    ],
    ids=lambda text: text[:24],
)
def test_too_much(text: str) -> None:
    (found,) = failed(text).diagnostics
    assert found.code in ("HD0604", "HD0614")


def test_a_long_condition() -> None:
    choices = " || ".join(f"id == {i}" for i in range(2, TERMS_MAX // 2))
    assert rows_of(f"filter {choices} | select id") == [(2,), (3,), (4,), (5,)]


def test_a_long_sum() -> None:
    assert rows_of(f"select {{x = {' + '.join(['id'] * 40)}}} | take 2") == [(40,), (80,)]


def test_a_sum_that_is_too_deep_for_one_expression() -> None:
    (found,) = failed(f"select {{x = {' + '.join(['id'] * 90)}}}").diagnostics
    assert found.code == "HD0614"


def test_nesting_up_to_the_limit() -> None:
    depth = NESTING_MAX - 2
    assert rows_of("select {x = " + "(" * depth + "id" + ")" * depth + "} | take 1") == [(1,)]


def test_repeated_whole_division_stays_small() -> None:
    result = compile_one("select {x = " + " // ".join(["pieces"] * 30) + "}")
    assert not result.diagnostics
    assert len(result.sql) < 10_000  # type: ignore[union-attr]


def test_many_transforms() -> None:
    text = " | ".join(f"derive {{x{i % 5} = id + {i}}} | filter id > 0" for i in range(60))
    assert rows_of(f"{text} | select {{id}} | take 1") == [(1,)]


@pytest.mark.parametrize(
    "part",
    ["take 9", "derive b = id", "sort id | take 5", "derive b = (id | math.abs | math.abs)"],
)
def test_a_short_text_needs_little_of_the_callers_stack(part: str) -> None:
    text = " | ".join([part] * ((DIRECT_CHARS_MAX - 20) // (len(part) + 3)))
    results: list[object] = []
    previous = threading.stack_size(2 << 20)
    try:
        thread = threading.Thread(target=lambda: results.append(rows_of(f"{text} | select id | take 1")))
        thread.start()
    finally:
        threading.stack_size(previous)
    thread.join()
    assert results == [[(1,)]]


def test_compiling_leaves_no_thread_and_no_stack_size_behind() -> None:
    size, threads = threading.stack_size(), set(threading.enumerate())
    compile_one("filter id > 1" + " | filter id > 2" * DIRECT_CHARS_MAX)
    assert threading.stack_size() == size
    until(lambda: threads >= set(threading.enumerate()), "a thread is left")
