"""Writers: all of a run's rows or none, columns by name, and clear words for what does not fit."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import fhub.postgresql as pg
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.settings import ExecuteConfig, InsertConfig, UpsertConfig
from heddle.sdk import StepContext, Writer
from tests.fhub.postgresql.database import Database, put, write

NASTY = "'); DROP TABLE items; -- \"é😀\\ @name $1"
TOKEN = str(uuid.uuid4())


@pytest.fixture
def items(database: Database) -> Database:
    database.run(
        "DROP TABLE IF EXISTS items",
        "CREATE TABLE items (id int PRIMARY KEY, name text, price numeric(8,2), token uuid, "
        "made timestamptz DEFAULT now(), CHECK (price >= 0))",
    )
    return database


def insert(database: Database, table: str = "items", **settings: Any) -> Writer:
    return pg.insert(
        InsertConfig(table=table, resource=database.resource, **settings), StepContext(run_id="r")
    )


def upsert(database: Database, key: list[str], table: str = "items") -> Writer:
    return pg.upsert(UpsertConfig(table=table, key=key, resource=database.resource), StepContext())


def execute(database: Database, query: str) -> Writer:
    return pg.execute(ExecuteConfig(query=query, resource=database.resource), StepContext())


@pytest.mark.parametrize("step", [pg.insert, pg.copy])
def test_rows_are_copied_and_seen_with_the_commit(
    items: Database, step: Callable[[InsertConfig, StepContext], Writer]
) -> None:
    writer = step(InsertConfig(table="items", resource=items.resource), StepContext())
    mark = items.server.mark()
    put(
        writer,
        {"name": ["a", None], "id": [1, 2]},
        {"id": [3], "name": [NASTY]},
        {"id": pa.array([], pa.int64())},
    )
    assert items.rows("SELECT * FROM items") == []
    writer.commit()
    assert items.rows("SELECT id, name, made IS NULL AS no_default FROM items ORDER BY id") == [
        {"id": 1, "name": "a", "no_default": False},
        {"id": 2, "name": None, "no_default": False},
        {"id": 3, "name": NASTY, "no_default": False},
    ]
    asked = [statement.text.strip() for statement in items.server.statements(mark)]
    assert sum(text.startswith("COPY") and '("name", "id") FROM STDIN' in text for text in asked) == 1
    assert [text for text in asked if text in ("BEGIN", "COMMIT")] == ["BEGIN", "COMMIT"]


def test_an_abort_leaves_nothing(items: Database) -> None:
    writer = insert(items)
    put(writer, {"id": [1]})
    writer.abort()
    assert items.rows("SELECT * FROM items") == []
    unused = insert(items)
    unused.abort()
    insert(items).commit()


def test_columns_of_every_kind(database: Database) -> None:
    database.run(
        "CREATE TYPE mood AS ENUM ('calm')",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        'CREATE TABLE "every ""kind""" (i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, '
        "nf numeric, ni numeric(5,1), t text, v varchar(9), b bool, ts timestamp, tz timestamptz, d date, "
        "tm time, iv interval, by bytea, js json, jb jsonb, jn jsonb, u uuid, m mood, p positive, "
        "r int4range, ip inet, ai int2[], at text[], "
        'au uuid[], an numeric[], dt date, "a ""b" text, none text)',
    )
    moment = dt.datetime(2024, 5, 31, 12, 0, 0, 7, tzinfo=dt.UTC)
    row = {
        "i2": pa.array([7], pa.int64()),
        "i4": pa.array([7], pa.uint64()),
        "i8": pa.array([7], pa.int8()),
        "f4": pa.array([0.1]),
        "f8": pa.array([7]),
        "n": pa.array([Decimal("-12345678901234567890.12345")]),
        "nf": pa.array([0.1]),
        "ni": pa.array([7]),
        "t": pa.array([NASTY]).dictionary_encode(),
        "v": pa.array(["é"], pa.large_string()),
        "b": pa.array([True]),
        "ts": pa.array([moment]),
        "tz": pa.array([moment.replace(tzinfo=None)], pa.timestamp("us")),
        "d": pa.array([dt.date(1, 1, 1)]),
        "tm": pa.array([dt.time(1, 2, 3)]),
        "iv": pa.array([dt.timedelta(days=1, seconds=5)]),
        "by": pa.array([b"\x00\xff"], pa.large_binary()),
        "js": pa.array(['{"a": 1}']),
        "jb": pa.array(['{"a":1}']),
        "jn": pa.array([{"a": [1, None], "b": {"c": "it's"}}]),
        "u": pa.array([TOKEN.upper()]),
        "m": pa.array(["calm"]),
        "p": pa.array([7]),
        "r": pa.array(["[1,5)"]),
        "ip": pa.array(["10.0.0.1"]),
        "ai": pa.array([[1, None]]),
        "at": pa.array([["a,b", None]]),
        "au": pa.array([[TOKEN]]),
        "an": pa.array([[0.5, None]]),
        "dt": pa.array(["2024-05-31"]),
        'a "b': pa.array(["x"]),
        "none": pa.nulls(1),
    }
    write(insert(database, '"every ""kind"""'), row)
    assert database.rows('SELECT * FROM "every ""kind"""') == [
        {
            "i2": 7,
            "i4": 7,
            "i8": 7,
            "f4": 0.1,
            "f8": 7,
            "n": -12345678901234567890.12345,
            "nf": 0.1,
            "ni": 7.0,
            "t": NASTY,
            "v": "é",
            "b": True,
            "ts": "2024-05-31T12:00:00.000007",
            "tz": "2024-05-31T12:00:00.000007+00:00",
            "d": "0001-01-01",
            "tm": "01:02:03",
            "iv": "PT24H5S",
            "by": "\\x00ff",
            "js": {"a": 1},
            "jb": {"a": 1},
            "jn": {"a": [1, None], "b": {"c": "it's"}},
            "u": TOKEN,
            "m": "calm",
            "p": 7,
            "r": "[1,5)",
            "ip": "10.0.0.1",
            "ai": [1, None],
            "at": ["a,b", None],
            "au": [TOKEN],
            "an": [0.5, None],
            "dt": "2024-05-31",
            'a "b': "x",
            "none": None,
        }
    ]


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"name": ["x"]}, "needs the column `id`, which is NOT NULL; the input has name"),
    ({"id": [1, None]}, "the column `id` of .* is NOT NULL, but the input has nulls there"),
    ({"id": [1], "color": ["red"]}, "has no column `color`; it has id, name, price, token, made; leave"),
    ({"id": [2**40]}, "the column `id` is int with a value that does not go into integer"),
    ({"id": ["1"], "name": [7]}, "the column `name` is int, which does not go into text; cast it before"),
    ({"id": [1.5]}, "the column `id` is float, which does not go into integer"),
    ({"id": [1], "made": ["yesterdayish"]}, "column `made`: invalid input syntax for type timestamp"),
    ({"id": [1], "token": ["zz"]}, 'column `token`: invalid input syntax for type uuid: "zz"'),
    ({"id": [1], "token": ["zz"], "price": [1.5]}, "one of the columns `token`, `price`: "),
    ({"id": [1], "name": ["a\0b"]}, "column `name`: .*no NUL characters"),
    ({"id": [1], "price": [-1]}, "violates check constraint .*CHECK constraints"),
    ({"id": [1, 1]}, r"Key \(id\)=\(1\) already exists .*`upsert` replaces it"),
    ({"id": [1], "price": [Decimal("1234567.5")]}, "numeric field overflow"),
    ({"id": [1], "name": [{"a": 1}]}, "`name` is {a: int.*}, which does not go into text"),
]


@pytest.mark.parametrize(("batch", "said"), MISFITS)
def test_what_does_not_fit_is_said_with_its_column(items: Database, batch: dict[str, Any], said: str) -> None:
    writer = insert(items)
    put(writer, {"id": [77]})
    with pytest.raises(PostgresqlError, match=said):
        put(writer, batch)
    with pytest.raises(PostgresqlError, match="the transaction was undone before"):
        writer.commit()
    writer.abort()
    assert items.rows("SELECT * FROM items") == []


@pytest.mark.parametrize(
    "table", ["nothing", "public.nothing", '"Items"', "a.b.c", "items'); DROP TABLE items; --", "a\0"]
)
def test_a_table_that_is_not_there(items: Database, table: str) -> None:
    with pytest.raises(PostgresqlError):
        put(insert(items, table), {"id": [1]})
    assert items.rows("SELECT * FROM items") == []


def test_columns_that_the_server_makes(database: Database) -> None:
    database.run(
        "CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY, a int, "
        "b int GENERATED ALWAYS AS (a + 1) STORED)"
    )
    write(insert(database, "made"), {"a": [1]})
    assert database.rows("SELECT * FROM made") == [{"id": 1, "a": 1, "b": 2}]
    for name in ("id", "b"):
        with pytest.raises(PostgresqlError, match=f"the column `{name}` of .* is made by the server"):
            put(insert(database, "made"), {name: [1]})


def test_upsert_adds_and_replaces(items: Database) -> None:
    items.run("INSERT INTO items (id, name, price) VALUES (1, 'old', 5), (2, 'kept', 6)")
    batch = {"id": [1, 3, 1], "name": ["first", "new", "last"], "token": [None, TOKEN, None]}
    write(upsert(items, ["id"]), batch, {"id": [3], "name": [NASTY], "token": [TOKEN.upper()]})
    assert items.rows("SELECT id, name, price, token FROM items ORDER BY id") == [
        {"id": 1, "name": "last", "price": 5.0, "token": None},
        {"id": 2, "name": "kept", "price": 6.0, "token": None},
        {"id": 3, "name": NASTY, "price": None, "token": TOKEN},
    ]
    write(upsert(items, ["id"]), {"id": [1, 4]})
    assert items.rows("SELECT count(*) AS n FROM items WHERE name IS NOT NULL") == [{"n": 3}]


@pytest.mark.parametrize(
    ("key", "batch", "said"),
    [
        (["name"], {"id": [1], "name": ["x"]}, "`key` must name the columns of a primary key"),
        (["color"], {"id": [1]}, "the key column `color` is not in the input, which has id"),
        (["name"], {"id": [1], "name": pa.nulls(1, pa.string())}, "the key column `name` has nulls"),
    ],
)
def test_keys_that_are_none(items: Database, key: list[str], batch: dict[str, Any], said: str) -> None:
    with pytest.raises(PostgresqlError, match=said):
        put(upsert(items, key), batch)
    with pytest.raises(PostgresqlError, match="at least one column"):
        upsert(items, [])


def test_execute_runs_once_for_each_row(items: Database) -> None:
    items.run("INSERT INTO items (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    query = "UPDATE items SET name = @name, token = @token, price = @price WHERE id = @id"
    batch = {
        "id": [1, 2],
        "name": [NASTY, None],
        "token": [TOKEN, None],
        "price": [1.25, 2.5],
        "more": [0, 0],
    }
    writer = execute(items, query)
    put(writer, batch)
    assert items.rows("SELECT id FROM items WHERE price IS NOT NULL") == []
    writer.commit()
    assert items.rows("SELECT id, name, token, price FROM items ORDER BY id") == [
        {"id": 1, "name": NASTY, "token": TOKEN, "price": 1.25},
        {"id": 2, "name": None, "token": None, "price": 2.5},
        {"id": 3, "name": "c", "token": None, "price": None},
    ]
    write(execute(items, "DELETE FROM items;"), {"id": [1]})
    assert items.rows("SELECT * FROM items") == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DELETE FROM items WHERE id = @other", "no value for `@other`: .*; the columns are id, x"),
        ("DELETE FROM items WHERE id = @x", "out of range"),
        ("DELETE FROM nothing WHERE id = @id", 'relation "nothing" does not exist'),
        ("INSERT INTO items (id) VALUES (@id)", "already exists"),
    ],
)
def test_execute_fails_as_a_whole(items: Database, query: str, said: str) -> None:
    items.run("INSERT INTO items (id) VALUES (2)")
    writer = execute(items, query)
    with pytest.raises(PostgresqlError, match=said):
        put(writer, {"id": [1, 2], "x": [1, 2**40]})
    writer.abort()
    assert items.rows("SELECT id FROM items") == [{"id": 2}]


def test_a_batch_may_come_again_until_something_was_written(items: Database) -> None:
    writer = insert(items)
    with pytest.raises(PostgresqlError, match="already exists"):
        put(writer, {"id": [1, 1]})
    put(writer, {"id": [1]})
    writer.commit()
    assert items.rows("SELECT id FROM items") == [{"id": 1}]
