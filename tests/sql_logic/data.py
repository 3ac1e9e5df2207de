"""The tables that the battery's queries read, with the values at which engines tend to differ.

`plain` has nulls, signs, NaN, infinities, both zeros, empty and non-ASCII texts, and dates far from today;
its numbers are small enough for every calculation. `extreme` has the largest and smallest numbers.
`other` is what is joined, `empty` has no rows, and `twins` has names that differ only by case.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Final

import pyarrow as pa

_NAN, _INF = float("nan"), float("inf")


def _decimals(text: str, precision: int, scale: int) -> pa.Array:
    values = [None if word == "-" else Decimal(word) for word in text.split()]
    return pa.array(values, pa.decimal128(precision, scale))


def _dates(*texts: str | None) -> pa.Array:
    return pa.array([None if t is None else dt.date.fromisoformat(t) for t in texts], pa.date32())


def _moments(*texts: str | None) -> pa.Array:
    values = [None if t is None else dt.datetime.fromisoformat(t).replace(tzinfo=dt.UTC) for t in texts]
    return pa.array(values, pa.timestamp("us", "UTC"))


_FLOATS = [None, 0.0, -0.0, 1.5, -2.5, 0.5, _NAN, _INF, -_INF, 1e300, 0.1, 123456789.123]
_DAYS = _dates(
    *(None, "1970-01-01", "1969-12-28", "2000-02-29", "2024-12-30", "2021-01-03"),
    *("1900-01-01", "0001-01-01", "9999-12-31", "2024-03-31", "2020-12-31", "2008-12-29"),
)
_MOMENTS = _moments(
    *(None, "1970-01-01", "1969-12-31T23:59:59.999999", "2000-02-29T12:00:00", "2024-12-30T01:02:03"),
    *("2021-01-03", "1900-01-01T06:30:00", "1700-05-05", "2200-12-31", "2024-03-31T02:30:00"),
    *("2020-12-31T23:59:59.5", "2008-12-29T10:00:00"),
)

PLAIN: Final = pa.table(
    {
        "id": pa.array(range(12), pa.int64()),
        "i": pa.array([None, 0, 1, -1, 7, -7, 10, 100, 3, -3, 2**53, 5], pa.int64()),
        "j": pa.array([3, 2, 2, 2, None, 3, -3, 7, -2, -2, 1, 5], pa.int64()),
        "k": pa.array([None, 0, 1, -1, 7, -7, 10, 100, 3, -3, 1000, 5], pa.int32()),
        "f": pa.array(_FLOATS, pa.float64()),
        "g": pa.array([2.0, 4.0, -1.0, 0.25, None, 3.0, 1.0, 2.0, -2.0, 10.0, 3.0, 7.5], pa.float64()),
        "h": pa.array([None, 0.0, -0.0, 1.5, -2.5, 0.5, 0.25, 8.0, -8.0, 1024.0, 3.0, 7.5], pa.float32()),
        "m": _decimals("- 0.00 0.01 -0.01 1.50 -2.50 0.05 99999.99 0.07 10.00 -3.33 100.25", 15, 2),
        "n": _decimals(
            "0.0001 3.0000 - 2.2500 1.5000 -7.0000 0.0500 0.3333 1.2345 10.0000 -0.5000 2.5000", 10, 4
        ),
        "s": pa.array([None, "", "a", "A", "ab", "日本語", "👍🏽", " x ", "it's", "100%", "a_b", "e\u0301"]),
        "t": pa.array(["", None, "a", "b", "b", "本", "👍", " ", "'", "%", "_", "e"]),
        "digits": pa.array([None, "0", "1", "-1", "7", "-7", "10", "100", "3", "-3", "42", "5"]),
        "b": pa.array([None, True, False] * 4, pa.bool_()),
        "c": pa.array([True] * 4 + [False] * 4 + [None] * 4, pa.bool_()),
        "d": _DAYS,
        "d2": _DAYS[::-1],
        "at": _MOMENTS,
        "at2": _MOMENTS[::-1],
    }
)

EXTREME: Final = pa.table(
    {
        "id": pa.array(range(5), pa.int64()),
        "i": pa.array([2**63 - 1, -(2**63), 2**53 + 1, -(2**53) - 1, 0], pa.int64()),
        "j": pa.array([1, -1, 2, 2, 0], pa.int64()),
        "k": pa.array([2**31 - 1, -(2**31), 2**30, 1, 0], pa.int32()),
        "f": pa.array([1.7976931348623157e308, 5e-324, -1.7976931348623157e308, 1e16, 0.00001]),
        "m": _decimals("9999999999999.99 -9999999999999.99 0.01 1.50 0.00", 15, 2),
        "s": pa.array(["straße", "İ", "ΑΣ", "ÄÖÜ", "\u00a0x\u00a0"]),
        "d": _dates("9999-12-31", "0001-01-01", "1582-10-10", "1677-09-20", "1970-01-01"),
        "at": _moments("9999-12-31", "1677-09-22", "2262-04-11", "0001-01-01", "1970-01-01"),
    }
)

OTHER: Final = pa.table(
    {
        "id": pa.array([0, 1, 1, 2, None, 99], pa.int64()),
        "i": pa.array([7, 7, None, 1, 3, 10], pa.int64()),
        "k": pa.array([0, 1, None, 100, 7, 3], pa.int32()),
        "f": pa.array([0.0, -0.0, _NAN, None, 1.5, 7.0], pa.float64()),
        "m": _decimals("0.00 1.50 - 0.05 10.00 8.10", 15, 2),
        "n": _decimals("0.0000 1.5000 - 0.0500 10.0000 8.1000", 10, 4),
        "s": pa.array(["a", "A", None, "", "\u00e9", "e\u0301"]),
        "at": _moments(
            "1970-01-01", "1969-12-31T23:59:59.999999", None, "2021-01-03", "2021-01-03", "1999-01-01"
        ),
        "label": pa.array(["zero", "one", "two", "three", "four", "five"]),
    }
)

TWINS: Final = pa.table({"id": [1, 2, 3], "ID": [10, 20, 30], "name": ["x", "y", "z"]})

TABLES: Final = {
    "plain": PLAIN,
    "extreme": EXTREME,
    "other": OTHER,
    "empty": PLAIN.slice(0, 0),
    "twins": TWINS,
}
