"""`Table`: conversions, classes as schemas, and the exact words of its errors."""

from __future__ import annotations

import datetime as dt
import importlib.util
from decimal import Decimal
from typing import Annotated, Any, TypedDict

import pyarrow as pa
import pytest

from heddle.core import Table
from heddle.core.annotations import Int32
from heddle.core.table import TableError

needs_pandas = pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="needs pandas")


class Address(TypedDict):
    city: str
    zip: str | None


class Everything(Table):
    user_id: int
    score: float
    note: str | None
    ok: bool
    raw: bytes
    at: dt.datetime
    day: dt.date
    clock: dt.time
    took: dt.timedelta
    amount: Annotated[Decimal, (10, 2)]
    small: Int32
    tags: list[str]
    address: Address
    counts: dict[str, int]
    tree: Annotated[Any, "list<{a: int?}>"]


class Scored(Table):
    user_id: int
    score: float


WANTED = pa.schema(
    [
        ("user_id", pa.int64()),
        ("score", pa.float64()),
        ("note", pa.string()),
        ("ok", pa.bool_()),
        ("raw", pa.binary()),
        ("at", pa.timestamp("us", "UTC")),
        ("day", pa.date32()),
        ("clock", pa.time64("us")),
        ("took", pa.duration("us")),
        ("amount", pa.decimal128(10, 2)),
        ("small", pa.int32()),
        ("tags", pa.list_(pa.field("item", pa.string(), nullable=False))),
        ("address", pa.struct([pa.field("city", pa.string(), nullable=False), ("zip", pa.string())])),
        ("counts", pa.map_(pa.string(), pa.field("value", pa.int64(), nullable=False))),
        ("tree", pa.list_(pa.field("item", pa.struct([("a", pa.int64())]), nullable=False))),
    ]
)


def rows() -> list[dict[str, Any]]:
    return [
        {
            "user_id": 1,
            "score": 0.5,
            "note": None,
            "ok": True,
            "raw": b"\x00\xff",
            "at": dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC),
            "day": dt.date(2024, 5, 1),
            "clock": dt.time(1, 2, 3, 4),
            "took": dt.timedelta(seconds=-1.5),
            "amount": Decimal("12.50"),
            "small": 7,
            "tags": ["a", ""],
            "address": {"city": "Köln", "zip": None},
            "counts": [("x", 1)],
            "tree": [{"a": None}, {"a": 2}],
        }
    ]


def test_annotations_are_the_schema() -> None:
    row = Everything.row_type()
    assert [(c.name, c.type) for c in row.columns] == [(f.name, f.type) for f in WANTED]
    assert [c.name for c in row.columns if c.nullable] == ["note"]
    assert not row.open
    assert Table.row_type().open


def test_every_type_survives_python_values_and_arrow() -> None:
    table = Everything.from_pylist(rows())
    assert table.schema.equals(WANTED)
    assert table.to_pylist() == rows()
    again = Everything.from_arrow(table)
    assert [c.chunk(0).buffers()[-1].address for c in again.to_arrow().columns if c.type == pa.int64()] == [
        c.chunk(0).buffers()[-1].address for c in table.to_arrow().columns if c.type == pa.int64()
    ]


def test_from_arrow_wraps_without_a_copy() -> None:
    data = pa.table({"user_id": [1, 2], "score": [0.5, 1.0], "extra": ["a", "b"]})
    table = Scored.from_arrow(data)
    assert table.column_names == ["user_id", "score", "extra"]
    for name in data.column_names:
        assert table[name].chunk(0).buffers()[-1].address == data[name].chunk(0).buffers()[-1].address


def test_widening_casts_are_made() -> None:
    data = pa.table({"user_id": pa.array([1], pa.int32()), "score": pa.array([2], pa.int64())})
    assert Scored.from_arrow(data).schema.types == [pa.int64(), pa.float64()]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"user_id": ["x"], "score": [1.0]},
            "Scored: column `user_id` holds string where int is wanted",
        ),
        ({"score": [1.0], "b": [1]}, "Scored: column `user_id` is missing; there are score, b"),
        ({}, "Scored: column `user_id` is missing; there are no columns"),
        ({"user_id": [1.0], "score": [1.0]}, "Scored: column `user_id` holds float where int is wanted"),
        (
            {"user_id": [1], "score": [2**53 + 1]},
            "Scored: column `score` holds int where float is wanted: a value does not fit",
        ),
    ],
)
def test_what_does_not_fit_is_named(data: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(TableError) as caught:
        Scored.from_arrow(pa.table(data))
    assert str(caught.value) == message


def test_inner_nulls_are_found() -> None:
    class Tagged(Table):
        tags: list[str]

    good = pa.table({"tags": pa.array([["a"], None], pa.list_(pa.string()))})
    assert Tagged.from_arrow(good).num_rows == 2
    with pytest.raises(
        TableError, match=r"`tags` holds list<string\?> where list<string> is wanted: there is a null"
    ):
        Tagged.from_arrow(pa.table({"tags": pa.array([["a", None]], pa.list_(pa.string()))}))


def test_views_become_plain_types() -> None:
    inner = pa.struct([("s", pa.string_view()), ("l", pa.list_(pa.string_view()))])
    lists = pa.array([[1, 2], None, [3]], pa.list_view(pa.int64()))
    data = pa.table(
        {
            "t": pa.array(["a", None, "c"], pa.string_view()),
            "b": pa.array([b"x", None, b"z"], pa.binary_view()),
            "n": pa.array([{"s": "x", "l": ["y"]}, None, {"s": None, "l": []}], inner),
            "v": lists,
        }
    )
    expected = [
        {"t": "a", "b": b"x", "n": {"s": "x", "l": ["y"]}, "v": [1, 2]},
        {"t": None, "b": None, "n": None, "v": None},
        {"t": "c", "b": b"z", "n": {"s": None, "l": []}, "v": [3]},
    ]
    for start in range(3):
        table = Table.from_arrow(data.slice(start))
        assert "view" not in str(table.schema)
        assert table.to_pylist() == expected[start:]


def test_polars_round_trip() -> None:
    import polars

    table = Scored.from_pylist([{"user_id": 1, "score": 0.5}, {"user_id": 2, "score": 1.5}])
    frame = table.to_polars()
    assert frame["score"].sum() == 2.0
    assert Scored.from_polars(frame) == table
    assert Scored.from_polars(polars.DataFrame({"user_id": [1.0, 2.0], "score": [0.5, 1.5]})) == table
    assert Scored.from_arrow(frame) == table


@needs_pandas
def test_pandas_round_trip_leaves_the_index_out() -> None:
    import pandas

    frame = pandas.DataFrame({"user_id": [1, 2, 3], "score": [0.5, None, 1.0]}, index=[7, 8, 9])
    table = Scored.from_pandas(frame[frame["user_id"] > 1])
    assert table.column_names == ["user_id", "score"]
    assert table.to_arrow().schema.metadata is None
    assert table.to_pylist() == [{"user_id": 2, "score": None}, {"user_id": 3, "score": 1.0}]
    assert Scored.from_arrow(frame[frame["user_id"] > 1]).column_names == ["user_id", "score"]


@needs_pandas
def test_pandas_floats_may_be_ints_again_but_lose_nothing() -> None:
    import pandas

    class Ids(Table):
        user_id: int | None

    class Times(Table):
        at: dt.datetime

    kept = Ids.from_pandas(Ids.from_pylist([{"user_id": 1}, {"user_id": None}]).to_pandas())
    assert kept.to_pylist() == [{"user_id": 1}, {"user_id": None}]
    with pytest.raises(
        TableError, match="column `user_id` holds float where int is wanted: a value has a fraction"
    ):
        Ids.from_pandas(pandas.DataFrame({"user_id": [1.5]}))
    at = Times.from_pandas(pandas.DataFrame({"at": [pandas.Timestamp("2024-01-01 10:00")]}))
    assert at.to_pylist() == [{"at": dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC)}]


@needs_pandas
def test_pandas_columns_of_mixed_objects_are_named() -> None:
    import pandas

    with pytest.raises(TableError, match="column `x` holds values of different types"):
        Table.from_pandas(pandas.DataFrame({"x": [1, "a", object()]}))


def test_a_missing_library_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(
        ImportError, match="polars is not installed here; install it with `pip install polars`"
    ):
        Table.from_pylist([{"a": 1}]).to_polars()


def test_pylist_values_of_different_types_are_named() -> None:
    with pytest.raises(TableError, match="Table: column `a` holds values of different types"):
        Table.from_pylist([{"a": 1}, {"a": "x"}])
    with pytest.raises(TableError, match="Scored: column `user_id` holds values that are not all int"):
        Scored.from_pylist([{"user_id": "x", "score": 1.0}])


def test_batches_and_protocols() -> None:
    table = Table.from_pylist([{"a": i} for i in range(5)])
    assert [b.num_rows for b in table.batches(2)] == [2, 2, 1]
    assert len(table) == table.num_rows == 5
    assert pa.table(table).num_rows == 5
    with pytest.raises(KeyError, match="there is no column `b`; the columns are a"):
        table["b"]
    assert "5 rows: a: int?" in repr(table)
    assert repr(Table.from_pylist([{"a": i} for i in range(12)])).endswith("… 2 more rows")


def test_no_columns_keep_their_rows() -> None:
    table = Table.from_arrow(pa.table({"a": [1, 2]}).select([]))
    assert (table.num_rows, table.column_names) == (2, [])


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(TypeError, match="list is not a table"):
        Table.from_arrow([1, 2])
