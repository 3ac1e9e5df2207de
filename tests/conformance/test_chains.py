"""Several steps in one call: tables between them stay in the plugin, which holds them to their links."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from heddle.core.config import ConfigValue
from heddle.core.link import Link
from heddle.core.report import StepLogged, StepMeasured, StepProgressed
from heddle.udf_bridge.remote_chain import RemoteChain
from heddle.udf_bridge.transport import ChainEnd, StepFailure
from tests.conformance.plugin import PATIENCE_S, Cancel, Conformance, Told, context, wait_until

X = pa.schema([pa.field("x", pa.int64(), nullable=False), pa.field("name", pa.string())])
XY = X.append(pa.field("y", pa.int64(), nullable=False))

ADD = Link(X, XY, frozenset({"x", "y"}), True, "map")
EVEN = Link(X, X, frozenset(X.names), True, "filter")
REPEAT = Link(X, X, frozenset(X.names), True, "flat")
POSITIVE = Link(X, X, frozenset({"x"}), True, "map")
SAME = Link(X, X, frozenset(X.names), True, "map")
SAME_XY = Link(XY, XY, frozenset(XY.names), True, "map")

Member = tuple[str, Mapping[str, ConfigValue], Link]


def numbered(rows: int) -> pa.Table:
    return pa.table({"x": np.arange(rows), "name": [f"row {i}" for i in range(rows)]})


def run(chain: RemoteChain, rows: pa.Table, count: int, told: Sequence[Told] = ()) -> ChainEnd:
    reports = told or [Told() for _ in range(count)]
    return chain.run(rows, [context() for _ in range(count)], reports)


def ended(plugin: Conformance, rows: pa.Table, *members: Member) -> ChainEnd:
    return run(plugin.chain(*members), rows, len(members))


def test_all_steps(plugin: Conformance) -> None:
    end = ended(
        plugin,
        numbered(4),
        ("keep_even", {}, EVEN),
        ("repeat", {"times": 2}, REPEAT),
        ("add", {"amount": 7}, ADD),
    )
    assert (end.done, end.failure) == (3, None)
    assert end.output.to_pydict() == {
        "x": [0, 0, 2, 2],
        "name": ["row 0", "row 0", "row 2", "row 2"],
        "y": [7, 7, 9, 9],
    }


@pytest.mark.parametrize("rows", [1, 9_000, 400_000])
def test_sizes_around_the_limits(plugin: Conformance, rows: int) -> None:
    given = numbered(rows)
    end = ended(plugin, given, ("identity", {}, SAME), ("add", {"amount": 1}, ADD), ("rebuild", {}, SAME_XY))
    assert end.done == 3
    assert end.output.select(["x", "name"]).equals(given)
    assert np.array_equal(end.output["y"].to_numpy(), np.arange(rows) + 1)


def test_an_input_in_several_batches(plugin: Conformance) -> None:
    rows = 9_000_000
    takes = pa.schema([X.field("x")])
    link = Link(takes, takes.append(XY.field("y")), frozenset({"x", "y"}), True, "map")
    again = Link(link.gives, link.gives, frozenset({"x", "y"}), True, "map")
    end = ended(
        plugin, pa.table({"x": np.arange(rows)}), ("add", {"amount": 1}, link), ("rebuild", {}, again)
    )
    assert end.done == 2
    assert int(end.output["y"].to_numpy().sum()) == rows * (rows - 1) // 2 + rows


def test_a_chain_is_called_again_and_again(plugin: Conformance) -> None:
    chain = plugin.chain(("add", {"amount": 1}, ADD), ("rebuild", {}, SAME_XY))
    for rows in (3, 100_000, 0, 70_000):
        assert run(chain, numbered(rows), 2).output.num_rows == rows


def test_it_ends_before_a_step_that_rejects_rows(plugin: Conformance) -> None:
    rows = pa.table({"x": [1, -1], "name": ["a", "b"]})
    end = ended(
        plugin, rows, ("identity", {}, SAME), ("reject_negative", {}, POSITIVE), ("add", {"amount": 1}, ADD)
    )
    assert (end.done, end.failure) == (1, None)
    assert end.output.equals(rows)


def test_it_ends_before_a_step_that_fails(plugin: Conformance) -> None:
    failing = ("fail", {"message": "no luck", "transient": True}, SAME_XY)
    end = ended(plugin, numbered(3), ("add", {"amount": 1}, ADD), failing)
    assert end.done == 1
    assert end.output["y"].to_pylist() == [1, 2, 3]
    assert end.failure is not None
    assert (end.failure.message, end.failure.error_type) == ("no luck", "ConformanceError")
    assert end.failure.transient


def test_it_ends_before_a_first_step_that_fails(plugin: Conformance) -> None:
    failing = ("fail", {"message": "no luck"}, SAME)
    end = ended(plugin, numbered(3), failing, ("add", {"amount": 1}, ADD))
    assert end.done == 0
    assert end.failure is not None and end.failure.message == "no luck"


@pytest.mark.parametrize(
    "link",
    [
        replace(ADD, gives=X.append(pa.field("y", pa.bool_()))),
        replace(ADD, gives=XY.append(pa.field("z", pa.int64())), returns=frozenset({"x", "y", "z"})),
        replace(ADD, returns=frozenset({"x"}), open=False),
        replace(ADD, takes=X.append(pa.field("z", pa.int64()))),
    ],
    ids=["another type", "a column too few", "a column too many", "a column that is not there"],
)
def test_a_step_that_does_not_do_what_its_link_says(plugin: Conformance, link: Link) -> None:
    end = ended(plugin, numbered(3), ("identity", {}, SAME), ("add", {"amount": 1}, link))
    assert (end.done, end.failure) == (1, None)
    assert end.output.equals(numbered(3))


def test_another_number_of_rows(plugin: Conformance) -> None:
    end = ended(plugin, numbered(3), ("identity", {}, SAME), ("keep_even", {}, replace(EVEN, rows="map")))
    assert (end.done, end.failure) == (1, None)
    end = ended(plugin, numbered(3), ("identity", {}, SAME), ("repeat", {}, replace(REPEAT, rows="filter")))
    assert (end.done, end.failure) == (1, None)


def test_a_null_too_many(plugin: Conformance) -> None:
    rows = pa.table({"x": pa.array([1, None]), "name": ["a", "b"]})
    loose = pa.schema([pa.field("x", pa.int64()), X.field("name")])
    taken = ended(
        plugin, rows, ("identity", {}, replace(SAME, takes=loose, gives=loose)), ("identity", {}, SAME)
    )
    given = ended(plugin, rows, ("identity", {}, replace(SAME, takes=loose)), ("identity", {}, SAME))
    assert (taken.done, given.done) == (1, 0)


def test_columns_that_travel_past_a_step_stay_as_they_were(plugin: Conformance) -> None:
    """A step with a closed row returns only its own; what it was given may come back, unchanged."""
    only_x = pa.schema([X.field("x")])
    link = Link(only_x, XY, frozenset({"y"}), False, "map")
    end = ended(plugin, numbered(100_000), ("identity", {}, SAME), ("add", {"amount": 1}, link))
    assert end.done == 2
    assert end.output.column_names == ["x", "name", "y"]
    assert end.output.select(["x", "name"]).equals(numbered(100_000))


def test_it_ends_behind_a_step_that_leaves_no_rows(plugin: Conformance) -> None:
    rows = pa.table({"x": [1, 3], "name": ["a", "b"]})
    end = ended(plugin, rows, ("keep_even", {}, EVEN), ("add", {"amount": 1}, ADD))
    assert (end.done, end.output.num_rows) == (1, 0)


def test_what_a_step_tells_is_its_own(plugin: Conformance) -> None:
    chain = plugin.chain(("log", {"message": "first"}, SAME), ("log", {"message": "second"}, SAME))
    told = [Told(), Told()]
    names = ("first", "second")
    contexts = [replace(context(), step=f"W.{name}", idempotency_key=f"key of {name}") for name in names]
    assert chain.run(numbered(3), contexts, told).done == 2
    for name, reports in zip(names, told, strict=True):
        fields = {"rows": "3", "step": f"W.{name}", "key": f"key of {name}"}
        assert reports.of(StepLogged) == [StepLogged("info", name, fields)]
        assert len(reports.of(StepMeasured)) == len(reports.of(StepProgressed)) == 1


def test_a_cancelled_chain(plugin: Conformance) -> None:
    chain = plugin.chain(("identity", {}, SAME), ("sleep", {"seconds": 60.0}, SAME), ("identity", {}, SAME))
    cancel = Cancel()
    failures: list[StepFailure] = []

    def call() -> None:
        try:
            chain.run(numbered(3), [context(cancel)] * 3, [Told()] * 3)
        except StepFailure as failure:
            failures.append(failure)

    thread = threading.Thread(target=call)
    thread.start()
    wait_until(plugin.in_call, "a call under way")
    cancel.cancel()
    thread.join(PATIENCE_S)
    # Where the cancellation was faster than the step, the SDK says it.
    assert [f.error_type.removesuffix("Error") for f in failures] == ["Cancelled"]
    assert plugin.output("identity", numbered(2)).num_rows == 2


def test_a_killed_plugin(fresh_plugin: Conformance) -> None:
    plugin = fresh_plugin
    chain = plugin.chain(("identity", {}, SAME), ("sleep", {"seconds": 60.0}, SAME))
    failures: list[StepFailure] = []

    def call() -> None:
        try:
            run(chain, numbered(3), 2)
        except StepFailure as failure:
            failures.append(failure)

    thread = threading.Thread(target=call)
    thread.start()
    wait_until(plugin.in_call, "a call under way")
    os.kill(plugin.pid, signal.SIGKILL)
    thread.join(PATIENCE_S)
    assert [f.error_type for f in failures] == ["PluginCrashed"]
    again = plugin.chain(("identity", {}, SAME), ("add", {"amount": 1}, ADD))
    assert run(again, numbered(3), 2).done == 2
