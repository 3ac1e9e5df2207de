"""Every type of PostgreSQL: as what it arrives, and that nothing arrives as something else."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fhub.postgresql as pg
from fhub.postgresql.describing import described
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.settings import InsertConfig
from heddle.sdk import StepContext
from tests.fhub.postgresql.database import Database, write

UTC = dt.UTC
MOON = dt.datetime(1969, 7, 20, 20, 17, 40, 123456, tzinfo=UTC)
# What a value is in PostgreSQL, as what it arrives, and of which type.
EXACT: list[tuple[str, Any, pa.DataType]] = [
    ("7::int2", 7, pa.int16()),
    ("7::int4", 7, pa.int32()),
    ("9223372036854775807::int8", 2**63 - 1, pa.int64()),
    ("1.50::numeric(10,2)", Decimal("1.50"), pa.decimal128(10, 2)),
    ("'-0.001'::numeric(3,3)", Decimal("-0.001"), pa.decimal128(3, 3)),
    (f"{'9' * 40}.5::numeric(60,20)", Decimal("9" * 40 + ".5"), pa.decimal256(60, 20)),
    ("1.5::float4", 1.5, pa.float32()),
    ("'infinity'::float8", float("inf"), pa.float64()),
    ("'it''s é'::text", "it's é", pa.string()),
    ("'abc'::varchar(5)", "abc", pa.string()),
    ("'ab'::char(3)", "ab ", pa.large_string()),
    ("'n'::name", "n", pa.string()),
    ("true", True, pa.bool_()),
    ("'1969-07-20 22:17:40.123456+02'::timestamptz", MOON, pa.timestamp("us", "UTC")),
    ("'1969-07-20 20:17:40.123456'::timestamp", MOON.replace(tzinfo=None), pa.timestamp("us")),
    ("'0044-03-15'::date", dt.date(44, 3, 15), pa.date32()),
    ("'23:59:59.999999'::time", dt.time(23, 59, 59, 999999), pa.time64("us")),
    (r"'\x00ff'::bytea", b"\x00\xff", pa.binary()),
    ("'{1,NULL,3}'::int4[]", [1, None, 3], pa.list_(pa.int32())),
    ("ARRAY['a', NULL]", ["a", None], pa.list_(pa.string())),
    ("ARRAY['1969-07-20 20:17:40.123456+00'::timestamptz]", [MOON], pa.list_(pa.timestamp("us", "UTC"))),
    ("'{}'::text[]", [], pa.list_(pa.string())),
    ("ARRAY['a'::char(2), NULL]", ["a ", None], pa.list_(pa.large_string())),
    ("ARRAY[true, NULL]", [True, None], pa.list_(pa.bool_())),
    ("ARRAY['x'::name]", ["x"], pa.list_(pa.string())),
    (r"ARRAY['\x00'::bytea]", [b"\x00"], pa.list_(pa.binary())),
    ("ARRAY[1.5::float4]", [1.5], pa.list_(pa.float32())),
    ("""'{"a": [1, "é"]}'::jsonb""", '{"a": [1, "é"]}', pa.string()),
    ("""'{"a":1}'::json""", '{"a":1}', pa.string()),
    ("ARRAY['{}'::jsonb, NULL]", ["{}", None], pa.list_(pa.string())),
    (
        "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        pa.string(),
    ),
    ("'calm'::mood", "calm", pa.string()),
    ("ARRAY['calm', NULL]::mood[]", ["calm", None], pa.list_(pa.string())),
    ("7::positive", 7, pa.int32()),
    ("4294967295::oid", 2**32 - 1, pa.int64()),
]
# What has no type of Heddle's arrives as text, and is warned of.
AS_TEXT: list[tuple[str, Any]] = [
    ("123456789012345678901234567890.10::numeric", "123456789012345678901234567890.10"),
    ("'NaN'::numeric", "NaN"),
    ("ARRAY[1.50]::numeric[]", ["1.50"]),
    ("'[1,5)'::int4range", "[1,5)"),
    ("'{[1,5)}'::int4multirange", "{[1,5)}"),
    ("'1 month 2 days 3.5 seconds'::interval", "P1M2DT3.5S"),
    ("'10:00+02'::timetz", "10:00:00+02"),
    ("'10.0.0.0/8'::cidr", "10.0.0.0/8"),
    ("'(1,2)'::point", "(1,2)"),
    ("ROW(7, 'a')::pair", "(7,a)"),
    ("ROW(7, 'a')", "(7,a)"),
    ("B'101'", "101"),
    ("'<a/>'::xml", "<a/>"),
    ("'pg_class'::regclass", "pg_class"),
]
NOT_IN_ARROW = [
    ("'infinity'::timestamptz", "infinity"),
    ("'-infinity'::timestamptz", "infinity"),
    ("'infinity'::timestamp", "infinity"),
    ("'infinity'::date", "infinity"),
    ("'-infinity'::date", "infinity"),
    ("ARRAY['infinity'::date]", "infinity"),
    ("'24:00'::time", "24:00:00"),
    ("'NaN'::numeric(5,2)", "NaN"),
    ("'{{1,2},{3,4}}'::int4[]", "several dimensions"),
]


@pytest.fixture(scope="module")
def typed(database: Database) -> Database:
    database.run(
        "CREATE TYPE mood AS ENUM ('calm', 'glad')",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        "CREATE TYPE pair AS (number int, word text)",
    )
    return database


def test_exact_types(typed: Database) -> None:
    selected = ", ".join(f"{text} AS c{number}" for number, (text, _, _) in enumerate(EXACT))
    found = typed.query(f"SELECT {selected}")
    for number, (text, value, type_) in enumerate(EXACT):
        assert found.schema.field(number).type == type_, text
        assert found.column(number)[0].as_py() == value, text
    assert described(typed.resource, f"SELECT {selected}").schema() == found.schema
    nulls = typed.query(f"SELECT NULLIF(c0, c0) AS n, c23 FROM (SELECT {selected}) AS x WHERE c0 IS NULL")
    assert nulls.num_rows == 0


def test_what_has_no_type_arrives_as_text_and_is_warned_of(
    typed: Database, caplog: pytest.LogCaptureFixture
) -> None:
    for text, value in AS_TEXT:
        assert typed.query(f"SELECT {text} AS v").column("v").to_pylist() == [value], text
    caplog.clear()
    for text, _ in AS_TEXT:
        typed.query(f"SELECT {text} AS v")
    assert "the column `v` is of type cidr: it arrives as text" in typed.resource.warned
    assert "the column `v` is of type pair: it arrives as text" in typed.resource.warned
    assert caplog.records == []  # each is said once


@pytest.mark.parametrize(("text", "word"), NOT_IN_ARROW)
def test_what_arrow_cannot_hold_is_refused(database: Database, text: str, word: str) -> None:
    with pytest.raises(PostgresqlError, match=f"the column `v` holds .*{word}"):
        database.query(f"SELECT {text} AS v")
    assert database.query(f"SELECT ({text})::text AS v").num_rows == 1


VALUES = {
    "n2": st.integers(-(2**15), 2**15 - 1),
    "n8": st.integers(-(2**63), 2**63 - 1),
    "x": st.floats(allow_nan=False),
    "d": st.decimals("-9999999999.99", "9999999999.99", places=2),
    "t": st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))),
    "b": st.binary(),
    "at": st.datetimes(timezones=st.just(UTC)),
    "day": st.dates(),
    "time": st.times(),
    "list": st.lists(st.one_of(st.none(), st.text(st.sampled_from("a,{}\"\\'é ")))),
    "uuid": st.uuids().map(str),
}
KINDS = {
    "n2": ("smallint", pa.int64()),
    "n8": ("bigint", pa.int64()),
    "x": ("float8", pa.float64()),
    "d": ("numeric(12,2)", pa.decimal128(12, 2)),
    "t": ("text", pa.string()),
    "b": ("bytea", pa.binary()),
    "at": ("timestamptz", pa.timestamp("us", "UTC")),
    "day": ("date", pa.date32()),
    "time": ("time", pa.time64("us")),
    "list": ("text[]", pa.list_(pa.string())),
    "uuid": ("uuid", pa.string()),
}


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.fixed_dictionaries({k: st.one_of(st.none(), v) for k, v in VALUES.items()}), max_size=5)
)
def test_what_is_written_is_read(database: Database, rows: list[dict[str, Any]]) -> None:
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in KINDS.items())
    database.run("DROP TABLE IF EXISTS kept", f"CREATE TABLE kept (row int, {columns})")
    schema = pa.schema([("row", pa.int32()), *((name, type_) for name, (_, type_) in KINDS.items())])
    table = pa.Table.from_pylist([{"row": n, **row} for n, row in enumerate(rows)], schema=schema)
    write(pg.insert(InsertConfig(table="kept", resource=database.resource), StepContext()), table)
    found = database.query("SELECT * FROM kept ORDER BY row")
    assert found.cast(schema).to_pylist() == table.to_pylist()
