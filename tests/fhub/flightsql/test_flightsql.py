"""The connector `fhub/flightsql` against the server of Arrow's Go library."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fhub import flightsql
from fhub.dbapi import DatabaseError
from fhub.dbapi_writing import TableWriter
from fhub.flightsql.connection import Connection, ConnectionConfig
from heddle.core.failure import StepError
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk.testing import run_step
from tests.engine.harness import run
from tests.services.flight_sql import FlightSql

ATTACKS = ["'); DROP TABLE t; --", 'a"b\\c`d', "tabs\tand lines\n", "ünïcode ☃ 🎉", "? $1 :p1 %s @x", ""]


@pytest.fixture
def table(flight_sql: FlightSql) -> str:
    """A hundred users with two rows each."""
    name = flight_sql.table()
    flight_sql.execute(f"CREATE TABLE {name} (user_id INTEGER, score DOUBLE, name VARCHAR(50))")
    flight_sql.execute(
        f"INSERT INTO {name} WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199) "
        "SELECT i % 100, i / 2.0, 'name ' || i FROM n"
    )
    return name


def query(server: FlightSql, sql: str, rows: Any = None, **parameters: Any) -> pa.Table:
    return run_step(
        flightsql.plugin,
        "query",
        rows,
        config={"query": sql},
        resources={"connection": {"uri": server.uri, "lookup_tuples": 40}},
        context={"parameters": parameters},
    ).table


@pytest.fixture
def connection(flight_sql: FlightSql) -> Any:
    opened = Connection(ConnectionConfig(uri=flight_sql.uri))
    yield opened
    opened.close()


def write(connection: Connection, table: str, rows: pa.Table, end: str = "commit") -> None:
    context = StepContext()
    writer = flightsql.ingest(flightsql.IngestConfig(table=table, resource=connection), context)
    try:
        for batch in (rows.slice(0, 1), rows.slice(1)):
            writer.write(Table.from_arrow(batch), context)
        getattr(writer, end)()
    except DatabaseError:
        writer.abort()
        raise


def test_a_query(flight_sql: FlightSql, table: str, connection: Connection) -> None:
    sql = f"SELECT user_id, score, name FROM {table} WHERE user_id < @most ORDER BY score DESC;"
    found = query(flight_sql, sql, most=2)
    assert found.to_pylist()[:2] == [
        {"user_id": 1, "score": 50.5, "name": "name 101"},
        {"user_id": 0, "score": 50.0, "name": "name 100"},
    ]
    described = flightsql.query_row(flightsql.QueryConfig(query=sql, resource=connection))
    assert described.names == ["user_id", "score", "name"]
    assert described.types == [pa.int64(), pa.float64(), pa.string()]
    assert query(flight_sql, f"SELECT name FROM {table} WHERE 1 = 0").column_names == ["name"]
    assert connection.health() is None


@pytest.mark.parametrize("value", [*ATTACKS, 7, 1.5])
def test_a_value_is_bound(flight_sql: FlightSql, table: str, value: object) -> None:
    found = query(flight_sql, f"SELECT count(*) AS n FROM {table} WHERE @v = @v AND name <> @v", v=value)
    assert found.to_pylist() == [{"n": 200}]


def test_lookups(flight_sql: FlightSql, table: str) -> None:
    def found(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        rows = [{"user_id": n, "least": 20.0} for n in (7, 8, 10**6)]
        return sorted(tuple(row.values()) for row in query(flight_sql, sql, rows, **parameters).to_pylist())

    latest = f"SELECT score FROM {table} WHERE user_id = @user_id ORDER BY score DESC LIMIT @n"
    assert found(latest, n=1) == [(53.5, 0), (54.0, 1)]
    counted = f"SELECT count(*) AS n FROM {table} WHERE user_id = @user_id AND score > @least"
    assert found(counted) == [(0, 2), (1, 0), (1, 1)]
    keys = pa.table({"user_id": range(150)})
    every = query(flight_sql, f"SELECT user_id FROM {table} WHERE user_id = @user_id", keys)
    assert every["user_id"].to_pylist() == every["@key"].to_pylist()
    assert every.num_rows == 200


def test_attacks_are_values(flight_sql: FlightSql, table: str, connection: Connection) -> None:
    write(connection, table, pa.table({"user_id": range(len(ATTACKS)), "name": ATTACKS}))
    rows = [{"word": word} for word in [*ATTACKS, "other"]]
    found = query(flight_sql, f"SELECT user_id AS n FROM {table} WHERE name = @word", rows)
    assert sorted(found.to_pylist(), key=lambda row: row["n"]) == [
        {"n": n, "@key": n} for n in range(len(ATTACKS))
    ]


def test_rows_are_there_after_commit_only(flight_sql: FlightSql, table: str, connection: Connection) -> None:
    assert connection.holds() is False
    rows = pa.table({"name": ["new", "newer"], "user_id": [1, 2]})
    write(connection, table, rows, end="abort")
    assert flight_sql.execute(f"SELECT count(*) FROM {table}") == [(200,)]
    write(connection, table, rows)
    assert flight_sql.execute(f"SELECT count(*) FROM {table}") == [(202,)]


def test_a_server_without_transactions_gets_all_rows_at_the_end(
    flight_sql: FlightSql, table: str, connection: Connection
) -> None:
    connection.transactions = False
    writer = TableWriter(connection, table, holds=True)
    for number in (1, 2):
        writer.write(Table.from_pylist([{"user_id": number}]), StepContext())
        assert flight_sql.execute(f"SELECT count(*) FROM {table}") == [(200,)]
    writer.abort()
    writer = TableWriter(connection, table, holds=True)
    writer.write(Table.from_pylist([{"user_id": 1}]), StepContext())
    writer.commit()
    assert flight_sql.execute(f"SELECT count(*) FROM {table}") == [(201,)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"nope": [1]}, "has no column `nope`; it has user_id, score, name"),
        ({"user_id": ["x"]}, "column `user_id` .*string does not go into int"),
        ({"user_id": [1.5]}, "float does not go into int"),
    ],
)
def test_rows_that_do_not_fit(table: str, connection: Connection, rows: dict[str, Any], said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        write(connection, table, pa.table(rows))


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nope FROM nowhere", "no such table: nowhere"),
        ("SELEC 1", "syntax error"),
        ("SELECT @gone AS x", "`@gone` has no value"),
        ("SELECT 1 AS a, 2 AS a", "two columns `a`"),
    ],
)
def test_an_error(flight_sql: FlightSql, sql: str, said: str) -> None:
    with pytest.raises(StepError, match=said) as caught:
        query(flight_sql, sql)
    assert not caught.value.transient
    assert "127.0.0.1" in caught.value.message or "column" in caught.value.message or "@" in said


def test_a_server_that_is_not_there() -> None:
    config = {"uri": "grpc://127.0.0.1:1", "username": "u", "password": "hush-hush"}
    with pytest.raises(StepError, match=r"Flight SQL at 127\.0\.0\.1:1: .*refused") as caught:
        run_step(flightsql.plugin, "query", config={"query": "SELECT 1"}, resources={"connection": config})
    assert caught.value.transient
    assert "hush" not in caught.value.message + caught.value.stack_trace


ENDLESS = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000000) "
    "SELECT count(*) AS c FROM n"
)


def test_a_call_that_takes_too_long(flight_sql: FlightSql) -> None:
    config = {"uri": flight_sql.uri, "timeout": 0.3}
    with pytest.raises(StepError, match=r"deadline exceeded|DeadlineExceeded|TIMEOUT") as caught:
        run_step(flightsql.plugin, "query", config={"query": ENDLESS}, resources={"connection": config})
    assert caught.value.transient


def test_a_cancelled_call_ends(connection: Connection) -> None:
    looks = count()
    config = flightsql.QueryConfig(query=ENDLESS, resource=connection)
    with pytest.raises(DatabaseError, match=r"(?i)cancel") as caught:
        list(flightsql.query(None, config, StepContext(cancelled=lambda: next(looks) > 3)))
    assert caught.value.transient


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"uri": "http://x"}, "`uri` is such as grpc://host:port"),
        ({"uri": "grpc://me:hush@x:1"}, "`uri` holds a user or a password"),
        ({"uri": "grpc://x:1", "lookup_tuples": 0}, "at least 1"),
        ({"uri": "grpc+tls://x:1", "tls_root_certs": "/nowhere"}, "`tls_root_certs` cannot be read"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, DatabaseError), match=said) as caught:
        Connection(ConnectionConfig(**settings))
    assert "hush" not in str(caught.value)


def test_a_program(flight_sql: FlightSql, table: str, tmp_path: Path) -> None:
    out = flight_sql.table()
    flight_sql.execute(f"CREATE TABLE {out} (user_id INTEGER, score DOUBLE)")
    program = tmp_path / "main.he"
    program.write_text(
        f"""\
import "fhub/flightsql" sql

resource db = sql.connection {{
  uri: "{flight_sql.uri}"
}}

step best = <connection=db> sql.query {{
  query: "SELECT user_id, score FROM {table} WHERE user_id = @user_id AND score > 20"
}}

workflow W {{
  [{{ user_id: 7 }}, {{ user_id: 8 }}, {{ user_id: -1 }}]
    | (
        from input
        join best (==user_id)
      )
    | <connection=db> sql.ingest {{ table: "{out}" }}
}}
"""
    )
    assert run(program).result.status == "succeeded"
    assert flight_sql.execute(f"SELECT * FROM {out} ORDER BY 1") == [(7, 53.5), (8, 54.0)]
