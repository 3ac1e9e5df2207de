"""Batches from anywhere become rows of a table, or are refused with the column that they do not fit."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.database.errors import QueryError
from heddle.database.fitting import Fitting, checked_schema
from heddle.database.kept_tables import KeptTables
from tests.database.kept import put, table_of

ALIKE = [
    (pa.array([1, None, 3], pa.int8())),
    (pa.array([1, None, 2**64 - 1], pa.uint64())),
    (pa.array([1.5, None], pa.float16())),
    (pa.array([1.5, None, float("inf")], pa.float64())),
    (pa.array([True, None])),
    (pa.array(["a", None, "ü" * 1_000])),
    (pa.array(["a", None], pa.large_string())),
    (pa.array([b"a", None])),
    (pa.array([b"abc", None], pa.binary(3))),
    (pa.array([decimal.Decimal("1.23"), None], pa.decimal128(10, 2))),
    (pa.array([decimal.Decimal("1.23"), None], pa.decimal256(60, 2))),
    (pa.array([datetime.date(2024, 5, 1), None])),
    (pa.array([datetime.time(1, 2, 3), None], pa.time64("us"))),
    (pa.array([datetime.time(1, 2, 3), None], pa.time32("s"))),
    (pa.array([1, None], pa.timestamp("ns"))),
    (pa.array([1, None], pa.timestamp("us", "UTC"))),
    (pa.array([1, None], pa.duration("ms"))),
    (pa.array([None, None])),
    (pa.array([[1, None], None, []], pa.list_(pa.int64()))),
    (pa.array([[1, 2], None], pa.list_(pa.int64(), 2))),
    (pa.array([{"a": 1, "b": ["x"]}, None])),
    (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64()))),
    (pa.array([(1, 2, 3), None], pa.month_day_nano_interval())),
]


@pytest.mark.parametrize("array", ALIKE, ids=lambda array: str(array.type))
def test_every_type_is_kept(tmp_path: Path, array: pa.Array) -> None:
    batch = pa.record_batch({"c": array})
    with KeptTables.open(tmp_path, durable=False) as kept:
        put(kept, "t", batch)
        found = table_of(kept, "t")
        assert found.schema.field("c").type == array.type
        assert found["c"].combine_chunks() == pa.chunked_array([array]).combine_chunks()
        put(kept, "t", batch, mode="append")
        assert kept.table("t").rows == 2 * len(array)


@pytest.mark.parametrize(
    ("array", "plain"),
    [
        (pa.array(["a", "b", "a", None]).dictionary_encode(), pa.string()),
        (pa.array(["a", None], pa.string_view()), pa.string()),
        (pa.array([b"a", None], pa.binary_view()), pa.binary()),
        (pa.RunEndEncodedArray.from_arrays([2, 3], pa.array(["x", None])), pa.string()),
        (pa.array([[1, 2], None], pa.list_view(pa.int64())), pa.list_(pa.int64())),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_values_are_kept_without_their_encoding(tmp_path: Path, array: pa.Array, plain: pa.DataType) -> None:
    with KeptTables.open(tmp_path, durable=False) as kept:
        put(kept, "t", pa.record_batch({"c": array}), pa.record_batch({"c": array}))
        found = table_of(kept, "t")["c"]
        assert found.type == plain
        assert found.to_pylist() == array.to_pylist() * 2


def test_columns_are_found_by_name_or_by_place() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.int64())])
    batch = pa.record_batch({"b": ["x"], "a": pa.array([1], pa.int32())})
    by_name = Fitting("t", batch.schema, schema).fit(batch)
    assert by_name.to_pylist() == [{"a": 1, "b": "x", "c": None}]
    by_place = Fitting("t", batch.schema, schema, ["b", "c"]).fit(batch)
    assert by_place.to_pylist() == [{"a": None, "b": "x", "c": 1}]


@pytest.mark.parametrize(
    ("array", "wanted", "expected"),
    [
        (pa.array([1.0, 2.0]), pa.int32(), [1, 2]),
        (pa.array(["2024-05-01", None]), pa.date32(), [datetime.date(2024, 5, 1), None]),
        (pa.array(["12", "-3"]), pa.int16(), [12, -3]),
        (pa.array(["1.50"]), pa.decimal128(5, 2), [decimal.Decimal("1.50")]),
        (pa.array([3], pa.int64()), pa.decimal128(5, 2), [decimal.Decimal("3.00")]),
        (pa.nulls(2), pa.timestamp("us"), [None, None]),
        (pa.array([1], pa.int64()), pa.float64(), [1.0]),
    ],
)
def test_values_that_fit(array: pa.Array, wanted: pa.DataType, expected: list[object]) -> None:
    batch = pa.record_batch({"c": array})
    fitted = Fitting("t", batch.schema, pa.schema([("c", wanted)])).fit(batch)
    assert fitted["c"].to_pylist() == expected


@pytest.mark.parametrize(
    ("array", "wanted", "message"),
    [
        (
            pa.array([1.5]),
            pa.int32(),
            "the column `c` of `t` holds int32, and does not take float: a value has",
        ),
        (pa.array([300]), pa.int8(), "holds int8, and does not take int: a value does not fit"),
        (pa.array(["x"]), pa.int64(), "holds int, and does not take string: a text does not read as one"),
        (pa.array([1]), pa.string(), "holds string, and does not take int"),
        (pa.array([True]), pa.int64(), "holds int, and does not take bool"),
        (pa.array([[1]]), pa.int64(), "holds int, and does not take list<int?>"),
    ],
)
def test_values_that_do_not(array: pa.Array, wanted: pa.DataType, message: str) -> None:
    batch = pa.record_batch({"c": array})
    with pytest.raises(QueryError) as error:
        Fitting("t", batch.schema, pa.schema([("c", wanted)])).fit(batch)
    assert error.value.kind == "invalid"
    assert message in error.value.message


def test_nulls_where_there_are_none() -> None:
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.int64())])
    batch = pa.record_batch({"a": pa.array([1, None])})
    with pytest.raises(QueryError, match="the column `a` of `t` is never null"):
        Fitting("t", batch.schema, schema).fit(batch)
    with pytest.raises(QueryError, match="there is no value for `a`, which is never null"):
        Fitting("t", pa.schema([("b", pa.int64())]), schema)


def test_columns_that_are_not_there() -> None:
    wanted = pa.schema([("amount", pa.int64())])
    with pytest.raises(QueryError, match="`t` has no column `amuont`") as error:
        Fitting("t", pa.schema([("amuont", pa.int64())]), wanted)
    assert error.value.help == "did you mean `amount`?"
    with pytest.raises(QueryError, match="there are 2 values for 1 columns"):
        Fitting("t", pa.schema([("a", pa.int64()), ("b", pa.int64())]), wanted, ["amount"])


def test_schemas_that_no_table_has() -> None:
    with pytest.raises(QueryError, match="at least one column"):
        checked_schema(pa.schema([]))
    with pytest.raises(QueryError, match="two columns are called `a`"):
        checked_schema(pa.schema([("a", pa.int64()), ("a", pa.string())]))


@pytest.mark.parametrize("found", [pa.array(["x"]), pa.array([0.5])])
def test_batches_are_looked_at_also_where_their_schema_was_told(found: pa.Array) -> None:
    schema = pa.schema([("c", pa.int64())])
    fitting = Fitting("t", schema, schema)
    assert fitting.fit(pa.record_batch({"c": [1]})).column(0).to_pylist() == [1]
    with pytest.raises(QueryError, match="the column `c` of `t` holds int"):
        fitting.fit(pa.record_batch({"c": found}))
