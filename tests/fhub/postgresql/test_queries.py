"""Statements with parameters of the workflow: their types are the server's, their values are bound."""

from __future__ import annotations

import pyarrow as pa
import pytest

import fhub.postgresql as pg
from fhub.postgresql.describing import described
from fhub.postgresql.estimating import statement_rows, table_rows
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.settings import QueryConfig
from heddle.core.config import ConfigValue
from heddle.sdk.testing import run_step
from tests.fhub.postgresql.database import Database

NASTY = ["'); DROP TABLE people; --", 'a"b', "back\\slash", "$1", "@name", "é😀", "{a,b}", "NULL", ""]


@pytest.fixture(scope="module")
def people(database: Database) -> Database:
    database.run(
        "CREATE TABLE people (id int PRIMARY KEY, name text, born date, token uuid, height numeric(4,2))",
        "INSERT INTO people SELECT i, 'p' || i, date '2000-01-01' + i, gen_random_uuid(), i "
        "FROM generate_series(1, 20) AS i",
        "ANALYZE people",
    )
    return database


@pytest.mark.parametrize(
    ("condition", "value", "count"),
    [
        ("id = @v", 7, 1),
        ("id = @v", "7", 1),
        ("id = @v", 7.0, 1),
        ("id = @v", 7.5, 0),
        ("id < @v", 7.5, 7),
        ("id = @v", 2**40, 0),
        ("id = @v", None, 0),
        ("name = @v", "p3", 1),
        ("name LIKE @v", "p1%", 11),
        ("born = @v", "2000-01-05", 1),
        ("height >= @v", 19.5, 1),
        ("height >= @v::int", "19", 2),
        ("@v", True, 20),
        ("name = left('p12345', @v)", 2, 1),
    ],
)
def test_parameters_take_the_types_that_the_server_infers(
    people: Database, condition: str, value: ConfigValue, count: int
) -> None:
    assert people.query(f"SELECT id FROM people WHERE {condition}", v=value).num_rows == count


def test_a_parameter_may_stand_several_times_and_in_any_place(people: Database) -> None:
    text = (
        "SELECT @a AS a, id FROM people WHERE id > @low AND name <> '@a' /* @b */ ORDER BY id LIMIT @n -- @c"
    )
    assert people.query(text, a="x", low=5, n=2).to_pylist() == [{"a": "x", "id": 6}, {"a": "x", "id": 7}]


@pytest.mark.parametrize("value", NASTY)
def test_values_are_bound(people: Database, value: str) -> None:
    mark = people.server.mark()
    found = people.query("SELECT count(*) AS n, @v AS v FROM people WHERE name = @v", v=value)
    assert found.to_pylist() == [{"n": 0, "v": value}]
    asked = people.server.statements(mark)
    assert asked
    assert not any("DROP TABLE" in statement.text or "é😀" in statement.text for statement in asked)
    assert people.rows("SELECT count(*) AS n FROM people") == [{"n": 20}]


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("SELECT 1 AS a WHERE @v = 'x'", "a\0b", "no NUL characters"),
        ("SELECT id FROM people WHERE token = @v", "x", 'invalid input syntax for type uuid: "x"'),
        ("SELECT left('x', @v) AS a", 2**40, "out of range"),
        ("SELECT left('x', @v) AS a", 1.5, "invalid input syntax for type integer"),
        ("SELECT id FROM people WHERE id = @v", [1, 2], "a parameter is one value"),
        ("SELECT id FROM people WHERE id = @v", 2**70, "more than 64 bits; give it as a text"),
        ("SELECT @v + @v AS a", 1, "say which type"),
        ("SELECT id FROM nobody", 1, 'relation "nobody" does not exist .*42P01.*check the table'),
        ("SELECT id, id FROM people", 1, "two columns `id`; name one of them by AS"),
        ("SELECT 1", 1, "a column without a name"),
        ("DELETE FROM people", 1, "gives no rows"),
        ("SELECT 1 AS a; SELECT 2 AS b", 1, "one statement"),
        ("SELECT setval('s', 5) AS a", 1, "cannot execute setval\\(\\) in a read-only.*use `execute`"),
        ("SELECT 1 / (id - id) AS a FROM people", 1, "division by zero .SQLSTATE 22012."),
    ],
)
def test_what_is_wrong_is_said(people: Database, text: str, value: ConfigValue, said: str) -> None:
    people.run("CREATE SEQUENCE IF NOT EXISTS s")
    with pytest.raises(PostgresqlError, match=said):
        people.query(text, v=value)
    assert people.query("SELECT count(*) AS n FROM people").to_pylist() == [{"n": 20}]


def test_a_parameter_without_a_value(people: Database) -> None:
    with pytest.raises(PostgresqlError, match="no value for the parameter `@v`"):
        people.query("SELECT id FROM people WHERE id = @v")


def test_a_semicolon_and_comments_at_the_end_do_no_harm(people: Database) -> None:
    assert people.query("SELECT 1 AS a, token FROM people; -- all\n/* of them */").num_rows == 20


def test_describing_executes_nothing(people: Database) -> None:
    mark = people.server.mark()
    text = "SELECT pg_sleep(60)::text AS s, id, born FROM people WHERE id = @id"
    schema = described(people.resource, text).schema()
    assert schema == pa.schema([("s", pa.string()), ("id", pa.int32()), ("born", pa.date32())])
    assert not any("pg_sleep" in statement.text for statement in people.server.statements(mark))


def test_the_step_infers_and_declares_its_columns(people: Database) -> None:
    config = QueryConfig(query="SELECT id, name FROM people", resource=people.resource)
    infer = pg.plugin.steps["query"].infer
    assert infer is not None
    assert infer(config) == pa.schema([("id", pa.int32()), ("name", pa.string())])
    declared = QueryConfig(query="SELECT 1", schema={"id": "int"}, resource=people.resource)
    assert infer(declared) == pa.schema([pa.field("id", pa.int64(), nullable=False)])


def test_the_declared_columns_are_given(people: Database) -> None:
    settings = {
        "query": "SELECT id, name, sum(height) AS sum FROM people WHERE id < 3 GROUP BY id ORDER BY id",
        "schema": {"sum": "decimal(10,1)", "id": "int"},
    }
    found = run_step(pg.plugin, "query", config=settings, resources={"connection": people.resource})
    assert found.table is not None
    assert found.table.schema.types == [pa.decimal128(10, 1), pa.int64()]
    assert [row["id"] for row in found.rows] == [1, 2]
    settings["schema"] = {"nothing": "int"}
    with pytest.raises(Exception, match=r"no column `nothing`; the columns are id, name, sum; .*--refresh"):
        run_step(pg.plugin, "query", config=settings, resources={"connection": people.resource})
    settings["schema"] = {"name": "int"}
    with pytest.raises(Exception, match="`name` is string with values that are no int"):
        run_step(pg.plugin, "query", config=settings, resources={"connection": people.resource})


def test_estimates(people: Database) -> None:
    assert table_rows(people.resource, "people") == 20
    assert statement_rows(people.resource, "SELECT id FROM people WHERE id = @id") == 20
    assert statement_rows(people.resource, "SELECT id FROM people WHERE id = @id AND id = 3") == 1
    assert statement_rows(people.resource, "SELECT id FROM people LIMIT @n") is None
    assert statement_rows(people.resource, "SELECT id FROM people LIMIT 5") == 5
    people.run("CREATE VIEW few AS SELECT * FROM people WHERE id = 1", "CREATE TABLE fresh (a int)")
    assert table_rows(people.resource, "few") == 1
    assert table_rows(people.resource, "fresh") is None
