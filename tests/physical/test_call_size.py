"""Quick calls get more rows; calls that are retried, run side by side or ask a service do not."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from heddle.core.signature import ModuleSignature, StepSignature
from heddle.core.types import OPEN_ROW
from heddle.diagnostics import Span
from heddle.frontend.typed import NO_POLICY, Policy, StepCall
from heddle.logical.plan import Step
from heddle.physical.call_size import CallSize, WriteSize

ROWS = 65_536
SIGNATURE = StepSignature("s", rows="map", deterministic=True)


def step(signature: StepSignature = SIGNATURE, policy: Policy = NO_POLICY) -> Step:
    call = StepCall("m.s", ModuleSignature("m", "m"), signature, {}, {}, (), Span(0, 0))
    return Step(1, call, 0, OPEN_ROW, "W/1", Span(0, 0), "W", None, policy)


def rows(count: int, text: str = "") -> pa.Table:
    return pa.table({"x": [text] * count})


def sizes(op: Step, duration_s: float) -> list[int]:
    size = CallSize(op, ROWS)
    seen = []
    for _ in range(4):
        seen.append(size.rows())
        size.took(rows(size.rows()), duration_s)
    return seen


def test_quick_calls_grow_to_four_times_the_rows() -> None:
    assert sizes(step(), 0.001) == [ROWS, 2 * ROWS, 4 * ROWS, 4 * ROWS]


def test_slow_calls_stay() -> None:
    assert sizes(step(), 0.010) == [ROWS] * 4


def test_the_last_rows_of_an_input_say_nothing() -> None:
    size = CallSize(step(), ROWS)
    size.took(rows(7), 0.001)
    assert size.rows() == ROWS


def test_large_rows_do_not_grow() -> None:
    size = CallSize(step(), ROWS)
    size.took(rows(ROWS, "x" * 200), 0.001)
    assert size.rows() == ROWS


@pytest.mark.parametrize(
    "op",
    [
        step(policy=Policy(batch_max_rows=ROWS)),
        step(policy=Policy(concurrency=2)),
        step(replace(SIGNATURE, deterministic=None, effect=True)),
        step(replace(SIGNATURE, deterministic=None)),
    ],
    ids=["batch", "concurrency", "effect", "undeclared"],
)
def test_what_keeps_its_batches(op: Step) -> None:
    assert sizes(op, 0.001) == [ROWS] * 4


def test_a_run_that_asks_for_small_batches_gets_them() -> None:
    size = CallSize(step(), 8)
    size.took(rows(8), 0.001)
    assert size.rows() == 8


def test_writers_get_as_many_rows_as_fit() -> None:
    size = WriteSize(step(), ROWS)
    assert size.rows() == ROWS
    size.wrote(rows(ROWS, "x" * 40))
    assert size.rows() == (16 << 20) // 44
    size.wrote(rows(ROWS, "x"))
    assert size.rows() == 8 * ROWS
    size.wrote(rows(ROWS, "x" * 1_000))
    assert size.rows() == ROWS


@pytest.mark.parametrize("op", [step(), step(policy=Policy(batch_max_rows=8))])
def test_writers_get_the_small_batches_that_are_asked_for(op: Step) -> None:
    size = WriteSize(op, 8)
    size.wrote(rows(8))
    assert size.rows() == 8
