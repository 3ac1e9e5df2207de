"""Threads with deep stacks that are used again."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator

import pytest

from heddle.core.deep_stack import DeepThreads
from tests.waiting import PATIENCE_S, until

NAME = "heddle-test-deep"


@pytest.fixture
def threads() -> Iterator[DeepThreads]:
    made = DeepThreads(NAME)
    yield made
    made.close()
    until(lambda: alive() == 0, "a thread goes on after the end")


def alive() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


def test_a_thread_is_used_again(threads: DeepThreads) -> None:
    found: list[int] = []

    def is_used_again() -> bool:
        before = len(found)
        threads.start(lambda: found.append(threading.get_ident()), "x").join(PATIENCE_S)
        assert len(found) == before + 1
        return found[-1] in found[:-1]

    until(is_used_again, "each work has a thread of its own")


def test_what_runs_at_the_same_time_has_threads_of_its_own(threads: DeepThreads) -> None:
    meet = threading.Barrier(5)

    def work() -> None:
        meet.wait(PATIENCE_S)

    running = [threads.start(work, "x") for _ in range(5)]
    for each in running:
        each.join(PATIENCE_S)
    assert not meet.broken
    until(lambda: alive() == 5)


def test_a_wait_may_end_before_the_work(threads: DeepThreads) -> None:
    go_on = threading.Event()

    def work() -> None:
        go_on.wait(PATIENCE_S)

    running = threads.start(work, "x")
    running.join(0.01)
    assert alive() == 1
    go_on.set()
    running.join(PATIENCE_S)


def test_an_idle_thread_holds_nothing_of_its_work(threads: DeepThreads) -> None:
    class Rows:
        def read(self) -> None:
            pass

    for _ in range(2):
        rows = Rows()
        known = weakref.ref(rows)
        threads.start(rows.read, "x").join(PATIENCE_S)
        del rows
        until(lambda known=known: known() is None)  # type: ignore[misc]
    assert alive() >= 1


def test_idle_threads_end() -> None:
    threads = DeepThreads(NAME, idle_s=0.01)
    threads.start(lambda: None, "x").join(PATIENCE_S)
    until(lambda: alive() == 0)
    threads.start(lambda: None, "x").join(PATIENCE_S)
    threads.close()
    until(lambda: alive() == 0)


def test_work_given_while_idle_threads_end_is_done() -> None:
    """The threads end all the time: work that comes at that moment must not be lost."""
    threads = DeepThreads(NAME, idle_s=0.0001)
    done: list[int] = []
    for number in range(2_000):
        running = threads.start(lambda number=number: done.append(number), "x")  # type: ignore[misc]
        running.join(PATIENCE_S)
    threads.close()
    assert done == list(range(2_000))
