"""Rows as JSON texts: against what a person would write, and read back."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.core.json_text import to_json, value_texts

UTC = dt.UTC

TABLE = pa.table(
    {
        "i": pa.array([1, None, -3]),
        "f": pa.array([1.0, float("nan"), 1e300]),
        "s": pa.array(['a"b\\c', "é\n\x01\u2028", None]),
        "d": pa.array([Decimal("1.50"), None, Decimal("-0.01")], pa.decimal128(10, 2)),
        "at": pa.array([dt.datetime(2024, 1, 2, 3, 4, 5), None, None], pa.timestamp("us", "UTC")),
        "berlin": pa.array(
            [dt.datetime(2024, 7, 1, 12, tzinfo=UTC), None, None], pa.timestamp("ms", "Europe/Berlin")
        ),
        "naive": pa.array([dt.datetime(2024, 1, 2, 3, 4, 5, 250_000), None, None], pa.timestamp("us")),
        "day": pa.array([dt.date(2024, 1, 2), None, None]),
        "clock": pa.array([dt.time(1, 2, 3), None, dt.time(1, 2, 3, 5)]),
        "took": pa.array([dt.timedelta(seconds=1.5), None, dt.timedelta(days=-1)]),
        "raw": pa.array([b"\x00\xff", b"", None]),
        "ok": pa.array([True, False, None]),
        "n": pa.array(
            [{"a": 1, "b": [None, "x"]}, None, {"a": None, "b": []}],
            pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]),
        ),
        "l": pa.array([[1.5, None], [], None], pa.list_(pa.float64())),
        "m": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        "c": pa.array(["x", None, "y"]).dictionary_encode(),
        "pair": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
        "none": pa.nulls(3),
    }
)

EXPECTED = [
    '{"i":1,"f":1.0,"s":"a\\"b\\\\c","d":1.50,"at":"2024-01-02T03:04:05Z","berlin":"2024-07-01T12:00:00Z",'
    '"naive":"2024-01-02T03:04:05.250","day":"2024-01-02","clock":"01:02:03","took":"PT1.5S","raw":"AP8=",'
    '"ok":true,"n":{"a":1,"b":[null,"x"]},"l":[1.5,null],"m":{"k":1},"c":"x","pair":[1,2],"none":null}',
    '{"i":null,"f":null,"s":"é\\n\\u0001\u2028","d":null,"at":null,"berlin":null,"naive":null,"day":null,'
    '"clock":null,"took":null,"raw":"","ok":false,"n":null,"l":[],"m":{},"c":null,"pair":null,"none":null}',
    '{"i":-3,"f":1e+300,"s":null,"d":-0.01,"at":null,"berlin":null,"naive":null,"day":null,'
    '"clock":"01:02:03.000005","took":"PT-86400S","raw":null,"ok":null,"n":{"a":null,"b":[]},"l":null,"m":null,'
    '"c":"y","pair":[3,4],"none":null}',
]


def test_every_type_as_written_by_hand() -> None:
    assert to_json(TABLE).to_pylist() == EXPECTED


@pytest.mark.parametrize("start", [0, 1, 2])
def test_slices_give_the_same_lines(start: int) -> None:
    batch = TABLE.to_batches()[0].slice(start, 1)
    assert to_json(batch).to_pylist() == [EXPECTED[start]]


def test_columns_without_nulls() -> None:
    """Their texts are put together in one go, also those within a struct."""
    at = pa.array([dt.datetime(2024, 1, 2, 3, 4, 5), dt.datetime(2024, 1, 2)], pa.timestamp("us", "UTC"))
    inner = pa.StructArray.from_arrays([pa.array(["a", '"b"']), at], ["s", "at"])
    table = pa.table(
        {
            "whole": [1.0, -2.0],
            "half": [0.5, 1e-7],
            "mixed": [3.0, 0.25],
            "some": [float("inf"), 4.0],
            "in": pa.StructArray.from_arrays([inner, pa.array([[1], []])], ["n", "l"]),
            "empty": pa.array([{}, {}], pa.struct([])),
        }
    )
    assert to_json(table).to_pylist() == [
        '{"whole":1.0,"half":0.5,"mixed":3.0,"some":null,'
        '"in":{"n":{"s":"a","at":"2024-01-02T03:04:05Z"},"l":[1]},"empty":{}}',
        '{"whole":-2.0,"half":1e-7,"mixed":0.25,"some":4.0,'
        '"in":{"n":{"s":"\\"b\\"","at":"2024-01-02T00:00:00Z"},"l":[]},"empty":{}}',
    ]


def test_no_rows_and_no_columns() -> None:
    assert to_json(TABLE.slice(0, 0)).to_pylist() == []
    assert to_json(pa.table({"x": [1, 2]}).select([])).to_pylist() == ["{}", "{}"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_floats_come_back_unchanged(values: list[float]) -> None:
    texts = to_json(pa.table({"f": pa.array(values, pa.float64())})).to_pylist()
    assert [json.loads(t)["f"] for t in texts] == values


@given(st.lists(st.one_of(st.none(), st.text())), st.text())
def test_any_text_comes_back_unchanged(values: list[str | None], name: str) -> None:
    texts = to_json(pa.table({name: pa.array(values, pa.string())})).to_pylist()
    assert [json.loads(t)[name] for t in texts] == values


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("s", ["PT-5S", "PT1500S", "PT9223372036854775807S"]),
        ("ms", ["PT-0.005S", "PT1.5S", "PT9223372036854775.807S"]),
        ("us", ["PT-0.000005S", "PT0.0015S", "PT9223372036854.775807S"]),
        ("ns", ["PT-0.000000005S", "PT0.0000015S", "PT9223372036.854775807S"]),
    ],
)
def test_durations_keep_all_their_digits(unit: str, expected: list[str]) -> None:
    assert value_texts(pa.array([-5, 1_500, 2**63 - 1], pa.duration(unit))).to_pylist() == expected


def test_intervals_are_iso_8601() -> None:
    intervals = pa.array(
        [(0, 0, 0), (0, 1, 0), (13, -2, 5), (0, 0, -1_500_000_000), None], pa.month_day_nano_interval()
    )
    expected = ["PT0S", "P1D", "P13M-2DT0.000000005S", "PT-1.5S", None]
    assert value_texts(intervals).to_pylist() == expected
    assert to_json(pa.table({"i": intervals})).to_pylist()[1] == '{"i":"P1D"}'
