"""Windows in SQL: a constant that prqlc orders by is left out where it means nothing."""

from __future__ import annotations

import pytest

from heddle.frontend.prql.plain_sql import without_constant_order
from tests.frontend.prql.queries import compiled


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("derive {x = sum pieces}", "OVER ()"),
        ("group user_id (derive {x = sum pieces})", 'OVER (PARTITION BY "user_id")'),
        ("window rolling:2 (derive {x = sum pieces})", "OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"),
        ("sort id | derive {x = row_number this}", 'OVER (ORDER BY "id")'),
        (
            "window range:-1..1 (derive {x = sum pieces})",
            "OVER (ORDER BY 1 RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
        ),
    ],
)
def test_window_of_a_query(text: str, window: str) -> None:
    assert window in compiled(text).sql


def test_strings_and_names_stay_as_they_are() -> None:
    sql = """SELECT 'OVER (ORDER BY 1)' AS "it's (ORDER BY 1)", SUM("a") OVER (ORDER BY 1) FROM "t" """
    assert without_constant_order(sql) == sql.replace(") OVER (ORDER BY 1)", ") OVER ()")
