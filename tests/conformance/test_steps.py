"""What steps do with rows: all kinds of `rows`, rejections, sources, sinks, large inputs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from heddle.core.wire.lanes import FRAME_BYTES_MAX, INLINE_BYTES_MAX
from heddle.udf_bridge.hosts import PluginHosts
from heddle.udf_bridge.transport import StepFailure
from tests.conformance.plugin import ENVIRON, Conformance, conformance, context


def numbered(rows: int) -> pa.Table:
    return pa.table({"x": np.arange(rows), "name": [f"row {i}" for i in range(rows)]})


def test_map(plugin: Conformance) -> None:
    output = plugin.output("add", numbered(3), {"amount": 10})
    assert output.to_pydict() == {"x": [0, 1, 2], "name": ["row 0", "row 1", "row 2"], "y": [10, 11, 12]}


def test_map_in_shared_memory(plugin: Conformance) -> None:
    rows = numbered(200_000)
    output = plugin.output("add", rows, {"amount": -5})
    assert output.select(["x", "name"]).equals(rows)
    assert output["y"].to_numpy().sum() == np.arange(200_000).sum() - 5 * 200_000


def test_filter(plugin: Conformance) -> None:
    output = plugin.output("keep_even", numbered(5))
    assert output.to_pydict() == {"x": [0, 2, 4], "name": ["row 0", "row 2", "row 4"]}


def test_a_filter_that_keeps_nothing(plugin: Conformance) -> None:
    output = plugin.output("keep_even", pa.table({"x": [1, 3]}))
    assert output.schema.names == ["x"]
    assert output.num_rows == 0


def test_flat(plugin: Conformance) -> None:
    output = plugin.output("repeat", numbered(2), {"times": 3})
    assert output.to_pydict() == {"x": [0, 0, 0, 1, 1, 1], "name": ["row 0"] * 3 + ["row 1"] * 3}


def test_flat_to_nothing(plugin: Conformance) -> None:
    assert plugin.output("repeat", numbered(2), {"times": 0}).num_rows == 0


def test_table(plugin: Conformance) -> None:
    assert plugin.output("total", pa.table({"x": [1, 2, 3]})).to_pydict() == {"total": [6]}


def test_a_table_in_several_batches(plugin: Conformance) -> None:
    """More than one payload may hold, so that the plugin must put them together."""
    rows = 9_000_000
    table = pa.table({"x": np.arange(rows)})
    assert plugin.output("total", table)["total"].to_pylist() == [rows * (rows - 1) // 2]


def test_a_table_without_rows(plugin: Conformance) -> None:
    assert plugin.output("total", pa.table({"x": pa.array([], pa.int64())})).to_pydict() == {"total": [0]}


def test_a_source(plugin: Conformance) -> None:
    session = plugin.session("numbers", {"count": 2500, "batch_rows": 1000})
    batches = list(session.batches(context()))
    assert [b.num_rows for b in batches] == [1000, 1000, 500]
    assert pa.Table.from_batches(batches)["n"].to_pylist() == list(range(2500))


def test_a_source_without_rows(plugin: Conformance) -> None:
    batches = list(plugin.session("numbers", {"count": 0}).batches(context()))
    assert [(b.num_rows, b.schema.names) for b in batches] == [(0, ["n"])]


def test_a_source_in_shared_memory(plugin: Conformance) -> None:
    session = plugin.session("numbers", {"count": 1_000_000, "batch_rows": 100_000})
    total = sum(int(b.column(0).to_numpy().sum()) for b in session.batches(context()))
    assert total == sum(range(1_000_000))


def test_batches_that_are_kept_do_not_change(plugin: Conformance) -> None:
    """A segment is used again only when nothing reads it any more."""
    session = plugin.session("numbers", {"count": 2_000_000, "batch_rows": 100_000})
    kept = list(session.batches(context()))
    more = list(session.batches(context()))
    for batches in (kept, more):
        values = np.concatenate([b.column(0).to_numpy() for b in batches])
        assert np.array_equal(values, np.arange(2_000_000))


def test_a_source_that_is_left_early(plugin: Conformance) -> None:
    session = plugin.session("numbers", {"count": 50_000_000, "batch_rows": 100_000})
    batches = session.batches(context())
    assert next(batches).num_rows == 100_000
    batches.close()
    assert plugin.output("total", pa.table({"x": [1]})).to_pydict() == {"total": [1]}


def test_rejected_rows(plugin: Conformance) -> None:
    rows = pa.table({"x": [1, -1, 2, -2, 3], "name": list("abcde")})
    result = plugin.call("reject_negative", rows)
    assert result.output is not None
    assert result.output.to_pydict() == {"x": [1, 2, 3], "name": ["a", "c", "e"]}
    (rejection,) = result.rejections
    assert (rejection.reason, rejection.error_type) == ("x is negative", "Negative")
    assert rejection.rows.to_pylist() == [1, 3]


def test_all_rows_rejected(plugin: Conformance) -> None:
    result = plugin.call("reject_negative", pa.table({"x": [-1, -2]}))
    assert result.output is not None and result.output.num_rows == 0
    assert sum(len(r.rows) for r in result.rejections) == 2


def test_many_rejected_rows(plugin: Conformance) -> None:
    x = np.arange(300_000)
    x[::3] *= -1
    result = plugin.call("reject_negative", pa.table({"x": x}))
    assert result.output is not None
    assert np.array_equal(result.output["x"].to_numpy(), x[x >= 0])


@pytest.mark.parametrize("rows", [1, 7_000, 9_000, 500_000])
def test_sizes_around_the_limits(plugin: Conformance, rows: int) -> None:
    table = pa.table({"x": np.arange(rows)})
    assert (table.nbytes > INLINE_BYTES_MAX) == (rows > 8_192)
    assert plugin.output("identity", table).equals(table)
    assert plugin.output("rebuild", table).equals(table)


def test_without_shared_memory_all_goes_inline(plugin: Conformance) -> None:
    rows = numbered(2_000_000)
    assert rows.nbytes > 2 * FRAME_BYTES_MAX
    with conformance(plugin.language) as opened:
        opened.hosts.close()
        opened.hosts = PluginHosts(ENVIRON, shared_bytes_max=0)
        output = opened.output("rebuild", rows)
    assert output.equals(rows)


def test_a_wrong_column_type_is_told(plugin: Conformance) -> None:
    with pytest.raises(StepFailure, match="needs `x` as int, but it was given string"):
        plugin.call("add", pa.table({"x": ["a"]}), {"amount": 1})
