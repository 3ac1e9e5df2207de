"""`Call`: requests at a time, their order, and how they end together."""

from __future__ import annotations

import threading
import time

import pytest

from fhub.calls import Call, Ended, OutOfTime
from heddle.core.step import StepContext, Transient
from tests.waiting import PATIENCE_S


def test_answers_keep_the_order_of_the_items() -> None:
    def ask(item: int) -> int:
        time.sleep(0.001 * (10 - item))
        return item * 2

    assert Call(StepContext()).each(list(range(10)), ask, 4) == [item * 2 for item in range(10)]
    assert Call(StepContext()).each([], ask, 4) == []


def test_a_failure_that_may_pass_lets_others_finish() -> None:
    call = Call(StepContext())
    began = threading.Event()
    finished: list[int] = []

    def ask(item: int) -> None:
        if item == 0:
            began.wait(PATIENCE_S)
            raise Transient("later")
        began.set()
        with pytest.raises(Ended):  # when the failure is known
            call.pause(PATIENCE_S)
        finished.append(item)

    with pytest.raises(Transient, match="later"):
        call.each(list(range(9)), ask, 2)
    assert finished == [1]


def test_a_failure_ends_those_that_wait() -> None:
    call = Call(StepContext())
    waiting = threading.Event()

    def ask(item: int) -> None:
        if item == 0:
            waiting.wait(PATIENCE_S)
            raise Transient("later")
        waiting.set()
        call.pause(PATIENCE_S)

    with pytest.raises(Transient, match="later"):
        call.each([0, 1], ask, 2)


def test_the_deadline_and_a_cancellation_end_pauses() -> None:
    for context, wanted in (
        (StepContext(deadline=0.1), OutOfTime),
        (StepContext(cancelled=lambda: True), Ended),
    ):
        call = Call(context)
        with pytest.raises(wanted):
            call.each([1], lambda _, call=call: call.pause(PATIENCE_S), 1)  # type: ignore[misc]


def test_a_failure_for_good_is_the_one_that_is_raised() -> None:
    def ask(item: int) -> None:
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item"):
        Call(StepContext()).each([1, 2, 3], ask, 3)
