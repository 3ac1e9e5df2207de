"""That a text which names a relation below a policy is refused, also where nobody has seen that it does."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytest

from heddle.database.errors import QueryError
from heddle.database.model import TableName
from heddle.database.policy_plan import PolicyGuard

PEOPLE, PETS = TableName("h", "W", "people"), TableName("h", "W", "pets")
SCHEMAS = {
    PEOPLE: pa.schema([("id", pa.int64()), ("name", pa.string())]),
    PETS: pa.schema([("id", pa.int64())]),
}
"""The relations below them are called `r0` and `r1`."""


def require(text: str) -> None:
    """`PEOPLE` and `PETS` in the text are where its tables were found."""

    def sql(relations: Mapping[TableName, str]) -> str:
        people = f'(SELECT "id", left("name", 1) AS "name" FROM "{relations[PEOPLE]}" WHERE (id = 1) LIMIT 9)'
        return text.replace("PEOPLE", people).replace("PETS", f'(SELECT * FROM "{relations[PETS]}")')

    guard = PolicyGuard()
    for _ in range(2):
        guard.require(sql, SCHEMAS)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM PEOPLE AS people",
        "SELECT a.id FROM PEOPLE AS a JOIN PETS AS b ON a.id = b.id WHERE a.id IN (SELECT id FROM PEOPLE)",
        "WITH t AS (SELECT * FROM PEOPLE) SELECT * FROM t, t AS u ORDER BY 1 LIMIT 3",
        "WITH r0 AS (SELECT 1 AS id) SELECT * FROM r0, PEOPLE AS p",
        "SELECT 1 FROM " + "(SELECT * FROM " * 20 + "PEOPLE" + ")" * 20,
    ],
)
def test_statements_that_read_through_the_policy(text: str) -> None:
    require(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM r0",
        "SELECT * FROM PEOPLE AS a, 'r0'",
        'SELECT * FROM PEOPLE AS a UNION ALL SELECT * FROM "r0"',
        "SELECT (SELECT max(name) FROM r0) FROM PEOPLE AS a",
        "SELECT * FROM PEOPLE AS a WHERE EXISTS (SELECT 1 FROM r0 WHERE r0.id = a.id)",
        "WITH t AS (SELECT * FROM r0) SELECT * FROM PEOPLE AS a, t",
        "SELECT * FROM PEOPLE AS a, LATERAL (SELECT name FROM r0 WHERE r0.id > a.id) AS b",
        "SELECT * FROM PEOPLE AS a, r1",
        "SELECT * FROM PEOPLE AS a, r2",
    ],
)
def test_statements_that_name_what_lies_below(text: str) -> None:
    with pytest.raises(QueryError, match="in a way that is not understood") as raised:
        require(text)
    assert raised.value.kind == "denied"
