"""The connector `fhub/database`: PostgreSQL by its ADBC driver, SQLite by ADBC and by Python's DB-API."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_postgresql import dbapi as postgresql_dbapi

from fhub import database
from fhub.database.connection import Connection, ConnectionConfig
from fhub.dbapi import DatabaseError, Dialect
from heddle.core.failure import StepError
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk.testing import run_step
from tests.engine.harness import run
from tests.services.postgresql import Postgresql

ATTACKS = ["'); DROP TABLE t; --", 'a"b\\c`d', "tabs\tand lines\n", "ünïcode ☃ 🎉", "? $1 :p1 %s @x", ""]
SCHEMA = {"user_id": "int", "score": "float", "name": "string"}


class Steps:
    """A database with a table `t`: a hundred users with two rows each."""

    def __init__(self, settings: dict[str, Any], schema: dict[str, str] | None) -> None:
        self.settings = settings
        self.schema = schema

    def query(self, sql: str, rows: Any = None, schema: Any = None, **parameters: Any) -> pa.Table:
        config: dict[str, Any] = {"query": sql}
        if schema is not None or self.schema is not None:
            config["schema"] = schema or self.schema
        return run_step(
            database.plugin,
            "query",
            rows,
            config=config,
            resources={"connection": {**self.settings, "lookup_tuples": 40}},
            context={"parameters": parameters},
        ).table

    def write(self, rows: pa.Table, table: str = "t", end: str = "commit") -> None:
        connection = Connection(ConnectionConfig(**self.settings))
        context = StepContext()
        writer = database.insert(database.InsertConfig(table=table, resource=connection), context)
        try:
            writer.write(Table.from_arrow(rows), context)
            getattr(writer, end)()
        except DatabaseError:
            writer.abort()
            raise
        finally:
            connection.close()

    def count(self, condition: str = "1 = 1") -> int:
        table = self.query(f"SELECT count(*) AS n FROM t WHERE {condition}", schema={"n": "int"})
        return int(table["n"][0].as_py())


def _sqlite_file(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE t (user_id INTEGER, score DOUBLE, name VARCHAR(50))")
        made.executemany(
            "INSERT INTO t VALUES (?, ?, ?)", [(i % 100, i / 2, f"name {i}") for i in range(200)]
        )
    made.close()
    return path


@pytest.fixture(params=["postgresql", "adbc_driver_sqlite", "sqlite3"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Steps:
    if request.param != "postgresql":
        path = _sqlite_file(tmp_path)
        return Steps(
            {"driver": request.param, "uri": str(path)}, SCHEMA if request.param == "sqlite3" else None
        )
    server: Postgresql = request.getfixturevalue("postgresql")
    uri = server.uri(server.create_database())
    with postgresql_dbapi.connect(uri) as made, made.cursor() as cursor:
        cursor.execute("CREATE TABLE t (user_id bigint, score float8, name text)")
        cursor.execute(
            "INSERT INTO t SELECT i % 100, i / 2.0, 'name ' || i FROM generate_series(0, 199) AS i"
        )
        made.commit()
    return Steps({"driver": "postgresql", "uri": uri, "paramstyle": "dollar"}, None)


def test_a_query(db: Steps) -> None:
    sql = "SELECT user_id, score, name FROM t WHERE user_id < @most ORDER BY score DESC;"
    found = db.query(sql, most=2)
    assert found.to_pylist()[:2] == [
        {"user_id": 1, "score": 50.5, "name": "name 101"},
        {"user_id": 0, "score": 50.0, "name": "name 100"},
    ]
    assert db.query("SELECT name FROM t WHERE 1 = 0").column_names == ["name"]
    connection = Connection(ConnectionConfig(**db.settings))
    assert connection.health() is None
    config = database.TableConfig(table="t", columns=["name"], schema=db.schema, resource=connection)
    tables = list(database.table(config, StepContext()))
    assert sum(table.num_rows for table in tables) == 200
    assert "name" in database.table_row(config).names
    connection.close()


@pytest.mark.parametrize("value", ATTACKS)
def test_a_value_is_bound(db: Steps, value: str) -> None:
    sql = "SELECT count(*) AS n FROM t WHERE name <> @v AND name <> @v AND name LIKE 'name%'"
    assert db.query(sql, schema={"n": "int"}, v=value).to_pylist() == [{"n": 200}]


def test_lookups(db: Steps) -> None:
    rows = [{"user_id": n, "least": 20.0} for n in (7, 8, 10**6)]
    sql = "SELECT score FROM t WHERE user_id = @user_id AND score > @least ORDER BY score DESC LIMIT 1"
    found = sorted(tuple(row.values()) for row in db.query(sql, rows).to_pylist())
    assert found == [(53.5, 0), (54.0, 1)]
    keys = pa.table({"user_id": range(150)})
    every = db.query("SELECT user_id FROM t WHERE user_id = @user_id", keys)
    assert every["user_id"].to_pylist() == every["@key"].to_pylist()
    assert every.num_rows == 200


def test_attacks_are_values(db: Steps) -> None:
    db.write(pa.table({"user_id": range(len(ATTACKS)), "name": ATTACKS}))
    rows = [{"word": word} for word in [*ATTACKS, "other"]]
    found = db.query("SELECT user_id FROM t WHERE name = @word", rows)
    assert sorted(found.to_pylist(), key=lambda row: row["@key"]) == [
        {"user_id": n, "@key": n} for n in range(len(ATTACKS))
    ]


def test_rows_are_there_after_commit_only(db: Steps) -> None:
    rows = pa.table({"name": ["new", "newer"], "user_id": [1, 2]})
    db.write(rows, end="abort")
    assert db.count() == 200
    db.write(rows)
    assert db.count() == 202
    assert db.count("score IS NULL") == 2


def test_errors(db: Steps) -> None:
    for sql, said in (
        ("SELECT nope FROM t", "nope"),
        ("SELEC 1", "syntax"),
        ("SELECT @gone", "`@gone` has no"),
    ):
        with pytest.raises(StepError, match=said) as caught:
            db.query(sql)
        assert not caught.value.transient
    with pytest.raises(DatabaseError, match="has no column `nope`; it has user_id, score, name"):
        db.write(pa.table({"nope": [1]}))
    with pytest.raises(DatabaseError, match=r"missing|nowhere"):
        db.write(pa.table({"a": [1]}), table="nowhere")


def test_values_that_do_not_fit(postgresql: Postgresql) -> None:
    uri = postgresql.uri(postgresql.create_database())
    with postgresql_dbapi.connect(uri) as made, made.cursor() as cursor:
        cursor.execute("CREATE TABLE t (small smallint, price numeric(9, 2))")
        made.commit()
    steps = Steps({"driver": "postgresql", "uri": uri}, None)
    with pytest.raises(DatabaseError, match=r"column `small` of t: .*not in range"):
        steps.write(pa.table({"small": [100_000]}))
    steps.write(pa.table({"small": [7], "price": [Decimal("1.25")]}))
    assert steps.query("SELECT small FROM t").to_pylist() == [{"small": 7}]


def test_a_server_that_is_not_there_and_a_secret() -> None:
    uri = "postgresql://me:hush-hush@127.0.0.1:1/x"
    with pytest.raises(StepError) as caught:
        Steps({"driver": "postgresql", "uri": uri}, None).query("SELECT 1 AS x")
    assert caught.value.transient
    assert "hush" not in caught.value.message + caught.value.stack_trace


def test_a_driver_that_is_not_there() -> None:
    with pytest.raises(StepError, match="no_such_driver"):
        Steps({"driver": "no_such_driver"}, None).query("SELECT 1 AS x")


def test_a_module_without_types_needs_a_schema(tmp_path: Path) -> None:
    steps = Steps({"driver": "sqlite3", "uri": str(_sqlite_file(tmp_path))}, None)
    with pytest.raises(StepError, match=r'name the columns: schema: \{ user_id: "int"'):
        steps.query("SELECT user_id FROM t")
    with pytest.raises(StepError, match="column `name` is not int"):
        steps.query("SELECT name FROM t", schema={"name": "int"})
    with pytest.raises(StepError, match="does not name the column `name`"):
        steps.query("SELECT name FROM t", schema={"x": "int"})


@pytest.mark.parametrize(
    ("style", "text", "values"),
    [
        ("qmark", "a = ? AND b LIKE '%' AND c = ?", (1, 1)),
        ("numeric", "a = :1 AND b LIKE '%' AND c = :2", (1, 1)),
        ("dollar", "a = $1 AND b LIKE '%' AND c = $2", (1, 1)),
        ("named", "a = :p1 AND b LIKE '%' AND c = :p2", {"p1": 1, "p2": 1}),
        ("format", "a = %s AND b LIKE '%%' AND c = %s", (1, 1)),
        ("pyformat", "a = %(p1)s AND b LIKE '%%' AND c = %(p2)s", {"p1": 1, "p2": 1}),
    ],
)
def test_placeholders(style: Any, text: str, values: Any) -> None:
    dialect, names = Dialect(style), []  # type: tuple[Dialect, list[str]]
    assert dialect.bound("a = @x AND b LIKE '%' AND c = @x;", names) == text
    assert names == ["x", "x"]
    assert dialect.values([1, 1]) == values


@pytest.mark.parametrize(
    ("quote", "quoted"), [('"', '"a""b`]"."c"'), ("`", '`a"b``]`.`c`'), ("[]", '[a"b`]]].[c]')]
)
def test_names_are_quoted(quote: str, quoted: str) -> None:
    assert Dialect(quote=quote).table('a"b`].c') == quoted


def test_a_program(tmp_path: Path) -> None:
    _sqlite_file(tmp_path)
    program = tmp_path / "main.he"
    program.write_text(
        f"""\
import "fhub/database" db

resource shop = db.connection {{
  driver: "sqlite3"
  uri: "{tmp_path / "a.db"}"
}}

step best = <connection=shop> db.query {{
  query: "SELECT user_id, score FROM t WHERE user_id = @user_id AND score > 20"
  schema: {{ user_id: "int", score: "float" }}
}}

workflow W {{
  [{{ user_id: 7, name: "found" }}, {{ user_id: -1, name: "lost" }}]
    | (
        from input
        join best (==user_id)
      )
    | <connection=shop> db.insert {{ table: "t" }}
}}
"""
    )
    assert run(program).result.status == "succeeded"
    with sqlite3.connect(tmp_path / "a.db") as made:
        assert made.execute("SELECT user_id, score FROM t WHERE name = 'found'").fetchall() == [(7, 53.5)]
    made.close()
