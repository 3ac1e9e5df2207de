"""Merged calls give what calls by themselves give: results, rejections and errors, to the right caller."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heddle.core.step import RejectedRows
from heddle.sdk.loader import load_module
from heddle.udf_bridge.inline import InlineTransport
from heddle.udf_bridge.merging import MergedEndpoint, Mergers, is_mergeable
from heddle.udf_bridge.session import ContractedSession
from heddle.udf_bridge.transport import (
    Batching,
    CallContext,
    CallResult,
    CallsMerged,
    Endpoint,
    Report,
    Reporter,
    StepBinding,
    StepFailure,
)
from tests.waiting import PATIENCE_S, until

STEPS = Path(__file__).with_name("merged_steps.py")
MODULE = load_module(STEPS, "merged", namespace="merged").signature
CONTEXT = CallContext("run", "W", "step", 1, "key", None, lambda: False, lambda wake: lambda: None)
ROWS_MAX = 1_000


class Gate:
    """Holds the first call until as many callers as wanted are in the queue, so that calls do merge."""

    def __init__(self, endpoint: Endpoint, key: Hashable) -> None:
        self.keeps_deadlines = True
        self.key = key
        self.calls: list[int] = []
        self._endpoint = endpoint
        self.opened = threading.Event()

    def call(
        self,
        input: pa.Table | None,
        context: CallContext,
        refused: list[RejectedRows],
        report: Reporter | None = None,
    ) -> Iterator[pa.Table]:
        assert input is not None
        self.opened.wait(PATIENCE_S)
        self.calls.append(input.num_rows)
        yield from self._endpoint.call(input, context, refused)

    def close(self) -> None:
        self._endpoint.close()


def binding(step: str) -> StepBinding:
    return StepBinding(f"W.{step}", MODULE, MODULE.steps[step], {}, {}, ".", None, Batching(ROWS_MAX, 0.0))


def endpoint(step: str) -> Endpoint:
    session = InlineTransport().open(binding(step), lambda told: None)
    return session.endpoint


def alone(step: str, rows: pa.Table) -> CallResult | StepFailure:
    return _tried(ContractedSession(binding(step), endpoint(step)), rows)


def together(step: str, tables: list[pa.Table]) -> tuple[list[CallResult | StepFailure], list[int]]:
    """Each table called by a session of its own: the first begins, the others queue meanwhile."""
    gate = Gate(endpoint(step), step)
    mergers = Mergers()
    merged: list[MergedEndpoint] = []
    for _ in tables:
        found = mergers.merged(binding(step), gate, lambda told: None)
        assert found is not None
        merged.append(found)
    merger = merged[0].merger
    results: list[CallResult | StepFailure | None] = [None] * len(tables)

    def call(i: int) -> None:
        results[i] = _tried(ContractedSession(binding(step), merged[i]), tables[i])

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(tables))]
    threads[0].start()
    for thread in threads[1:]:
        thread.start()
    until(lambda: merger.queued >= len(tables) - 1, "the calls do not queue")
    gate.opened.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    return [r for r in results if r is not None], gate.calls


def _tried(session: ContractedSession, rows: pa.Table) -> CallResult | StepFailure:
    try:
        return session.invoke(rows, CONTEXT)
    except StepFailure as failure:
        return failure


TABLES = st.lists(
    st.lists(st.integers(-5, 5), min_size=1, max_size=6).map(
        lambda x: pa.table({"x": pa.array(x, pa.int64()), "name": [f"n{v}" for v in x]})
    ),
    min_size=2,
    max_size=6,
)


@pytest.mark.parametrize("step", ["double", "reject", "reject_and_drop", "keep", "repeat", "picky"])
@settings(max_examples=25, deadline=None)
@given(tables=TABLES)
def test_merged_equals_alone(step: str, tables: list[pa.Table]) -> None:
    """`picky` fails for some rows: then only the callers who sent them fail."""
    results, _ = together(step, tables)
    assert len(results) == len(tables)
    for rows, result in zip(tables, results, strict=True):
        wanted = alone(step, rows)
        if isinstance(wanted, StepFailure):
            assert isinstance(result, StepFailure)
            assert (result.message, result.error_type) == (wanted.message, wanted.error_type)
            continue
        assert isinstance(result, CallResult)
        assert result.output == wanted.output
        assert _rejected(result) == _rejected(wanted)


def test_calls_that_wait_become_one() -> None:
    tables = [pa.table({"x": [i], "name": ["n"]}) for i in range(5)]
    _, calls = together("double", tables)
    assert sum(calls) == 5
    assert max(calls) >= 4


def test_no_more_rows_than_allowed() -> None:
    tables = [pa.table({"x": list(range(300)), "name": ["n"] * 300}) for _ in range(6)]
    _, calls = together("double", tables)
    assert max(calls) <= ROWS_MAX
    assert len(calls) < 6


def test_other_columns_are_another_call() -> None:
    tables = [
        pa.table({"x": [1], "name": ["n"]}),
        pa.table({"x": [1], "name": ["n"]}),
        pa.table({"x": [2], "other": [1.5]}),
        pa.table({"x": [3], "other": [1.5]}),
    ]
    results, _ = together("keep_open", tables)
    assert [r.output for r in results if isinstance(r, CallResult)] == tables


def test_an_effect_fails_for_all() -> None:
    """It may have happened, so nobody is called again."""
    tables = [pa.table({"x": [v], "name": ["n"]}) for v in (1, 2, 3, -5)]
    results, calls = together("picky_effect", tables)
    assert sum(calls) == 4
    assert sum(isinstance(r, StepFailure) for r in results) >= 1


def test_which_steps_are_merged() -> None:
    found = {name: is_mergeable(step) for name, step in MODULE.steps.items()}
    assert found == {
        "double": True,
        "reject": True,
        "reject_and_drop": True,
        "keep": True,
        "repeat": True,
        "picky": True,
        "picky_effect": True,
        "keep_open": True,
        "keep_closed": False,
        "total": False,
    }


def test_merged_calls_are_told() -> None:
    told: list[Report] = []
    gate = Gate(endpoint("double"), "double")
    gate.opened.set()
    mergers = Mergers()
    first = mergers.merged(binding("double"), gate, told.append)
    second = mergers.merged(binding("double"), gate, told.append)
    assert first is not None and second is not None
    gate.opened.clear()
    rows = pa.table({"x": [1], "name": ["n"]})
    sessions = [ContractedSession(binding("double"), e) for e in (first, second, first)]
    threads = [threading.Thread(target=s.invoke, args=(rows, CONTEXT)) for s in sessions]
    for thread in threads:
        thread.start()
    until(lambda: first.merger.queued == 2, "the calls do not queue")
    gate.opened.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    first.close()
    second.close()
    assert sum(r.shared for r in told if isinstance(r, CallsMerged)) == 2


def _rejected(result: CallResult) -> list[tuple[list[int], str, str]]:
    return [(r.rows.to_pylist(), r.reason, r.error_type) for r in result.rejections]
