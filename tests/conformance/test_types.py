"""Every Arrow type passes, in both directions, inline and through shared memory."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pytest

from heddle.core.casting import plain_table
from tests.conformance.plugin import Conformance

D = decimal.Decimal
DAY = datetime.date(2026, 3, 1)
MOMENT = datetime.datetime(2026, 3, 1, 12, 30, 15, 123456)

COLUMNS = {
    "null": pa.nulls(3),
    "bool": pa.array([True, None, False]),
    **{
        str(t): pa.array([1, None, 100], t)
        for t in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32())
    },
    "uint64": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "int64 extremes": pa.array([2**63 - 1, -(2**63), 0], pa.int64()),
    "half": pa.array([1.5, None, -0.5], pa.float16()),
    "float": pa.array([1.5, None, float("inf")], pa.float32()),
    "double": pa.array([1.5, None, float("-inf")], pa.float64()),
    "string": pa.array(["a", None, "žluťoučký 🐎"]),
    "empty strings": pa.array(["", "", ""]),
    "large_string": pa.array(["a", None, "b" * 300], pa.large_string()),
    "string_view": pa.array(["short", None, "longer than twelve bytes"], pa.string_view()),
    "binary": pa.array([b"\0\xff", None, b""], pa.binary()),
    "large_binary": pa.array([b"\0", None, b""], pa.large_binary()),
    "binary_view": pa.array([b"\0", None, b"longer than twelve bytes"], pa.binary_view()),
    "fixed_size_binary": pa.array([b"abcd", None, b"\0\0\0\0"], pa.binary(4)),
    "date32": pa.array([DAY, None, datetime.date(1, 1, 1)], pa.date32()),
    "date64": pa.array([DAY, None, DAY], pa.date64()),
    **{f"time32 {u}": pa.array([1, None, 3], pa.time32(u)) for u in ("s", "ms")},
    **{f"time64 {u}": pa.array([1, None, 3], pa.time64(u)) for u in ("us", "ns")},
    **{f"timestamp {u}": pa.array([1, None, -3], pa.timestamp(u)) for u in ("s", "ms", "us", "ns")},
    "timestamp utc": pa.array([MOMENT, None, MOMENT], pa.timestamp("us", tz="UTC")),
    "timestamp zone": pa.array([MOMENT, None, MOMENT], pa.timestamp("ns", tz="Europe/Prague")),
    **{f"duration {u}": pa.array([1, None, -3], pa.duration(u)) for u in ("s", "ms", "us", "ns")},
    "interval": pa.array([(1, 2, 3), None, (0, 0, 0)], pa.month_day_nano_interval()),
    "decimal32": pa.array([D("1.50"), None, D("-2.25")], pa.decimal32(9, 2)),
    "decimal64": pa.array([D("1.50"), None, D("-2.25")], pa.decimal64(18, 2)),
    "decimal128": pa.array([D("1.50"), None, D("-99999999999999999999.25")], pa.decimal128(38, 2)),
    "decimal256": pa.array([D("1.50"), None, D("-2.25")], pa.decimal256(70, 2)),
    "list": pa.array([[1, None], None, []], pa.list_(pa.int64())),
    "large_list": pa.array([[1], None, []], pa.large_list(pa.int64())),
    "list_view": pa.array([[1], None, []], pa.list_view(pa.int64())),
    "fixed_size_list": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int64(), 2)),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
    "nested": pa.array([[{"a": [1.5]}], None, [{"a": None}, {"a": []}]]),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "dictionary": pa.array(["a", None, "a"]).dictionary_encode(),
    "dictionary of ints": pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), [10, 20]),
    "run_end_encoded": pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]),
    "dense_union": pa.UnionArray.from_dense(
        pa.array([0, 1, 0], pa.int8()), pa.array([0, 0, 1], pa.int32()), [pa.array([1, 2]), pa.array(["x"])]
    ),
    "sparse_union": pa.UnionArray.from_sparse(
        pa.array([0, 1, 0], pa.int8()), [pa.array([1, 2, 3]), pa.array(["x", "y", "z"])]
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_passes(plugin: Conformance, name: str) -> None:
    table = pa.table({"id": [1, 2, 3], "value": COLUMNS[name]})
    _same(plugin.output("identity", table), table)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_passes_through_shared_memory(plugin: Conformance, name: str) -> None:
    table = pa.table({"id": [1, 2, 3], "value": COLUMNS[name]})
    large = pa.concat_tables([table] * 40_000).combine_chunks()
    assert large.nbytes > 100_000
    _same(plugin.output("identity", large), large)


def test_all_columns_at_once(plugin: Conformance) -> None:
    table = pa.table(dict(COLUMNS))
    _same(plugin.output("identity", table), table)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_sliced_column_passes(plugin: Conformance, name: str) -> None:
    table = pa.table({"value": pa.concat_arrays([COLUMNS[name]] * 5)}).slice(2, 7)
    _same(plugin.output("identity", table), table)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_without_rows_passes(plugin: Conformance, name: str) -> None:
    table = pa.table({"value": COLUMNS[name]}).slice(0, 0)
    _same(plugin.output("identity", table), table)


def test_chunks_pass(plugin: Conformance) -> None:
    chunks = [pa.array([1, 2]), pa.array([], pa.int64()), pa.array([3])]
    table = pa.table({"value": pa.chunked_array(chunks)})
    _same(plugin.output("identity", table), table)


def test_rows_without_columns(plugin: Conformance) -> None:
    table = pa.table({"value": [1, 2, 3]}).select([])
    assert plugin.call("identity", table).output is not None


def test_names_are_any_text(plugin: Conformance) -> None:
    table = pa.table({"a b": [1], "ž": [2], "": [3], "select": [4]})
    _same(plugin.output("identity", table), table)


@pytest.mark.parametrize(
    "name", ["bool", "int64", "uint64", "double", "string", "binary", "timestamp utc", "date32", "decimal128"]
)
def test_new_memory_comes_back(plugin: Conformance, name: str) -> None:
    table = pa.table({"id": [1, 2, 3], "value": COLUMNS[name]})
    _same(plugin.output("rebuild", table), table)
    large = pa.concat_tables([table] * 40_000).combine_chunks()
    _same(plugin.output("rebuild", large), large)


def _same(found: pa.Table, sent: pa.Table) -> None:
    """The engine gives steps no views, which few libraries understand."""
    wanted = plain_table(sent)
    found.validate(full=True)
    assert found.schema.names == wanted.schema.names
    assert found.schema.types == wanted.schema.types
    for a, b in zip(found.columns, wanted.columns, strict=True):
        assert a.to_pylist() == b.to_pylist() if pa.types.is_union(a.type) else a.equals(b)
