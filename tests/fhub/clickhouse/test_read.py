"""Queries and tables are read: parameters are bound, nothing runs while a statement is described."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from fhub import clickhouse
from heddle.core.failure import StepError
from heddle.core.step import StepContext, Transient
from heddle.core.types import Column, RowType
from tests.fhub.clickhouse.steps import Steps

ATTACKS = [
    "'); DROP TABLE t; --",
    'a"b\\c`d',
    "nul\0 and\ttabs\nand lines\r",
    "ünïcode ☃ 🎉",
    "{user_id:Int64} @x %s $1",
    "\\N",
    "",
]


@pytest.fixture
def people(ch: Steps) -> Steps:
    ch.execute(
        "CREATE TABLE $t (user_id UInt64, name Nullable(String), at DateTime('UTC')) "
        "ENGINE = MergeTree ORDER BY user_id"
    )
    ch.execute("INSERT INTO $t SELECT number, toString(number), number FROM numbers(100000)")
    return ch


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd", "gzip"])
def test_a_query_streams(people: Steps, compression: str) -> None:
    table = people.run(
        "query",
        {
            "query": "SELECT user_id, at FROM t WHERE user_id < 9000;",
            "connection": {"compression": compression},
        },
        None,
        {},
    ).table
    assert sorted(table["user_id"].to_pylist()) == list(range(9000))


def test_the_server_says_what_it_read(people: Steps) -> None:
    result = people.run("query", {"query": "SELECT count() AS n FROM t WHERE name <> ''"}, None, {})
    assert [(m.name, m.value, m.unit) for m in result.metrics] == [("read_rows", 100_000.0, "rows")]
    assert [p.rows_done for p in result.progress] == [1]


def test_a_table_is_read(people: Steps) -> None:
    table = people.run("table", {"table": "t", "columns": ["name"]}, None, {}).table
    assert table.schema == pa.schema([pa.field("name", pa.string())])
    assert table.num_rows == 100_000
    whole = people.run("table", {"table": f"{people.database}.t"}, None, {}).table
    assert whole.column_names == ["user_id", "name", "at"]


def test_no_rows_have_columns(people: Steps) -> None:
    table = people.query("SELECT * FROM t WHERE user_id = 123456789")
    assert (table.num_rows, table.column_names) == (0, ["user_id", "name", "at"])


def test_rows_keep_their_order(people: Steps) -> None:
    table = people.query("SELECT user_id, at FROM t ORDER BY user_id DESC")
    assert table["user_id"].to_pylist() == list(range(99_999, -1, -1))


def test_describing_runs_nothing(people: Steps) -> None:
    mark = people.server.mark()
    schema = people.described("SELECT user_id, name FROM t WHERE user_id = @user_id AND at > @since")
    assert schema == pa.schema([pa.field("user_id", pa.int64(), False), pa.field("name", pa.string())])
    (asked,) = people.server.queries(mark)
    assert asked.sql.startswith("DESCRIBE TABLE")
    assert asked.read_rows < 10


def test_parameters_of_an_unknown_type_are_guessed(people: Steps) -> None:
    assert people.described("SELECT user_id FROM t LIMIT @n").names == ["user_id"]
    input = RowType((Column("key", pa.int64()),))
    assert people.described("SELECT user_id + @key AS x FROM t", input).field("x").type == pa.int64()
    with pytest.raises(Exception, match="UNKNOWN_IDENTIFIER"):
        people.described("SELECT nope FROM t WHERE user_id = @x")


@pytest.mark.parametrize("value", [*ATTACKS, 7, -(2**63), 1.5, True, None])
def test_a_value_is_bound(people: Steps, value: object) -> None:
    mark = people.server.mark()
    table = people.query("SELECT @v AS v, count() AS n FROM t", parameters={"v": value})
    assert table.to_pylist() == [{"v": value, "n": 100_000}]
    assert (
        not isinstance(value, str)
        or not value
        or all(value not in q.sql for q in people.server.queries(mark))
    )


def test_a_null_equals_nothing(people: Steps) -> None:
    found = people.query("SELECT user_id FROM t WHERE user_id = @id OR name = @id", parameters={"id": None})
    assert found.num_rows == 0


def test_a_list_is_an_array(people: Steps) -> None:
    table = people.query("SELECT @v AS v", parameters={"v": ATTACKS})
    assert table.to_pylist() == [{"v": ATTACKS}]
    found = people.query("SELECT user_id FROM t WHERE has(@ids, user_id)", parameters={"ids": [3, 5]})
    assert found["user_id"].to_pylist() == [3, 5]
    assert people.query("SELECT @v AS v", parameters={"v": [1, 2.5]}).to_pylist() == [{"v": [1.0, 2.5]}]
    assert people.query("SELECT @v AS v", parameters={"v": ["a", None]}).to_pylist() == [{"v": ["a", None]}]


@pytest.mark.parametrize(
    ("value", "said"),
    [({"a": 1}, "`@v` is a dict"), ([1, "a"], "the items of the list `@v` have different types")],
)
def test_what_cannot_be_a_parameter(people: Steps, value: object, said: str) -> None:
    with pytest.raises(StepError, match=said):
        people.query("SELECT @v AS v", parameters={"v": value})


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nope FROM t", r"ClickHouse says: Unknown expression.*\(code 47, UNKNOWN_IDENTIFIER\)"),
        ("SELECT * FROM nope", r"\(code 60, UNKNOWN_TABLE\)"),
        ("DROP TABLE t", "SYNTAX_ERROR"),
        ("INSERT INTO t SELECT 1, 'a', 1", "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", "SYNTAX_ERROR"),
        ("SELECT 1) AS x; DROP TABLE t", "SYNTAX_ERROR"),
        ("SELECT * FROM (SELECT 1 AS a) AS l, (SELECT 2 AS a) AS r FORMAT CSV", "SYNTAX_ERROR"),
        ("SELECT user_id FROM t WHERE user_id = @gone", "`@gone` has no value"),
    ],
)
def test_a_statement_that_is_refused(people: Steps, sql: str, said: str) -> None:
    with pytest.raises(StepError, match=said) as caught:
        people.query(sql)
    assert "hush" not in str(caught.value)
    assert people.execute("SELECT count() FROM $t") == "100000\n"


def test_an_error_in_the_middle_is_an_error(people: Steps) -> None:
    sql = "SELECT repeat('x', 1000) AS text, throwIf(number = 4000, 'too far') AS x FROM numbers(6000)"
    settings = {"settings": {"max_block_size": "500"}}
    for compression in ("none", "gzip"):
        with pytest.raises(StepError, match=r"too far.*code 395"):
            connection = {"compression": compression, **settings}
            people.run("query", {"query": sql, "connection": connection}, None, {})


def test_settings_reach_the_server(people: Steps) -> None:
    sql = "SELECT getSetting('max_threads') AS n"
    table = people.run(
        "query", {"query": sql, "connection": {"settings": {"max_threads": "3"}}}, None, {}
    ).table
    assert table.to_pylist() == [{"n": 3}]


def test_one_statement_is_described_once(people: Steps) -> None:
    connection = people.connection()
    config = clickhouse.QueryConfig(query="SELECT user_id FROM t WHERE user_id = @id", resource=connection)
    mark = people.server.mark()
    for number in (1, 2):
        rows = list(clickhouse.query(None, config, StepContext(parameters={"id": number})))
        assert [row for table in rows for row in table.to_pylist()] == [{"user_id": number}]
    connection.close()
    asked = [query.sql.partition(" ")[0] for query in people.server.queries(mark)]
    assert asked == ["DESCRIBE", "SELECT", "SELECT"]


def test_columns_that_changed_are_asked_for_again(people: Steps) -> None:
    connection = people.connection()
    config = clickhouse.QueryConfig(query="SELECT * FROM t LIMIT 1", resource=connection)
    list(clickhouse.query(None, config, StepContext()))
    people.execute("ALTER TABLE $t RENAME COLUMN name TO called")
    for _ in range(2):
        try:
            (table,) = list(clickhouse.query(None, config, StepContext()))
            break
        except Transient:
            continue
    connection.close()
    assert table.column_names == ["user_id", "called", "at"]


def test_estimates(people: Steps) -> None:
    connection = people.connection()

    def estimate(sql: str) -> int | None:
        return clickhouse.query_rows(clickhouse.QueryConfig(query=sql, resource=connection))

    assert estimate("SELECT * FROM t") == 100_000
    assert estimate("SELECT * FROM t WHERE user_id = @id") == 100_000
    assert (estimate("SELECT * FROM t WHERE user_id < 10") or 0) < 20_000
    assert estimate("SELECT * FROM t LIMIT 5") == 5
    assert estimate("SELECT name, count() FROM t GROUP BY name") is None
    assert estimate("SELECT number FROM numbers(10)") is None
    assert estimate("SELECT nope FROM t") is None
    for name in ("t", f"{people.database}.t"):
        assert clickhouse.table_count(clickhouse.TableConfig(table=name, resource=connection)) == 100_000
    assert clickhouse.table_count(clickhouse.TableConfig(table="nope", resource=connection)) is None
    connection.close()


@pytest.fixture
def cancelled() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_cancelled_call_ends_the_query(people: Steps, cancelled: threading.Event) -> None:
    connection = people.connection()
    sql = "SELECT repeat('x', 10000) AS text FROM numbers(1000000000) WHERE sleepEachRow(0.0005) = 0"
    connection.config.settings = {"max_block_size": "100"}
    config = clickhouse.QueryConfig(query=sql, resource=connection)
    mark = people.server.mark()
    tables = iter(clickhouse.query(None, config, StepContext(cancelled=cancelled.is_set)))
    next(tables)
    cancelled.set()
    with pytest.raises(Transient):
        for _ in tables:
            pass
    connection.close()
    (killed,) = [q for q in people.server.queries(mark) if q.sql.startswith("KILL")]
    assert killed.parameters["query_id"].startswith("heddle-")
