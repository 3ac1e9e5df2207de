"""Each of ClickHouse's types arrives as the type that was promised, with its value unchanged."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from fhub.clickhouse.column_types import Element, Parts, elements_of, identifier, parts_of
from heddle.core.failure import StepError
from heddle.core.types import type_name
from tests.fhub.clickhouse.steps import Steps

UTC = datetime.UTC
UUID = "61f0c404-5cb3-11e7-907b-a6006ad3dba0"

TYPES: list[tuple[str, str, Any]] = [
    ("toInt8(-1)", "int", -1),
    ("toUInt8(255)", "int", 255),
    ("toInt64(-9223372036854775808)", "int", -(2**63)),
    ("toUInt64(9223372036854775807)", "int", 2**63 - 1),
    ("toInt128('-170141183460469231731687303715884105728')", "string", str(-(2**127))),
    ("toUInt256('5')", "string", "5"),
    ("toFloat32(1.5)", "float", 1.5),
    ("toFloat64(0.1)", "float", 0.1),
    ("toBFloat16(1.5)", "float", 1.5),
    ("toDecimal32('1.25', 2)", "decimal(9,2)", Decimal("1.25")),
    ("toDecimal128('-1.0000000001', 10)", "decimal(38,10)", Decimal("-1.0000000001")),
    ("toDecimal256('3.14', 20)", "decimal(76,20)", Decimal("3.14")),
    ("'hé ☃'", "string", "hé ☃"),
    ("toFixedString('abc', 5)", "binary", b"abc\0\0"),
    ("toDate('2149-06-06')", "date", datetime.date(2149, 6, 6)),
    ("toDate32('1905-02-03')", "date", datetime.date(1905, 2, 3)),
    ("toDateTime('2024-02-03 01:02:03', 'UTC')", "timestamp", datetime.datetime(2024, 2, 3, 1, 2, 3, 0, UTC)),
    (
        "toDateTime('2024-02-03 01:02:03', 'Europe/Berlin')",
        "timestamp",
        datetime.datetime(2024, 2, 3, 0, 2, 3, 0, UTC),
    ),
    (
        "toDateTime64('2024-02-03 01:02:03.123', 3, 'America/New_York')",
        "timestamp",
        datetime.datetime(2024, 2, 3, 6, 2, 3, 123000, UTC),
    ),
    (
        "toDateTime64('1901-02-03 01:02:03.123456', 6, 'UTC')",
        "timestamp",
        datetime.datetime(1901, 2, 3, 1, 2, 3, 123456, UTC),
    ),
    (
        "toDateTime64('2024-02-03 01:02:03.123456000', 9, 'UTC')",
        "timestamp",
        datetime.datetime(2024, 2, 3, 1, 2, 3, 123456, UTC),
    ),
    ("toTime('12:34:56')", "string", "12:34:56"),
    (f"toUUID('{UUID}')", "string", UUID),
    ("toIPv4('1.2.3.4')", "string", "1.2.3.4"),
    ("toIPv6('::1')", "string", "::1"),
    ("CAST('b', 'Enum8(\\'a\\' = 1, \\'b\\' = 2)')", "string", "b"),
    ("toLowCardinality('x')", "string", "x"),
    ("CAST(NULL, 'LowCardinality(Nullable(String))')", "string?", None),
    ("CAST(7, 'Nullable(Int32)')", "int?", 7),
    ("NULL", "string?", None),
    ("true", "bool", True),
    ("[1, 2]::Array(UInt8)", "list<int>", [1, 2]),
    ("[1, NULL]", "list<int?>", [1, None]),
    ("[[toDateTime(1, 'UTC')]]", "list<list<timestamp>>", [[datetime.datetime(1970, 1, 1, 0, 0, 1, 0, UTC)]]),
    (f"[toUUID('{UUID}')]", "list<string>", [UUID]),
    ("map('a', 1)", "list<{key: string, value: int}>", [{"key": "a", "value": 1}]),
    (
        "map('a', [toIPv4('1.2.3.4')])",
        "list<{key: string, value: list<string>}>",
        [{"key": "a", "value": ["1.2.3.4"]}],
    ),
    ("tuple(1, 'a')", "{1: int, 2: string}", {"1": 1, "2": "a"}),
    (
        "CAST((1, NULL), 'Tuple(a Int32, `b c` Nullable(Date))')",
        "{a: int, b c: date?}",
        {"a": 1, "b c": None},
    ),
    ("CAST((1, 2), 'Point')", "{1: float, 2: float}", {"1": 1.0, "2": 2.0}),
    ("CAST('{\"a\":1}', 'JSON')", "string", '{"a":1}'),
    ("CAST(1, 'Dynamic')", "string?", "1"),
    ("INTERVAL 3 DAY", "int", 3),
    ("[]", "list<string?>", []),
]


@pytest.mark.parametrize(("expression", "type_", "value"), TYPES, ids=[e for e, _, _ in TYPES])
def test_a_type(ch: Steps, expression: str, type_: str, value: Any) -> None:
    sql = f"SELECT {expression} AS x"
    described = ch.described(sql)
    table = ch.query(sql)
    assert table.schema.equals(described)
    field = table.schema.field("x")
    assert type_name(field.type, field.nullable) == type_
    assert table.to_pylist() == [{"x": value}]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("toUInt64(18446744073709551615)", "above 2^63 - 1"),
        ("toDateTime64('2024-02-03 01:02:03.123456789', 9)", "nanoseconds"),
        ("unhex('ff')", "no UTF-8"),
        ("[unhex('ff')]", "no UTF-8"),
    ],
)
def test_what_does_not_fit_is_an_error(ch: Steps, expression: str, said: str) -> None:
    with pytest.raises(StepError, match=re.escape(said)) as caught:
        ch.query(f"SELECT {expression} AS x")
    assert "`x`" in caught.value.message


@pytest.mark.parametrize(
    ("expression", "declared", "value"),
    [
        ("toUInt64(18446744073709551615)", "decimal(20,0)", Decimal(2**64 - 1)),
        ("unhex('ff00')", "binary", b"\xff\0"),
        ("toUInt64(7)", "string", "7"),
        ("toDate('2020-01-02')", "timestamp", datetime.datetime(2020, 1, 2, 0, 0, 0, 0, UTC)),
        ("toInt128('7')", "int", 7),
    ],
)
def test_a_declared_type_wins(ch: Steps, expression: str, declared: str, value: Any) -> None:
    sql = f"SELECT {expression} AS x"
    table = ch.query(sql, schema={"x": declared})
    assert type_name(table.schema.field("x").type) == declared
    assert table.to_pylist() == [{"x": value}]
    assert ch.described(sql, schema={"x": declared}).equals(table.schema)


def test_a_declared_type_that_does_not_fit_is_an_error(ch: Steps) -> None:
    with pytest.raises(StepError, match=r"value is out of range|cannot be safely converted|CANNOT_CONVERT"):
        ch.query("SELECT toInt128('170141183460469231731687303715884105727') AS x", schema={"x": "int"})
    with pytest.raises(StepError, match=r"`schema` says `x: list<int>`, but the column is UInt8"):
        ch.query("SELECT 1 AS x", schema={"x": "list<int>"})


def test_wide_numbers_are_told_of(ch: Steps) -> None:
    result = ch.run("query", {"query": "SELECT toInt128(1) AS big"}, None, {})
    assert [line.message for line in result.logs] == [
        "column `big`: Int128 arrives as text, since an int has 64 bits"
    ]


def test_the_state_of_an_aggregate_is_binary(ch: Steps) -> None:
    table = ch.query("SELECT sumState(number) AS x FROM numbers(3)")
    assert pa.types.is_binary(table.schema.field("x").type)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("UInt8", Parts("UInt8")),
        ("Map(String, Array(UInt8))", Parts("Map", ("String", " Array(UInt8)"))),
        ("Enum8('a,)' = 1, 'b\\'' = 2)", Parts("Enum8", ("'a,)' = 1", " 'b\\'' = 2"))),
    ],
)
def test_a_name_is_taken_apart(text: str, parts: Parts) -> None:
    assert parts_of(text) == parts


def test_elements_have_names_or_numbers() -> None:
    parts = parts_of("Tuple(\n    a Int32,\n    `b c` Map(String, UInt8),\n    Nullable(Int8))")
    assert elements_of(parts) == (
        Element("a", "Int32"),
        Element("b c", "Map(String, UInt8)"),
        Element("3", "Nullable(Int8)"),
    )
    assert identifier("a`b\\") == "`a\\`b\\\\`"
