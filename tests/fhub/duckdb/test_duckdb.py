"""The connector `fhub/duckdb`: exact types, bound values, lookups by one statement, transactions."""

from __future__ import annotations

import datetime
import subprocess
import sys
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import duckdb as library
import pyarrow as pa
import pytest

from fhub import duckdb
from fhub.duckdb.connection import Connection, ConnectionConfig
from fhub.duckdb.failures import DuckdbError
from heddle.core.failure import StepError
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.core.types import OPEN_ROW, Column, RowType, type_name
from heddle.sdk.testing import StepResult, run_step
from tests.engine.harness import run

UTC = datetime.UTC
UUID = "61f0c404-5cb3-11e7-907b-a6006ad3dba0"
ATTACKS = ["'); DROP TABLE t; --", 'a"b\\c`d', "tabs\tand lines\n", "ünïcode ☃ 🎉", "$user_id @x ? %s", ""]


class Steps:
    def __init__(self, path: Path) -> None:
        self.path = path

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        with library.connect(str(self.path)) as database:
            return database.execute(sql).fetchall()

    def run(self, name: str, config: dict[str, Any], rows: Any = None, **parameters: Any) -> StepResult:
        return run_step(
            duckdb.plugin,
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
            writer = duckdb.insert(duckdb.InsertConfig(table=table, resource=connection), context)
        else:
            writer = duckdb.upsert(duckdb.UpsertConfig(table=table, key=key, resource=connection), context)
        try:
            writer.write(Table.from_arrow(rows), context)
            getattr(writer, end)()
        except DuckdbError:
            writer.abort()
            raise
        finally:
            connection.close()


@pytest.fixture
def db(tmp_path: Path) -> Steps:
    steps = Steps(tmp_path / "a.duckdb")
    steps.execute(
        "CREATE TABLE t AS SELECT range % 1000 AS user_id, range::DOUBLE AS score, "
        "range::VARCHAR AS name FROM range(10000)"
    )
    return steps


TYPES: list[tuple[str, str, Any]] = [
    ("1::UTINYINT", "int?", 1),
    ("1::UBIGINT", "int?", 1),
    ("sum(1)", "int?", 1),
    ("1.5::FLOAT", "float?", 1.5),
    ("1.25::DECIMAL(9,2)", "decimal(9,2)?", Decimal("1.25")),
    ("'hé'", "string?", "hé"),
    ("'\\xFF'::BLOB", "binary?", b"\xff"),
    ("true", "bool?", True),
    ("DATE '2020-01-02'", "date?", datetime.date(2020, 1, 2)),
    ("TIME '12:34:56.000001'", "time?", datetime.time(12, 34, 56, 1)),
    ("TIMESTAMPTZ '2020-01-02 03:04:05+01'", "timestamp?", datetime.datetime(2020, 1, 2, 2, 4, 5, 0, UTC)),
    ("TIMESTAMP_S '2020-01-02 03:04:05'", "timestamp[us]?", datetime.datetime(2020, 1, 2, 3, 4, 5)),
    (f"'{UUID}'::UUID", "string?", UUID),
    ("'a'::ENUM('a', 'b')", "string?", "a"),
    ("'{\"a\": 1}'::JSON", "string?", '{"a": 1}'),
    ("INTERVAL 1 DAY", "string?", "1 day"),
    ("NULL", "string?", None),
    ("[1, NULL]::UTINYINT[]", "list<int?>?", [1, None]),
    ("[1, 2]::INTEGER[2]", "list<int?>?", [1, 2]),
    (f"['{UUID}'::UUID]", "list<string?>?", [UUID]),
    (
        "{'a': 1, 'b c': DATE '2020-01-02'}",
        "{a: int?, b c: date?}?",
        {"a": 1, "b c": datetime.date(2020, 1, 2)},
    ),
    ("MAP {'a': 1}", "list<{key: string, value: int?}?>?", [{"key": "a", "value": 1}]),
    ("[MAP {'a': 1}]", "list<string?>?", ["{a=1}"]),
]


@pytest.mark.parametrize(("expression", "type_", "value"), TYPES, ids=[e for e, _, _ in TYPES])
def test_a_type(db: Steps, expression: str, type_: str, value: Any) -> None:
    sql = f"SELECT {expression} AS x"
    connection = db.connection()
    described = duckdb.query_row(duckdb.QueryConfig(query=sql, resource=connection), OPEN_ROW)
    connection.close()
    table = db.query(sql)
    assert table.schema.equals(described)
    field = table.schema.field("x")
    assert type_name(field.type, field.nullable) == type_
    assert table.to_pylist() == [{"x": value}]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 18446744073709551615::UBIGINT AS x", "column `x`: .*not in range.*as a decimal"),
        ("SELECT 170141183460469231731687303715884105727 AS x", "out of range"),
        ("SELECT TIMESTAMP_NS '2020-01-01 00:00:00.000000001' AS x", "column `x`: .*lose data"),
        ("SELECT 1 AS a, 2 AS a", "two columns `a`"),
        ("SELECT nope FROM t", 'Referenced column "nope" not found'),
        ("SELEC 1", "syntax error"),
        ("DROP TABLE t", "takes one SELECT"),
        ("SELECT 1; DROP TABLE t", "takes one SELECT"),
        ("SELECT 1) AS x; DROP TABLE t; --", "syntax error"),
        ("SELECT @gone", "`@gone` has no value"),
        ("SELECT 'x'::INTEGER AS x", "Could not convert string 'x'"),
    ],
)
def test_an_error(db: Steps, sql: str, said: str) -> None:
    with pytest.raises(StepError, match=said) as caught:
        db.query(sql)
    assert not caught.value.transient
    assert db.execute("SELECT count(*) FROM t") == [(10_000,)]


def test_a_declared_type_wins(db: Steps) -> None:
    config = {"query": "SELECT 18446744073709551615::UBIGINT AS x", "schema": {"x": "decimal(20,0)"}}
    assert db.run("query", config).rows == [{"x": Decimal(2**64 - 1)}]


def test_describing_runs_nothing(db: Steps) -> None:
    connection = db.connection()
    config = duckdb.QueryConfig(
        query="SELECT error('ran') AS e, user_id + @x AS y FROM t", resource=connection
    )
    row = duckdb.query_row(config, RowType((Column("x", pa.int64()),)))
    assert row.field("y").type == pa.int64()
    count = duckdb.QueryConfig(query="SELECT * FROM t", resource=connection)
    assert duckdb.query_count(count) == 10_000
    assert duckdb.table_count(duckdb.TableConfig(table="t", resource=connection)) == 10_000
    assert duckdb.query_count(duckdb.QueryConfig(query="SELECT nope", resource=connection)) is None
    connection.close()


def test_a_table_and_the_order_of_rows(db: Steps) -> None:
    table = db.run("table", {"table": "main.t", "columns": ["name", "score"]}).table
    assert (table.num_rows, table.column_names) == (10_000, ["name", "score"])
    ordered = db.query("SELECT user_id, uuid() AS u FROM t ORDER BY score DESC LIMIT 5;")
    assert ordered["user_id"].to_pylist() == [999, 998, 997, 996, 995]
    assert db.query("SELECT * FROM t WHERE false").column_names == ["user_id", "score", "name"]


@pytest.mark.parametrize("value", [*ATTACKS, 7, 1.5, True, None, ["a'", None], [1, 2]])
def test_a_value_is_bound(db: Steps, value: Any) -> None:
    assert db.query("SELECT @v AS v, count(*) AS n FROM t", v=value).to_pylist() == [
        {"v": value, "n": 10_000}
    ]


def test_lookups(db: Steps) -> None:
    rows = [{"user_id": n, "least": 0.0} for n in (7, 8, 10**6)]

    def found(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return sorted(tuple(row.values()) for row in db.query(sql, rows, **parameters).to_pylist())

    latest = "SELECT score FROM t WHERE user_id = @user_id ORDER BY score DESC LIMIT 1"
    assert found(latest) == [(9007.0, 0), (9008.0, 1)]
    counted = "SELECT count(*) AS n FROM t WHERE user_id = @user_id AND score > @least"
    assert found(counted) == [(0, 2), (10, 0), (10, 1)]
    assert found("SELECT @user_id + @one AS x", one=1) == [(8, 0), (9, 1), (1_000_001, 2)]
    either = "SELECT score FROM t WHERE user_id = @user_id AND score < 10 UNION ALL SELECT @user_id"
    assert found(either) == [(7.0, 0), (7.0, 0), (8.0, 1), (8.0, 1), (1e6, 2)]
    nested = "SELECT name FROM (SELECT * FROM t WHERE user_id = @user_id -- these\n) WHERE score < 1000"
    assert found(nested) == [("7", 0), ("8", 1)]
    many = db.query("SELECT score FROM t WHERE user_id = @user_id", pa.table({"user_id": range(65_536)}))
    assert many.num_rows == 10_000


def test_attacks_are_values(db: Steps) -> None:
    db.execute('CREATE TABLE "wo""rds" ("w; --" VARCHAR, n INTEGER)')
    db.write(pa.table({"w; --": ATTACKS, "n": range(len(ATTACKS))}), table='wo"rds')
    rows = [{"word": word} for word in [*ATTACKS, "other"]]
    table = db.query('SELECT n, @word AS w FROM "wo""rds" WHERE "w; --" = @word', rows)
    assert sorted(table.to_pylist(), key=lambda row: row["n"]) == [
        {"n": n, "w": word, "@key": n} for n, word in enumerate(ATTACKS)
    ]


def test_rows_are_there_after_commit_only(db: Steps) -> None:
    rows = pa.table({"user_id": [1], "score": [1.0], "name": ["new"]})
    db.write(rows, end="abort")
    assert db.execute("SELECT count(*) FROM t WHERE name = 'new'") == [(0,)]
    db.write(rows)
    assert db.execute("SELECT count(*) FROM t WHERE name = 'new'") == [(1,)]


def test_an_upsert_replaces_and_the_last_row_counts(db: Steps) -> None:
    db.execute("CREATE TABLE k (a INTEGER, b VARCHAR, v UTINYINT)")
    db.execute("INSERT INTO k VALUES (1, 'x', 1), (2, 'x', 2)")
    db.write(pa.table({"a": [2, 3, 3], "b": ["x"] * 3, "v": [20, 30, 31]}), table="k", key=["a", "b"])
    assert db.execute("SELECT * FROM k ORDER BY a") == [(1, "x", 1), (2, "x", 20), (3, "x", 31)]
    db.write(pa.table({"a": [3, 4], "b": ["x", "x"]}), table="k", key=["a", "b"])
    assert db.execute("SELECT count(*) FROM k") == [(4,)]


@pytest.mark.parametrize(
    ("type_", "values", "said"),
    [
        ("UTINYINT", pa.array([300]), "300 not in range"),
        ("INTEGER", pa.array([1.5]), "float does not go into int32"),
        ("INTEGER", pa.array(["1"]), "string does not go into int32"),
        ("INTEGER NOT NULL", pa.array([None, 1]), "1 of its values are null"),
        ("DECIMAL(9,2)", pa.array([Decimal("1.255")]), "data loss"),
        ("TIMESTAMP_S", pa.array([datetime.datetime(2020, 1, 1, 0, 0, 0, 5)]), "lose data"),
        ("UTINYINT[]", pa.array([[300]]), "300 not in range"),
        ("STRUCT(a INTEGER)", pa.array([{"b": 1}]), "does not go into"),
        ("UUID", pa.array(["zz"]), "Could not convert string 'zz'"),
        ("INTEGER CHECK (x < 5)", pa.array([7]), "CHECK constraint failed"),
    ],
)
def test_a_value_that_does_not_fit(db: Steps, type_: str, values: pa.Array, said: str) -> None:
    db.execute(f"CREATE TABLE n (x {type_})")
    with pytest.raises(DuckdbError, match=said):
        db.write(pa.table({"x": values}), table="n")
    assert db.execute("SELECT count(*) FROM n") == [(0,)]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("TIMESTAMPTZ", datetime.datetime(2020, 1, 1, 5, tzinfo=UTC)),
        ("DECIMAL(9,2)", Decimal("1.25")),
        ("HUGEINT", 7),
        ("MAP(VARCHAR, INTEGER)", [{"key": "a", "value": 1}]),
        ("ENUM('a')", "a"),
        ("STRUCT(a INTEGER, b VARCHAR)", {"a": 1, "b": None}),
        ("DATE[]", [datetime.date(2020, 1, 1), None]),
    ],
)
def test_a_value_comes_back(db: Steps, type_: str, value: Any) -> None:
    db.execute(f"CREATE TABLE n (x {type_})")
    rows = pa.table({"x": [value]})
    if type_.startswith("MAP"):
        rows = pa.table({"x": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))})
    db.write(rows, table="n")
    assert db.query("SELECT x FROM n").to_pylist() == [{"x": value}]


@pytest.mark.parametrize(
    ("table", "rows", "key", "said"),
    [
        ("nope", {"a": [1]}, None, "Table with name nope does not exist"),
        ("t", {"nope": [1]}, None, "has no column `nope`; it has user_id, score, name"),
        ("t", {"score": [1.0]}, ["user_id"], "`key` names `user_id`"),
        ("t", {"user_id": pa.array([None], pa.int64())}, ["user_id"], "holds nulls"),
    ],
)
def test_a_table_that_does_not_fit(
    db: Steps, table: str, rows: dict[str, Any], key: list[str] | None, said: str
) -> None:
    with pytest.raises(DuckdbError, match=said):
        db.write(pa.table(rows), table=table, key=key)


def test_files(db: Steps) -> None:
    with pytest.raises(DuckdbError, match="there is no file"):
        Connection(ConnectionConfig(path=str(db.path.with_name("none"))))
    db.path.with_name("text").write_text("no database at all")
    with pytest.raises(DuckdbError, match="not a valid DuckDB"):
        Connection(ConnectionConfig(path=str(db.path.with_name("text"))))
    relative = Connection(ConnectionConfig(path="a.duckdb", base=str(db.path.parent), read_only=True))
    assert relative.health() is None
    writer = duckdb.insert(duckdb.InsertConfig(table="t", resource=relative), StepContext())
    with pytest.raises(DuckdbError, match="read-only"):
        writer.write(Table.from_pylist([{"user_id": 1}]), StepContext())
    writer.abort()
    relative.close()


def test_a_file_that_another_process_has_open(db: Steps) -> None:
    holding = "import sys, duckdb; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(db.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DuckdbError, match="another process has the file open for writing") as caught:
            db.connection(read_only=True)
        assert caught.value.transient
        other.communicate()
    db.connection(read_only=True).close()


def test_two_transactions_that_change_the_same_row(db: Steps) -> None:
    db.execute("CREATE TABLE k AS SELECT 1 AS a, 1 AS v")
    connection = db.connection()
    config = duckdb.UpsertConfig(table="k", key=["a"], resource=connection)
    first, second = (duckdb.upsert(config, StepContext()) for _ in range(2))
    first.write(Table.from_pylist([{"a": 1, "v": 2}]), StepContext())
    with pytest.raises(DuckdbError, match=r"(?i)conflict") as caught:
        second.write(Table.from_pylist([{"a": 1, "v": 3}]), StepContext())
    assert caught.value.transient
    second.abort()
    first.commit()
    connection.close()
    assert db.execute("SELECT v FROM k") == [(2,)]


def test_a_cancelled_query_ends(db: Steps) -> None:
    looks = count()
    connection = db.connection()
    config = duckdb.QueryConfig(
        query="SELECT count(*) AS n FROM range(10000000) a, range(10000000) b", resource=connection
    )
    with pytest.raises(DuckdbError, match="was stopped"):
        list(duckdb.query(None, config, StepContext(cancelled=lambda: next(looks) > 3)))
    connection.close()


def test_a_program(db: Steps, tmp_path: Path) -> None:
    db.execute("CREATE TABLE out (user_id BIGINT, score DOUBLE)")
    program = tmp_path / "main.he"
    program.write_text(
        """\
import "fhub/duckdb" duck

resource db = duck.connection {
  path: "a.duckdb"
}

step best = <connection=db> duck.query {
  query: "SELECT user_id, max(score) AS score FROM t WHERE user_id = @user_id GROUP BY user_id"
}

workflow W {
  [{ user_id: 7 }, { user_id: 8 }, { user_id: -1 }]
    | (
        from input
        join best (==user_id)
      )
    | <connection=db> duck.upsert { table: "out", key: ["user_id"] }
}
"""
    )
    assert run(program).result.status == "succeeded"
    assert db.execute("SELECT * FROM out ORDER BY 1") == [(7, 9007.0), (8, 9008.0)]
