"""The connector `fhub/sqlite`: types that tables declare, bound values, lookups, transactions."""

from __future__ import annotations

import datetime
import sqlite3
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fhub import sqlite
from fhub.sqlite.connection import Connection, ConnectionConfig
from fhub.sqlite.failures import SqliteError
from heddle.core.failure import StepError
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.core.types import type_name
from heddle.sdk.testing import StepResult, run_step
from tests.engine.harness import run

UTC = datetime.UTC
ATTACKS = ["'); DROP TABLE t; --", 'a"b\\c`d', "nul\0 and\ttabs\n", "ünïcode ☃ 🎉", ":user_id @x ? %s", ""]


class Steps:
    def __init__(self, path: Path) -> None:
        self.path = path

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        database = sqlite3.connect(self.path)
        for statement in statements:
            rows = database.execute(statement).fetchall()
        database.commit()
        database.close()
        return rows

    def run(self, name: str, config: dict[str, Any], rows: Any = None, **parameters: Any) -> StepResult:
        return run_step(
            sqlite.plugin,
            name,
            rows,
            config=config,
            resources={"connection": {"path": str(self.path)}},
            context={"parameters": parameters},
        )

    def query(self, sql: str, rows: Any = None, **parameters: Any) -> pa.Table:
        return self.run("query", {"query": sql}, rows, **parameters).table

    def connection(self, **settings: Any) -> Connection:
        return Connection(ConnectionConfig(path=str(self.path), **settings))

    def write(
        self, rows: pa.Table, table: str = "t", key: list[str] | None = None, end: str = "commit"
    ) -> None:
        connection = self.connection()
        context = StepContext()
        if key is None:
            writer = sqlite.insert(sqlite.InsertConfig(table=table, resource=connection), context)
        else:
            writer = sqlite.upsert(sqlite.UpsertConfig(table=table, key=key, resource=connection), context)
        try:
            writer.write(Table.from_arrow(rows), context)
            getattr(writer, end)()
        except SqliteError:
            writer.abort()
            raise
        finally:
            connection.close()


@pytest.fixture
def db(tmp_path: Path) -> Steps:
    steps = Steps(tmp_path / "a.db")
    steps.execute(
        "CREATE TABLE t (user_id INTEGER, score REAL, name TEXT)",
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
        "INSERT INTO t SELECT i % 1000, i, i FROM n",
        "CREATE INDEX by_user ON t (user_id)",
    )
    return steps


TYPES: list[tuple[str, str, str, Any]] = [
    ("INTEGER", "-9223372036854775808", "int", -(2**63)),
    ("BIGINT UNSIGNED", "7", "int", 7),
    ("REAL", "0.1", "float", 0.1),
    ("DOUBLE PRECISION", "1", "float", 1.0),
    ("NUMERIC", "1", "float", 1.0),
    ("DECIMAL(10, 2)", "1.25", "decimal(10,2)", Decimal("1.25")),
    ("DECIMAL(10, 2)", "'0.1'", "decimal(10,2)", Decimal("0.10")),
    ("VARCHAR(10)", "'hé'", "string", "hé"),
    ("BLOB", "x'ff00'", "binary", b"\xff\0"),
    ("BOOLEAN", "1", "bool", True),
    ("DATE", "'2020-01-02'", "date", datetime.date(2020, 1, 2)),
    ("TIME", "'12:34:56'", "time", datetime.time(12, 34, 56)),
    ("DATETIME", "'2020-01-02 03:04:05'", "timestamp", datetime.datetime(2020, 1, 2, 3, 4, 5, 0, UTC)),
    (
        "TIMESTAMP",
        "'2020-01-02T03:04:05.5+01:00'",
        "timestamp",
        datetime.datetime(2020, 1, 2, 2, 4, 5, 500000, UTC),
    ),
    ("JSON", "'{}'", "string", "{}"),
    ("TEXT", "NULL", "string", None),
]


@pytest.mark.parametrize(("declared", "stored", "type_", "value"), TYPES)
def test_a_declared_type(db: Steps, declared: str, stored: str, type_: str, value: Any) -> None:
    db.execute(f"CREATE TABLE x (x {declared})", f"INSERT INTO x VALUES ({stored})")
    table = db.run("table", {"table": "x"}).table
    assert type_name(table.schema.field("x").type) == type_
    assert table.to_pylist() == [{"x": value}]


@pytest.mark.parametrize(
    ("expression", "type_", "value"),
    [
        ("count(*)", "int", 10_000),
        ("max(user_id) + 1", "int", 1000),
        ("avg(score)", "float", 4999.5),
        ("max(score) * 2", "float", 19998.0),
        ("CAST(min(score) AS INTEGER)", "int", 0),
        ("min(name || 'x')", "string", "0x"),
        ("count(*) > 5", "bool", True),
        ("'text'", "string", "text"),
        ("1.5", "float", 1.5),
        ("CASE WHEN count(*) > 1 THEN 'many' ELSE 'few' END", "string", "many"),
    ],
)
def test_an_expression(db: Steps, expression: str, type_: str, value: Any) -> None:
    table = db.query(f"SELECT {expression} AS x FROM t LIMIT 1")
    assert type_name(table.schema.field("x").type) == type_
    assert table.to_pylist() == [{"x": value}]


def test_a_declared_schema_wins(db: Steps) -> None:
    db.execute("CREATE TABLE x (x, y INTEGER)", "INSERT INTO x VALUES (1, 'one'), ('a', 2)")
    config = {"query": "SELECT x, y FROM x", "schema": {"x": "string", "y": "string"}}
    assert db.run("query", config).rows == [{"x": "1", "y": "one"}, {"x": "a", "y": "2"}]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT x FROM loose", "does not say of which type column `x` is"),
        ("SELECT y FROM loose", "column `y` is int, and holds str values"),
        ("SELECT z FROM loose", "Could not decode to UTF-8.*AS BLOB"),
        ("SELECT b FROM loose", "a bool is 0 or 1"),
        ("SELECT 1 AS a, 2 AS a", "two columns `a`"),
        ("SELECT nope FROM t", "no such column: nope"),
        ("SELECT * FROM nope", "no such table"),
        ("SELEC 1", "syntax error"),
        ("DROP TABLE t", "syntax error"),
        ("DELETE FROM t RETURNING 1", "syntax error"),
        ("SELECT 1; DROP TABLE t", "one statement at a time"),
        ("SELECT @gone AS x FROM t", "`@gone` has no value"),
    ],
)
def test_an_error(db: Steps, sql: str, said: str) -> None:
    db.execute(
        "CREATE TABLE loose (x, y INTEGER, z TEXT, b BOOLEAN)",
        "INSERT INTO loose VALUES (1, 'one', CAST(x'ff' AS TEXT), 2)",
    )
    with pytest.raises(StepError, match=said) as caught:
        db.query(sql)
    assert not caught.value.transient
    assert db.execute("SELECT count(*) FROM t") == [(10_000,)]


def test_a_query_streams_in_its_order(db: Steps) -> None:
    table = db.query("SELECT score FROM t WHERE user_id < @most ORDER BY score DESC;", most=2)
    assert table["score"].to_pylist()[:3] == [9001.0, 9000.0, 8001.0]
    assert db.query("SELECT * FROM t WHERE 0").column_names == ["user_id", "score", "name"]
    connection = db.connection()
    assert sqlite.table_rows(sqlite.TableConfig(table="t", resource=connection)) == 10_000
    assert sqlite.table_rows(sqlite.TableConfig(table="nope", resource=connection)) is None
    row = sqlite.query_row(sqlite.QueryConfig(query="SELECT name FROM t LIMIT @n", resource=connection))
    assert row.field("name").type == pa.string()
    connection.close()


@pytest.mark.parametrize("value", [*ATTACKS, 7, 1.5, None])
def test_a_value_is_bound(db: Steps, value: Any) -> None:
    config = {"query": "SELECT @v AS v, count(*) AS n FROM t"}
    types = {str: "string", int: "int", float: "float", type(None): "string"}
    config["schema"] = {"v": types[type(value)]}  # type: ignore[assignment]
    assert db.run("query", config, v=value).rows == [{"v": value, "n": 10_000}]
    with pytest.raises(StepError, match="`@v` is a list"):
        db.run("query", config, v=[1])


def test_lookups(db: Steps) -> None:
    rows = [{"user_id": n, "least": 0.0} for n in (7, 8, 10**6)]

    def found(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return sorted(tuple(row.values()) for row in db.query(sql, rows, **parameters).to_pylist())

    latest = "SELECT score FROM t WHERE user_id = @user_id ORDER BY score DESC LIMIT @n"
    assert found(latest, n=1) == [(9007.0, 0), (9008.0, 1)]
    counted = "SELECT count(*) AS n FROM t WHERE user_id = @user_id AND score > @least"
    assert found(counted) == [(0, 2), (10, 0), (10, 1)]
    nothing = db.query("SELECT name FROM t WHERE user_id = @user_id", [{"user_id": -1}])
    assert (nothing.num_rows, nothing.column_names) == (0, ["name", "@key"])
    many = db.query("SELECT score FROM t WHERE user_id = @user_id", pa.table({"user_id": range(65_536)}))
    assert many.num_rows == 10_000


def test_times_are_compared_as_sqlite_writes_them(db: Steps) -> None:
    db.execute(
        "CREATE TABLE x (at DATETIME, day DATE, n INTEGER)",
        "INSERT INTO x VALUES (datetime('2020-01-02 03:04:05'), date('2020-01-02'), 7)",
    )
    at = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    keys = pa.table({"at": pa.array([at], pa.timestamp("us", "UTC")), "day": [at.date()]})
    assert db.query("SELECT n FROM x WHERE at = @at AND day = @day", keys).num_rows == 1


def test_attacks_are_values(db: Steps) -> None:
    db.execute('CREATE TABLE "wo""rds" ("w; --" TEXT, n INTEGER)')
    db.write(pa.table({"w; --": ATTACKS, "n": range(len(ATTACKS))}), table='wo"rds')
    rows = [{"word": word} for word in [*ATTACKS, "other"]]
    table = db.query('SELECT n FROM "wo""rds" WHERE "w; --" = @word', rows)
    assert table.to_pylist() == [{"n": n, "@key": n} for n in range(len(ATTACKS))]


def test_rows_are_there_after_commit_only(db: Steps) -> None:
    rows = pa.table({"user_id": [1], "score": [1.0], "name": ["new"]})
    db.write(rows, end="abort")
    assert db.execute("SELECT count(*) FROM t WHERE name = 'new'") == [(0,)]
    db.write(rows)
    assert db.execute("SELECT count(*) FROM t WHERE name = 'new'") == [(1,)]


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_writers_of_one_run_share_a_transaction(db: Steps, end: str) -> None:
    db.execute("CREATE TABLE other (n INTEGER)")
    connection = db.connection(timeout=0.1)
    context = StepContext(run_id="r")
    first = sqlite.insert(sqlite.InsertConfig(table="t", resource=connection), context)
    second = sqlite.insert(sqlite.InsertConfig(table="other", resource=connection), context)
    first.write(Table.from_pylist([{"name": "new"}]), context)
    second.write(Table.from_pylist([{"n": 1}]), context)
    other = sqlite.insert(sqlite.InsertConfig(table="t", resource=connection), StepContext(run_id="q"))
    with pytest.raises(SqliteError, match="database is locked") as caught:
        other.write(Table.from_pylist([{"name": "new"}]), context)
    assert caught.value.transient
    other.abort()
    getattr(second, end)()
    if end == "abort":
        with pytest.raises(SqliteError, match="another writer of the run has failed"):
            first.commit()
    else:
        assert db.execute("SELECT count(*) FROM other") == [(0,)]
        first.commit()
    first.abort()
    connection.close()
    expected = 1 if end == "commit" else 0
    assert db.execute("SELECT count(*) FROM other") == [(expected,)]
    assert db.execute("SELECT count(*) FROM t WHERE name = 'new'") == [(expected,)]


def test_an_upsert_replaces_and_the_last_row_counts(db: Steps) -> None:
    db.execute("CREATE TABLE k (a INTEGER, b TEXT, v INTEGER, UNIQUE (a, b))")
    db.execute("INSERT INTO k VALUES (1, 'x', 1), (2, 'x', 2)")
    db.write(pa.table({"a": [2, 3, 3], "b": ["x"] * 3, "v": [20, 30, 31]}), table="k", key=["a", "b"])
    assert db.execute("SELECT * FROM k ORDER BY a") == [(1, "x", 1), (2, "x", 20), (3, "x", 31)]
    db.write(pa.table({"a": [3, 4], "b": ["x", "x"]}), table="k", key=["a", "b"])
    assert db.execute("SELECT count(*) FROM k") == [(4,)]
    with pytest.raises(SqliteError, match="make a unique index over"):
        db.write(pa.table({"a": [3], "v": [1]}), table="k", key=["a"])


@pytest.mark.parametrize(
    ("type_", "values", "said"),
    [
        ("INTEGER", pa.array(["1"]), "string does not go into int"),
        ("INTEGER", pa.array([1.5]), "float does not go into int"),
        ("INTEGER NOT NULL", pa.array([None, 1]), "1 of its values are null"),
        ("DECIMAL(9,2)", pa.array([Decimal("1.255")]), "data loss"),
        ("NUMERIC", pa.array([Decimal("0.12345678901234567891")]), "no room for the 20 digits"),
        ("X", pa.array([[1]]), "SQLite has no list"),
        ("INTEGER CHECK (x < 5)", pa.array([7]), "CHECK constraint failed"),
        ("INTEGER PRIMARY KEY", pa.array([7, 7]), "UNIQUE constraint failed"),
    ],
)
def test_a_value_that_does_not_fit(db: Steps, type_: str, values: pa.Array, said: str) -> None:
    db.execute(f"CREATE TABLE n (x {type_})")
    with pytest.raises(SqliteError, match=said):
        db.write(pa.table({"x": values}), table="n")
    assert db.execute("SELECT count(*) FROM n") == [(0,)]


@pytest.mark.parametrize(
    ("declared", "value", "stored"),
    [
        ("BOOLEAN", True, 1),
        ("DECIMAL(9,2)", Decimal("1.25"), 1.25),
        ("DECIMAL(9,2)", Decimal("3.00"), 3),
        ("DATETIME", datetime.datetime(2020, 1, 1, 5, 0, 0, 5, UTC), "2020-01-01 05:00:00.000005"),
        ("DATE", datetime.date(2020, 1, 1), "2020-01-01"),
        ("BLOB", b"\xff", b"\xff"),
    ],
)
def test_a_value_comes_back(db: Steps, declared: str, value: Any, stored: Any) -> None:
    db.execute(f"CREATE TABLE n (x {declared})")
    db.write(pa.table({"x": [value]}), table="n")
    assert db.execute("SELECT x FROM n") == [(stored,)]
    assert db.query("SELECT x FROM n").to_pylist() == [{"x": value}]


@pytest.mark.parametrize(
    ("table", "rows", "key", "said"),
    [
        ("nope", {"a": [1]}, None, "there is no table nope"),
        ("t", {"nope": [1]}, None, "has no column `nope`; it has user_id, score, name"),
        ("t", {"score": [1.0]}, ["user_id"], "`key` names `user_id`"),
        ("t", {"user_id": pa.array([None], pa.int64())}, ["user_id"], "holds nulls"),
    ],
)
def test_a_table_that_does_not_fit(
    db: Steps, table: str, rows: dict[str, Any], key: list[str] | None, said: str
) -> None:
    with pytest.raises(SqliteError, match=said):
        db.write(pa.table(rows), table=table, key=key)


def test_files(db: Steps) -> None:
    with pytest.raises(SqliteError, match="there is no file"):
        Connection(ConnectionConfig(path=str(db.path.with_name("none"))))
    db.path.with_name("a? #%.db").write_text("no database at all, but long enough")
    with pytest.raises(SqliteError, match="file is not a database; see `path`"):
        Connection(ConnectionConfig(path=str(db.path.with_name("a? #%.db"))))
    relative = Connection(ConnectionConfig(path="a.db", base=str(db.path.parent), read_only=True))
    assert relative.health() is None
    writer = sqlite.insert(sqlite.InsertConfig(table="t", resource=relative), StepContext())
    with pytest.raises(SqliteError, match="readonly"):
        writer.write(Table.from_pylist([{"user_id": 1}]), StepContext())
    writer.abort()
    relative.close()


def test_a_cancelled_query_ends(db: Steps) -> None:
    looks = count()
    connection = db.connection()
    config = sqlite.QueryConfig(query="SELECT count(*) AS n FROM t a, t b, t c", resource=connection)
    with pytest.raises(SqliteError, match="was stopped"):
        list(sqlite.query(None, config, StepContext(cancelled=lambda: next(looks) > 3)))
    connection.close()


def test_a_program(db: Steps, tmp_path: Path) -> None:
    db.execute(
        "CREATE TABLE out (user_id INTEGER PRIMARY KEY, score REAL)", "CREATE TABLE log (user_id INTEGER)"
    )
    program = tmp_path / "main.he"
    program.write_text(
        """\
import "fhub/sqlite" lite

resource db = lite.connection {
  path: "a.db"
}

step best = <connection=db> lite.query {
  query: "SELECT user_id, max(score) AS score FROM t WHERE user_id = @user_id GROUP BY user_id"
}

workflow W {
  [{ user_id: 7 }, { user_id: 8 }, { user_id: -1 }]
    | (
        from input
        join best (==user_id)
      )
    > found

  found
    | <connection=db> lite.upsert { table: "out", key: ["user_id"] }

  found
    | (select { user_id })
    | <connection=db> lite.insert { table: "log" }
}
"""
    )
    assert run(program).result.status == "succeeded"
    assert db.execute("SELECT * FROM out ORDER BY 1") == [(7, 9007.0), (8, 9008.0)]
    assert db.execute("SELECT count(*) FROM log") == [(2,)]
