"""Rows that are taken before a sort are the first ones, on DataFusion too."""

from __future__ import annotations

import pytest
from datafusion import SessionContext

from heddle.physical.kept_limits import with_kept_limits

TAKEN = 'WITH "q" AS (SELECT "a" FROM (VALUES (1), (2), (3)) AS "t"("a") LIMIT 2) '


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ('SELECT "a" FROM "q" ORDER BY "a" DESC', [2, 1]),
        ('SELECT "a" FROM (SELECT "a" FROM "q" WHERE ("a" > 1)) AS "p" ORDER BY "a" DESC', [2]),
        ('SELECT "a", SUM("a") OVER (ORDER BY "a" DESC) AS "s" FROM "q" ORDER BY "a"', [1, 2]),
    ],
)
def test_a_sort_stays_behind_them(rest: str, found: list[int]) -> None:
    kept = with_kept_limits(TAKEN + rest)
    assert kept != TAKEN + rest
    assert SessionContext().sql(kept).to_pydict()["a"] == found


@pytest.mark.parametrize(
    "sql",
    [
        'WITH "q" AS (SELECT "a" FROM "t" ORDER BY "a" LIMIT 2) SELECT "a" FROM "q" ORDER BY "a" DESC',
        'SELECT "a" FROM "t" ORDER BY "a" LIMIT 2',
        'WITH "q" AS (SELECT \'(\' AS "LIMIT" FROM "t") SELECT * FROM "q" ORDER BY "LIMIT"',
    ],
)
def test_nothing_is_changed_where_it_need_not(sql: str) -> None:
    assert with_kept_limits(sql) == sql
