"""What may run on DuckDB, and why the rest may not; tests/sql_logic runs both."""

from __future__ import annotations

import pyarrow as pa
import pytest

from heddle.core.types import OPEN_ROW, Column, RowType
from heddle.logical.portable import why_not_portable

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
        'SELECT "id" FROM "t" WHERE EXISTS (SELECT 1 FROM "u" WHERE "t"."id" = "u"."id")',
        'SELECT (LOG10("rate") / LOG10(2)) AS "l", ("id" * 1.0e0 / "id") AS "d" FROM "t"',
        'SELECT FLOOR(DATE_PART(\'epoch\', "day") / 3600) AS "h" FROM "t"',
        'SELECT POWER("rate", 2) AS "square", POWER("id", 0.5e0) AS "root" FROM "t"',
        'SELECT CONCAT("name", \'-\', "id") AS "label" FROM "t"',
        'SELECT ARROW_CAST(\'2024-01-01\', \'Timestamp(Microsecond, Some("UTC"))\') AS "at" FROM "t"',
    ],
)
def test_it_means_the_same(sql: str) -> None:
    assert why_not_portable(sql, [ROW]) is None


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ('SELECT UPPER("name") AS "u" FROM "t"', "`text.upper`"),
        ('SELECT FROBNICATE("name") AS "u" FROM "t"', "`FROBNICATE`"),
        ('SELECT "id" FROM "t" QUALIFY 1', "`QUALIFY`"),
        ('SELECT CAST("rate" AS BIGINT) AS "n" FROM "t"', "`as int` rounds"),
        ('SELECT (("id" / 2) - (("id" / 2) % 1)) AS "n" FROM "t"', "`//`"),
        ('SELECT "id" FROM "t" WHERE (("id" / 2) > 3)', "`//`"),
        ('SELECT "name" FROM "t" WHERE ("name" ~ \'\\d+\')', "pattern"),
        ('SELECT "name" FROM "t" WHERE ("name" ~ "name")', "pattern"),
        ('SELECT "id" AS "ID2", "id" AS "id2" FROM "t"', "differ only by case"),
        ('SELECT "tags" FROM "t"', "`tags` is of type list<string"),
        ('SELECT * FROM "t"', "`tags`"),
        ('SELECT CONCAT("rate", "name") AS "c" FROM "t"', "written as text"),
        ('SELECT "name" AS "n", "rate" AS "name" FROM "t" WHERE (CONCAT("name") = \'\')', "written as text"),
        ('SELECT CASE WHEN ("id" = 1) THEN "price" ELSE "rate" END AS "c" FROM "t"', "a decimal and a float"),
        ('SELECT SUBSTR("name", (-1), 2) AS "s" FROM "t"', "negative start"),
        ('SELECT TO_CHAR("day", \'%s\') AS "s" FROM "t"', "`date.to_text`"),
        ('SELECT POWER("rate", "id") AS "p" FROM "t"', "`math.pow`"),
        ('SELECT POWER("rate", (-2)) AS "p" FROM "t"', "`math.pow`"),
        ('SELECT "price" AS "x" FROM "t" UNION ALL SELECT AVG("id") AS "x" FROM "t"', "a float"),
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
