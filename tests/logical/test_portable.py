"""What may run on DuckDB, and why the rest may not; tests/sql_logic runs both."""

from __future__ import annotations

import pyarrow as pa
import pytest

from heddle.core.types import OPEN_ROW, Column, RowType
from heddle.logical.portable import duckdb_sql, why_not_portable

ROW = RowType(
    (
        Column("id", pa.int64()),
        Column("price", pa.decimal128(15, 2)),
        Column("rate", pa.float64()),
        Column("name", pa.string()),
        Column("day", pa.date32()),
        Column("tags", pa.list_(pa.string())),
    )
)


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "name", COALESCE(SUM("price"), 0) AS "s" FROM "t" AS "t" GROUP BY "name" ORDER BY "s"',
        'SELECT COUNT(*) AS "n", COUNT(DISTINCT "id") AS "ids" FROM "t" WHERE ("name" ~ \'a.*b\')',
        'SELECT DATE_PART(\'year\', "day") AS "y" FROM "t" WHERE "day" = DATE \'2024-01-01\'',
        'SELECT SUBSTR("name", 1, 2) AS "s", CAST(FLOOR("rate") AS BIGINT) AS "f" FROM "t"',
        'SELECT ROW_NUMBER() OVER (PARTITION BY "name" ORDER BY "id") AS "r" FROM "t"',
        'SELECT CASE WHEN ("id" = 1) THEN "price" ELSE 0 END AS "c" FROM "t" LIMIT 5 OFFSET 2',
        'SELECT CONCAT("name", \'-\', "id") AS "label" FROM "t"',
        'SELECT ARROW_CAST(\'2024-01-01\', \'Timestamp(Microsecond, Some("UTC"))\') AS "at" FROM "t"',
    ],
)
def test_it_means_the_same(sql: str) -> None:
    assert why_not_portable(sql, [ROW]) is None


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ('SELECT UPPER("name") AS "u" FROM "t"', "`UPPER`"),
        ('SELECT FROBNICATE("name") AS "u" FROM "t"', "`FROBNICATE`"),
        ('SELECT "id" FROM "t" QUALIFY 1', "`QUALIFY`"),
        ('SELECT CAST("rate" AS BIGINT) AS "n" FROM "t"', "cast to BIGINT"),
        ('SELECT (("id" / 2) - (("id" / 2) % 1)) AS "n" FROM "t"', "`//`"),
        ('SELECT "name" FROM "t" WHERE ("name" ~ \'\\d+\')', "pattern"),
        ('SELECT "name" FROM "t" WHERE ("name" ~ "name")', "pattern"),
        ('SELECT "id" AS "ID2", "id" AS "id2" FROM "t"', "differ only by case"),
        ('SELECT "tags" FROM "t"', "`tags` is of type list<string"),
        ('SELECT * FROM "t"', "`tags`"),
        ('SELECT CONCAT("rate", "name") AS "c" FROM "t"', "written as text"),
        ('SELECT "name" AS "n", "rate" AS "name" FROM "t" WHERE (CONCAT("name") = \'\')', "written as text"),
        ('SELECT CASE WHEN ("id" = 1) THEN "price" ELSE "rate" END AS "c" FROM "t"', "a decimal and a float"),
        ('SELECT SUBSTR("name", (-1), 2) AS "s" FROM "t"', "negative start"),
        ('SELECT TO_CHAR("day", \'%s\') AS "s" FROM "t"', "`TO_CHAR`"),
        ('SELECT "id"; DROP TABLE "t"', "`;`"),
    ],
)
def test_it_stays_on_datafusion(sql: str, reason: str) -> None:
    found = why_not_portable(sql, [ROW])
    assert found is not None
    assert reason in found


def test_unknown_columns_stay() -> None:
    found = why_not_portable('SELECT "id" FROM "t"', [OPEN_ROW])
    assert found is not None
    assert "known only in the run" in found


def test_an_average_needs_no_product_there() -> None:
    sql = 'SELECT AVG(("t"."price" * 1.0e0)) AS "a", AVG(("x" * 2.0e0)) AS "b"'
    assert duckdb_sql(sql) == 'SELECT AVG("t"."price") AS "a", AVG(("x" * 2.0e0)) AS "b"'
