"""Writes types.arrows: a stream with a column of every Arrow type, in two batches, for arrow.test.ts.

usage: python make.py   (with pyarrow)
"""

import datetime
import decimal
from pathlib import Path

import pyarrow as pa

D = decimal.Decimal
DAY = datetime.date(2026, 3, 1)
MOMENT = datetime.datetime(2026, 3, 1, 12, 30, 15, 123456)
LONG = "longer than twelve bytes"


def columns(n: int) -> dict[str, pa.Array]:
    """Four rows, others for each `n`."""
    return {
        "null": pa.nulls(4),
        "bool": pa.array([True, None, False, n % 2 == 0]),
        "int8": pa.array([n, None, -3, 4], pa.int8()),
        "int16": pa.array([n, None, -3, 4], pa.int16()),
        "int32": pa.array([n, None, -3, 4], pa.int32()),
        "int64": pa.array([n, None, -(2**63), 2**63 - 1], pa.int64()),
        "uint8": pa.array([n, None, 3, 255], pa.uint8()),
        "uint16": pa.array([n, None, 3, 4], pa.uint16()),
        "uint32": pa.array([n, None, 3, 2**32 - 1], pa.uint32()),
        "uint64": pa.array([n, None, 3, 2**64 - 1], pa.uint64()),
        "float16": pa.array([1.5, None, -0.25, n], pa.float16()),
        "float32": pa.array([1.5, None, -0.25, n], pa.float32()),
        "float64": pa.array([1.5, None, float("inf"), n], pa.float64()),
        "string": pa.array(["a", None, "žluť 🐎", str(n)]),
        "large_string": pa.array(["a", None, "ž", str(n)], pa.large_string()),
        "string_view": pa.array(["short", None, LONG, f"{LONG} {n}"], pa.string_view()),
        "binary": pa.array([b"\0\xff", None, b"", bytes([n])], pa.binary()),
        "large_binary": pa.array([b"\0\xff", None, b"", bytes([n])], pa.large_binary()),
        "binary_view": pa.array([b"\0", None, LONG.encode(), bytes([n]) * 20], pa.binary_view()),
        "fixed_size_binary": pa.array([b"abc", None, b"\0\0\0", bytes([n]) * 3], pa.binary(3)),
        "date32": pa.array([DAY, None, datetime.date(1, 1, 1), DAY], pa.date32()),
        "date64": pa.array([DAY, None, DAY, DAY], pa.date64()),
        "time32": pa.array([n, None, 3, 4], pa.time32("ms")),
        "time64": pa.array([n, None, 3, 4], pa.time64("us")),
        "timestamp": pa.array([n, None, -3, 4], pa.timestamp("s")),
        "timestamp_zone": pa.array([MOMENT, None, MOMENT, MOMENT], pa.timestamp("us", tz="Europe/Prague")),
        "duration": pa.array([n, None, -3, 4], pa.duration("ns")),
        "interval": pa.array([(1, 2, 3), None, (0, 0, 0), (n, -1, -2)], pa.month_day_nano_interval()),
        "decimal32": pa.array([D("1.50"), None, D("-2.25"), D(n)], pa.decimal32(9, 2)),
        "decimal64": pa.array([D("1.50"), None, D("-2.25"), D(n)], pa.decimal64(18, 2)),
        "decimal128": pa.array([D("1.50"), None, D("-99999999999999999999.25"), D(n)], pa.decimal128(38, 2)),
        "decimal256": pa.array([D("1.50"), None, D("-0.25"), D(n)], pa.decimal256(70, 2)),
        "list": pa.array([[1, None], None, [], [n]], pa.list_(pa.int64())),
        "large_list": pa.array([[1], None, [], [n, n]], pa.large_list(pa.int64())),
        "list_view": pa.array([[1], None, [], [n]], pa.list_view(pa.int64())),
        "large_list_view": pa.array([[1], None, [], [n]], pa.large_list_view(pa.int64())),
        "fixed_size_list": pa.array([[1, 2], None, [3, None], [n, n]], pa.list_(pa.int64(), 2)),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}, {"a": n, "b": "y"}]),
        "nested": pa.array([[{"a": [1.5]}], None, [{"a": None}, {"a": []}], []]),
        "map": pa.array([[("a", 1)], None, [], [("b", n), ("c", None)]], pa.map_(pa.string(), pa.int64())),
        "dictionary": pa.array(["a", None, f"b{n}", "a"]).dictionary_encode(),
        "dictionary_of_ints": pa.DictionaryArray.from_arrays(pa.array([1, None, 0, 1], pa.int8()), [10, n]),
        "list_of_dictionaries": pa.array(
            [["x"], None, ["y", "x"], []], pa.list_(pa.dictionary(pa.int32(), pa.string()))
        ),
        "run_end_encoded": pa.RunEndEncodedArray.from_arrays([2, 3, 4], ["a", None, f"b{n}"]),
        "dense_union": pa.UnionArray.from_dense(
            pa.array([0, 1, 0, 1], pa.int8()),
            pa.array([0, 0, 1, 1], pa.int32()),
            [pa.array([1, n]), pa.array(["x", f"y{n}"])],
        ),
        "sparse_union": pa.UnionArray.from_sparse(
            pa.array([0, 1, 0, 1], pa.int8()), [pa.array([1, 2, n, 4]), pa.array(["w", "x", "y", f"z{n}"])]
        ),
    }


if __name__ == "__main__":
    batches = [pa.record_batch(columns(n)) for n in (5, 6)]
    with pa.ipc.new_stream(Path(__file__).with_name("types.arrows"), batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
