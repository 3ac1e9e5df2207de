"""Inserts: one request when the run has succeeded; what a column has no room for is an error."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from fhub import clickhouse
from fhub.clickhouse import inserting
from fhub.clickhouse.clauses import StatementError
from fhub.clickhouse.errors import ClickHouseError
from heddle.core.step import StepContext
from heddle.core.table import Table
from tests.fhub.clickhouse.steps import Steps
from tests.fhub.clickhouse.test_read import ATTACKS

UUID = "61f0c404-5cb3-11e7-907b-a6006ad3dba0"


@pytest.fixture
def numbers(ch: Steps) -> Steps:
    ch.execute(
        "CREATE TABLE $t (n Int64, text String DEFAULT 'none', twice Int64 MATERIALIZED n * 2) "
        "ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100"
    )
    return ch


def rows(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd", "gzip"])
def test_all_batches_are_one_insert(numbers: Steps, compression: str) -> None:
    mark = numbers.server.mark()
    numbers.insert(rows(1, 2), rows(), rows(3), connection={"compression": compression})
    assert numbers.execute("SELECT groupArray(n), any(text) FROM $t") == "[1,2,3]\tnone\n"
    inserts = [q for q in numbers.server.queries(mark) if q.sql.startswith("INSERT")]
    assert [q.written_rows for q in inserts] == [3]


def test_nothing_is_seen_before_commit_and_after_abort(numbers: Steps) -> None:
    connection = numbers.connection()
    context = StepContext(idempotency_key="run/1")
    config = clickhouse.InsertConfig(table="t", resource=connection)
    for end in ("abort", "commit"):
        writer = clickhouse.insert(config, context)
        writer.write(Table.from_arrow(rows(1)), context)
        assert numbers.execute("SELECT count() FROM $t") == "0\n"
        getattr(writer, end)()
    assert numbers.execute("SELECT count() FROM $t") == "1\n"
    connection.close()


def test_no_rows_are_no_insert(numbers: Steps) -> None:
    mark = numbers.server.mark()
    numbers.insert(rows())
    numbers.insert()
    assert not [q for q in numbers.server.queries(mark) if q.sql.startswith("INSERT")]


def test_many_rows_wait_in_a_file(numbers: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inserting, "SPOOL_BYTES_MAX", 1000)
    numbers.insert(*(rows(*range(at, at + 10_000)) for at in range(0, 100_000, 10_000)))
    assert numbers.execute("SELECT count(), sum(n) FROM $t") == "100000\t4999950000\n"


def test_a_repeated_insert_counts_once(numbers: Steps) -> None:
    numbers.insert(rows(1, 2), key="run/1")
    numbers.insert(rows(1, 2), key="run/1")
    assert numbers.execute("SELECT count() FROM $t") == "2\n"
    numbers.insert(rows(1, 2), key="run/2")
    assert numbers.execute("SELECT count() FROM $t") == "4\n"
    numbers.insert(rows(1, 2), key="run/3", deduplication_token="mine")
    numbers.insert(rows(1, 2), key="run/4", deduplication_token="mine")
    assert numbers.execute("SELECT count() FROM $t") == "6\n"


def test_attacks_are_values(ch: Steps) -> None:
    ch.execute("CREATE TABLE $`a``b` (`c``; --` String) ENGINE = MergeTree ORDER BY tuple()")
    ch.insert(pa.table({"c`; --": ATTACKS}), table="a`b")
    stored = ch.run("table", {"table": "a`b"}, None, {}).table
    assert sorted(stored["c`; --"].to_pylist()) == sorted(ATTACKS)


TYPES: list[tuple[str, pa.Array, Any]] = [
    ("UInt8", pa.array([255]), 255),
    ("UInt64", pa.array([2**63 - 1]), 2**63 - 1),
    ("UInt64", pa.array([Decimal(7)]), 7),
    ("Int128", pa.array(["-170141183460469231731687303715884105728"]), str(-(2**127))),
    ("Int256", pa.array([7]), "7"),
    ("UInt256", pa.array([Decimal(7)], pa.decimal128(38, 0)), "7"),
    ("Float32", pa.array([1.5]), 1.5),
    ("Float32", pa.array([float("inf")]), float("inf")),
    ("Float64", pa.array([0.1]), 0.1),
    ("Decimal(9, 2)", pa.array([Decimal("1.25")]), Decimal("1.25")),
    ("Decimal(9, 2)", pa.array([3]), Decimal("3.00")),
    ("String", pa.array(["é\0"]), "é\0"),
    ("FixedString(3)", pa.array([b"abc"]), b"abc"),
    ("Bool", pa.array([True]), True),
    ("Date", pa.array([datetime.date(2149, 6, 6)]), datetime.date(2149, 6, 6)),
    ("Date32", pa.array([datetime.date(1900, 1, 1)]), datetime.date(1900, 1, 1)),
    (
        "DateTime('Europe/Berlin')",
        pa.array([datetime.datetime(2020, 1, 1, 5)], pa.timestamp("us", "UTC")),
        datetime.datetime(2020, 1, 1, 5, tzinfo=datetime.UTC),
    ),
    (
        "DateTime64(4, 'UTC')",
        pa.array([datetime.datetime(1901, 1, 1, 5, 0, 0, 100)], pa.timestamp("us", "UTC")),
        datetime.datetime(1901, 1, 1, 5, 0, 0, 100, tzinfo=datetime.UTC),
    ),
    ("UUID", pa.array([UUID]), UUID),
    ("IPv4", pa.array(["1.2.3.4"]), "1.2.3.4"),
    ("IPv6", pa.array(["::1"]), "::1"),
    ("Enum8('a' = 1, 'b' = 2)", pa.array(["b"]), "b"),
    ("LowCardinality(Nullable(String))", pa.array([None], pa.string()), None),
    ("LowCardinality(String)", pa.array(["x"]).dictionary_encode(), "x"),
    ("Nullable(UInt8)", pa.array([None], pa.int64()), None),
    ("Array(UInt8)", pa.array([[1, 2]]), [1, 2]),
    ("Array(Array(Nullable(UInt8)))", pa.array([[[1, None], []]]), [[1, None], []]),
    ("Tuple(a UInt8, b Nullable(String))", pa.array([{"b": None, "a": 7}]), {"a": 7, "b": None}),
    ("Map(String, UInt8)", pa.array([[{"key": "k", "value": 1}]]), [{"key": "k", "value": 1}]),
    (
        "Map(String, UInt8)",
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        [{"key": "k", "value": 1}],
    ),
    ("JSON", pa.array(['{"a":1}']), '{"a":1}'),
]


@pytest.mark.parametrize(("type_", "values", "stored"), TYPES)
def test_a_type_comes_back(ch: Steps, type_: str, values: pa.Array, stored: Any) -> None:
    ch.execute(f"CREATE TABLE $t (x {type_}) ENGINE = MergeTree ORDER BY tuple()")
    ch.insert(pa.table({"x": values}))
    assert ch.query("SELECT x FROM t").to_pylist() == [{"x": stored}]


@pytest.mark.parametrize(
    ("type_", "values", "said"),
    [
        ("UInt8", pa.array([300]), "300 not in range"),
        ("UInt8", pa.array([-1]), "-1 not in range"),
        ("Int32", pa.array([2**40]), "not in range"),
        ("UInt8", pa.array([1.5]), "a float does not go into UInt8"),
        ("UInt8", pa.array(["1"]), "string does not go into UInt8; cast it"),
        ("UInt8", pa.array([None, 1]), "1 of its values are null"),
        ("Array(UInt8)", pa.array([[1, None]]), "holds a null inside"),
        ("Array(UInt8)", pa.array([[1], [900]]), "900 not in range"),
        ("Tuple(a UInt8)", pa.array([{"b": 1}]), "a struct with the fields b"),
        ("Map(String, UInt8)", pa.array([["a"]]), "does not go into a Map"),
        ("Float32", pa.array([1e300]), "larger than a Float32"),
        ("Float64", pa.array([2**53 + 1]), "not in range"),
        ("Decimal(9, 2)", pa.array([Decimal("1.255")]), "data loss"),
        ("Decimal(9, 2)", pa.array([Decimal("12345678.25")]), "precision|data loss|fit"),
        ("Decimal(9, 2)", pa.array([1.5]), "float does not go into Decimal"),
        ("Date", pa.array([datetime.date(1920, 1, 1)]), "out of the range of Date"),
        ("Date32", pa.array([datetime.date(1820, 1, 1)]), "out of the range of Date32"),
        ("DateTime", pa.array([datetime.datetime(2300, 1, 1)]), "out of the range of DateTime"),
        ("DateTime", pa.array([datetime.datetime(2020, 1, 1, 0, 0, 0, 5)]), "finer than DateTime"),
        ("DateTime64(3)", pa.array([datetime.datetime(2020, 1, 1, 0, 0, 0, 5)]), "finer than DateTime64"),
        ("DateTime64(5)", pa.array([datetime.datetime(2020, 1, 1, 0, 0, 0, 5)]), "more than the 5 digits"),
        ("DateTime64(6)", pa.array([datetime.datetime(1820, 1, 1)]), "out of the range of DateTime64"),
        ("Array(Date)", pa.array([[datetime.date(1920, 1, 1)]]), "out of the range of Date"),
        ("String", pa.array([7]), "int does not go into String"),
    ],
)
def test_a_value_that_does_not_fit(ch: Steps, type_: str, values: pa.Array, said: str) -> None:
    ch.execute(f"CREATE TABLE $t (x {type_}) ENGINE = MergeTree ORDER BY tuple()")
    with pytest.raises(StatementError, match=said) as caught:
        ch.insert(pa.table({"x": values}))
    assert str(caught.value).startswith("column `x` of t: ")
    assert ch.execute("SELECT count() FROM $t") == "0\n"


@pytest.mark.parametrize(
    ("type_", "value", "said"),
    [("UUID", "zz", "CANNOT_PARSE_UUID"), ("Enum8('a' = 1)", "b", "UNKNOWN_ELEMENT"), ("IPv4", "x", "code")],
)
def test_a_text_that_is_none_of_the_type(ch: Steps, type_: str, value: str, said: str) -> None:
    ch.execute(f"CREATE TABLE $t (x {type_}) ENGINE = MergeTree ORDER BY tuple()")
    with pytest.raises(ClickHouseError, match=said):
        ch.insert(pa.table({"x": [value]}))
    assert ch.execute("SELECT count() FROM $t") == "0\n"


@pytest.mark.parametrize(
    ("table", "values", "said"),
    [
        ("t", {"nope": [1]}, "the table t has no column `nope` to write to; it has n, text"),
        ("t", {"twice": [1]}, "no column `twice` to write to"),
        ("nope", {"n": [1]}, r"\(code 60, UNKNOWN_TABLE\)"),
    ],
)
def test_a_table_that_has_no_such_column(
    numbers: Steps, table: str, values: dict[str, list[int]], said: str
) -> None:
    with pytest.raises((StatementError, ClickHouseError), match=said):
        numbers.insert(pa.table(values), table=table)


def test_slices_of_nested_rows(ch: Steps) -> None:
    ch.execute(
        "CREATE TABLE $t (a Array(UInt8), m Map(String, UInt8), s Tuple(x UInt8)) "
        "ENGINE = MergeTree ORDER BY tuple()"
    )
    whole = pa.table(
        {
            "a": [[1], [2, 3], [4]],
            "m": pa.array([[("a", 1)], [("b", 2), ("c", 3)], []], pa.map_(pa.string(), pa.int64())),
            "s": [{"x": 1}, {"x": 2}, {"x": 3}],
        }
    )
    ch.insert(whole.slice(1, 1))
    assert ch.query("SELECT * FROM t").to_pylist() == [
        {"a": [2, 3], "m": [{"key": "b", "value": 2}, {"key": "c", "value": 3}], "s": {"x": 2}}
    ]
