"""Lookups: one statement for all keys, with the keys in arrays, and the row of the key with each answer."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from fhub.postgresql.failures import PostgresqlError
from tests.fhub.postgresql.database import Database

NASTY = ["'); DROP TABLE people; --", 'a"b', "back\\slash", "{a,b}", "NULL", "é😀", "", "p1"]


@pytest.fixture(scope="module")
def people(database: Database) -> Database:
    database.run(
        "CREATE TABLE people (id int PRIMARY KEY, name text, team text, token uuid, code char(6), "
        "height numeric(6,2), born date, seen timestamptz, tags text[])",
        "INSERT INTO people SELECT i, 'p' || i, 't' || i % 3, md5(i::text)::uuid, 'c' || i % 1000, i + 0.5, "
        "date '2000-01-01' + i, timestamptz '2020-01-01' + i * interval '1 hour', ARRAY['x' || i] "
        "FROM generate_series(1, 2000) i",
        "ANALYZE people",
    )
    return database


def test_one_statement_with_an_array_of_keys(people: Database) -> None:
    text = "SELECT id AS user_id, name FROM people WHERE id = @user_id"
    people.look_up(text, {"user_id": [1]})
    mark = people.server.mark()
    found = people.look_up(text, {"user_id": [7, 99999, 3]})
    assert found == [{"user_id": 7, "name": "p7", "@key": 0}, {"user_id": 3, "name": "p3", "@key": 2}]
    asked = people.server.statements(mark)
    assert len(asked) == 1
    assert "id = ANY($1" in asked[0].text
    assert "unnest" not in asked[0].text  # whole numbers are found again here
    assert asked[0].parameters == "$1 = '{7,99999,3}'"


def test_other_keys_are_found_again_by_the_server(people: Database) -> None:
    mark = people.server.mark()
    assert [
        row["@key"] for row in people.look_up("SELECT id FROM people WHERE name = @v", {"v": ["p2"]})
    ] == [0]
    asked = [s.text for s in people.server.statements(mark) if "ANY($1" in s.text]
    assert len(asked) == 1
    assert "unnest($1" in asked[0]


def test_the_index_is_used_for_many_keys(people: Database) -> None:
    people.run(
        "CREATE TABLE many AS SELECT generate_series(1, 200000) AS id, 'x' AS name",
        "ALTER TABLE many ADD PRIMARY KEY (id)",
        "ANALYZE many",
    )
    text = "SELECT id, name FROM many WHERE id = @id"
    people.look_up(text, {"id": [1]})
    mark = people.server.mark()
    assert len(people.look_up(text, {"id": list(range(1, 2001, 2))})) == 1000
    statement = people.server.statements(mark)[-1]
    keys = pa.table({"keys": [list(range(1, 2001, 2))]})
    plan = people.session.rows(f"EXPLAIN {statement.text}", keys, copy=False).column(0).to_pylist()
    assert any("Index Scan using many_pkey" in line for line in plan), plan


# A statement, the keys, and the numbers of the keys that find rows.
FOUND: list[tuple[str, dict[str, Any], list[int]]] = [
    ("name = @v", {"v": ["p3", "P3", "p3 ", "p4"]}, [0, 3]),
    (
        "token = @v",
        {"v": ["c4ca4238-a0b9-2382-0dcc-509a6f75849b", "C4CA4238A0B923820DCC509A6F75849B"]},
        [0, 1],
    ),
    ("code = @v", {"v": ["c7", "c7  ", "c"]}, [0, 0, 1, 1]),
    ("height = @v", {"v": [Decimal("7.5"), Decimal("7.51")]}, [0]),
    ("height = @v", {"v": [7.5, 7.51]}, [0]),
    ("id = @v", {"v": [7.0, 7.5]}, [0]),
    ("id = @v", {"v": [2**40, 5]}, [1]),
    ("born = @v", {"v": [dt.date(2000, 1, 3)]}, [0]),
    (
        "born = @v",
        {"v": [dt.datetime(2000, 1, 3, tzinfo=dt.UTC), dt.datetime(2000, 1, 3, 1, tzinfo=dt.UTC)]},
        [0],
    ),
    ("seen = @v", {"v": [dt.datetime(2020, 1, 1, 5, tzinfo=dt.UTC)]}, [0]),
    ("@v = id", {"v": [5, 6]}, [0, 1]),
    ("id = @a AND team = @b", {"a": [1, 1, 2], "b": ["t1", "t2", "t2"]}, [0, 2]),
    ("id BETWEEN @a AND @b", {"a": [1, 9], "b": [1, 8]}, [0]),
    ("id = length(@v)", {"v": ["abc", ""]}, [0]),
    ("(id = @v OR id = @v + 1) AND id > 5", {"v": [4, 5, 6]}, [1, 2, 2]),
]


@pytest.mark.parametrize(("condition", "keys", "found"), FOUND)
def test_keys_of_any_type_find_their_rows(
    people: Database, condition: str, keys: dict[str, Any], found: list[int]
) -> None:
    rows = people.look_up(f"SELECT id, tags, token FROM people WHERE {condition}", keys)
    assert [row["@key"] for row in rows] == found


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) AS n FROM people WHERE team = @v",
        "SELECT team, count(*) AS n FROM people WHERE team = @v GROUP BY team",
        "SELECT id FROM people WHERE team = @v ORDER BY id DESC LIMIT 2",
        "SELECT DISTINCT team FROM people WHERE team = @v",
        "SELECT id, row_number() OVER (ORDER BY id) AS n FROM people WHERE team = @v AND id < 20",
        "WITH few AS (SELECT * FROM people WHERE id < 30) SELECT id FROM few WHERE team = @v",
        "SELECT id, team IS DISTINCT FROM 't1' AS other FROM people WHERE team = @v AND id < 9",
        "SELECT p.id, (SELECT max(id) FROM people WHERE team = p.team) AS last FROM people p "
        "WHERE p.team = @v AND id < 9",
        "SELECT id FROM people WHERE team = @v AND id < 9 UNION ALL SELECT -1",
        "SELECT * FROM (VALUES (1, @v)) AS x (n, v)",
    ],
)
def test_each_key_gets_what_its_own_statement_would_give(people: Database, text: str) -> None:
    keys = ["t0", "nobody", "t2", "it's"]
    expected = [
        {**row, "@key": number}
        for number, key in enumerate(keys)
        for row in people.query(text, v=key).to_pylist()
    ]

    def order(row: dict[str, Any]) -> str:
        return repr(sorted(row.items()))

    assert sorted(people.look_up(text, {"v": keys}), key=order) == sorted(expected, key=order)


def test_other_names_are_parameters_of_the_workflow(people: Database) -> None:
    text = "SELECT id FROM people WHERE team = @team AND id < @below"
    assert [row["id"] for row in people.look_up(text, {"team": ["t1"]}, below=6)] == [1, 4]
    with pytest.raises(PostgresqlError, match="no value for the parameter `@below`"):
        people.look_up(text, {"team": ["t1"]})


def test_keys_are_bound(people: Database) -> None:
    mark = people.server.mark()
    for text in (
        "SELECT id FROM people WHERE name = @v",
        "SELECT @v AS v FROM people WHERE id = 1 OR name = @v",
    ):
        found = people.look_up(text, {"v": NASTY})
        assert [row["@key"] for row in found] == ([7] if "@v AS" not in text else list(range(len(NASTY))))
    assert not any("DROP" in statement.text for statement in people.server.statements(mark))
    assert people.rows("SELECT count(*) AS n FROM people") == [{"n": 2000}]
    with pytest.raises(PostgresqlError, match="no NUL characters"):
        people.look_up("SELECT id FROM people WHERE name = @v", {"v": ["a\0b"]})


def test_no_keys_and_no_rows(people: Database) -> None:
    text = "SELECT id, tags FROM people WHERE id = @id"
    assert people.look_up(text, {"id": pa.array([], pa.int64())}) == []
    assert people.look_up(text, {"id": [-1]}) == []


def test_identifiers_with_quotes(database: Database) -> None:
    database.run(
        'CREATE TABLE "we""ird" ("a ""b" int, "FROM" text)', """INSERT INTO "we""ird" VALUES (1, 'x')"""
    )
    found = database.look_up('SELECT "FROM", "a ""b" FROM "we""ird" WHERE "a ""b" = @v', {"v": [1, 2]})
    assert found == [{"FROM": "x", 'a "b': 1, "@key": 0}]
