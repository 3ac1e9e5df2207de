"""A lookup asks one statement for all tuples of values, and its rows say which tuple they belong to."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from heddle.core.failure import StepError
from tests.fhub.clickhouse.steps import Steps
from tests.fhub.clickhouse.test_read import ATTACKS

UUID = "61f0c404-5cb3-11e7-907b-a6006ad3dba0"


@pytest.fixture
def risk(ch: Steps) -> Steps:
    """Two rows for each of 50,000 users."""
    ch.execute(
        "CREATE TABLE $t (user_id UInt64, day Date, score Float64, name LowCardinality(Nullable(String)), "
        "kind Enum8('a' = 0, 'b' = 1), id UUID, at DateTime('UTC'), price Decimal(9, 2), ip IPv4) "
        "ENGINE = MergeTree ORDER BY (user_id, day)"
    )
    ch.execute(
        "INSERT INTO $t SELECT number % 50000, toDate('2024-01-01') + intDiv(number, 50000), number, "
        f"toString(number), number % 2, '{UUID}', toDateTime(number, 'UTC'), number / 4, '1.2.3.4' "
        "FROM numbers(100000)"
    )
    ch.execute("OPTIMIZE TABLE $t FINAL")
    return ch


def found(table: pa.Table) -> list[tuple[Any, ...]]:
    return sorted(tuple(row.values()) for row in table.to_pylist())


def test_one_statement_for_all_values(risk: Steps) -> None:
    rows = [{"user_id": n} for n in (7, 49_999, 10**9, -1)]
    mark = risk.server.mark()
    table = risk.query("SELECT user_id, score FROM t WHERE user_id = @user_id", rows)
    assert found(table) == [(7, 7.0, 0), (7, 50_007.0, 0), (49_999, 49_999.0, 1), (49_999, 99_999.0, 1)]
    asked = risk.server.queries(mark)
    assert [q.sql.partition(" ")[0] for q in asked] == ["DESCRIBE", "SELECT"]
    assert asked[1].read_rows < 40_000, "the primary index was not used"
    assert list(asked[1].external) == ["heddle_tuples"]


def test_the_primary_index_is_used(risk: Steps) -> None:
    rows = [{"user_id": 7}, {"user_id": 30_000}]
    mark = risk.server.mark()
    risk.query("SELECT user_id AS u, score, name FROM t WHERE u = @user_id AND score > 3", rows)
    sql = risk.server.queries(mark)[-1].sql
    inline = sql.replace(
        "FROM heddle_tuples",
        "FROM (SELECT number AS heddle_row, toInt64(number * 7) AS user_id FROM numbers(2))",
    )
    plan = risk.server.execute(
        f"EXPLAIN indexes = 1 {inline}".replace("FROM t\n", f"FROM {risk.database}.t\n")
    )
    assert "Condition: (user_id in 2-element set)" in plan
    assert "Type: inner" in plan


def test_many_values(risk: Steps) -> None:
    rows = pa.table({"user_id": range(65_536)})
    table = risk.query("SELECT score FROM t WHERE user_id = @user_id", rows)
    assert table.num_rows == 100_000
    assert max(table["@key"].to_pylist()) == 49_999


@pytest.mark.parametrize(
    ("condition", "values", "matches"),
    [
        ("name = @v", ["7", "8", "'"], [0, 1]),
        ("kind = @v AND user_id < 2", ["b", "nope"], [0, 0]),
        ("id = @v AND user_id = 1", [UUID, UUID.upper(), "no uuid"], [0, 0, 1, 1]),
        ("ip = @v AND user_id = 1", ["1.2.3.4", "x"], [0, 0]),
        ("at = @v", [datetime.datetime(1970, 1, 1, 0, 0, 5, 0, datetime.UTC)], [0]),
        ("at = @v", [datetime.datetime(1970, 1, 1, 0, 0, 5, 5, datetime.UTC)], []),
        ("at = @v", [datetime.datetime(2300, 1, 1, 0, 0, 5, 0, datetime.UTC)], []),
        ("day = @v AND user_id = 1", [datetime.date(2024, 1, 1), datetime.date(1920, 1, 1)], [0]),
        ("price = @v", [Decimal("1.25"), Decimal("1.26")], [0]),
        ("price = @v", [Decimal("1.255")], []),
        ("user_id = @v", [7.0, 7.5], [0, 0]),
        ("@v = user_id", [7], [0, 0]),
        ("user_id IN (@v)", [7], [0, 0]),
        ("t.user_id == @v", [7], [0, 0]),
        ("user_id > @v AND user_id < 3", [1, 2], [0, 0]),
        ("(user_id = @v OR score = @v)", [7, 8], [0, 0, 1, 1]),
        ("score BETWEEN @v AND 8 AND user_id < 10", [7, 8], [0, 0, 1]),
    ],
)
def test_a_condition(risk: Steps, condition: str, values: list[Any], matches: list[int]) -> None:
    table = risk.query(f"SELECT user_id FROM t WHERE {condition}", pa.table({"v": values}))
    assert sorted(table["@key"].to_pylist()) == matches


def test_several_parameters(risk: Steps) -> None:
    rows = [
        {"user_id": 7, "day": datetime.date(2024, 1, 2), "least": 0},
        {"user_id": 8, "day": datetime.date(2024, 1, 2), "least": 10**6},
        {"user_id": 9, "day": datetime.date(2024, 1, 1), "least": 0},
    ]
    sql = "SELECT score, @factor AS f FROM t WHERE user_id = @user_id AND day = @day AND score >= @least"
    table = risk.query(sql, rows, parameters={"factor": 3})
    assert found(table) == [(9.0, 3, 2), (50_007.0, 3, 0)]


def test_attacks_are_values(risk: Steps) -> None:
    risk.execute("CREATE TABLE $words (word String, n UInt8) ENGINE = MergeTree ORDER BY word")
    risk.insert(pa.table({"word": ATTACKS, "n": range(len(ATTACKS))}), table="words")
    rows = [{"word": word} for word in [*ATTACKS, "other"]]
    table = risk.query("SELECT n, word, @word AS same FROM words WHERE word = @word", rows)
    assert found(table) == [(n, word, word, n) for n, word in enumerate(ATTACKS)]
    assert risk.execute("SELECT count() FROM $t") == "100000\n"


def test_groups_and_limits_hold_for_each_value(risk: Steps) -> None:
    rows = [{"user_id": 7}, {"user_id": 8}, {"user_id": 10**9}]
    grouped = "SELECT count() AS n, max(score) AS m FROM t WHERE user_id = @user_id GROUP BY user_id"
    assert found(risk.query(grouped, rows)) == [(2, 50_007.0, 0), (2, 50_008.0, 1)]
    having = f"{grouped} HAVING m > 50007"
    assert found(risk.query(having, rows)) == [(2, 50_008.0, 1)]
    latest = "SELECT score FROM t WHERE user_id = @user_id ORDER BY day DESC LIMIT 1"
    assert found(risk.query(latest, rows)) == [(50_007.0, 0), (50_008.0, 1)]
    second = "SELECT score FROM t WHERE user_id = @user_id ORDER BY day DESC LIMIT 1 OFFSET 1"
    assert found(risk.query(second, rows)) == [(7.0, 0), (8.0, 1)]
    distinct = "SELECT DISTINCT kind FROM t WHERE user_id = @user_id"
    assert found(risk.query(distinct, rows)) == [("a", 1), ("b", 0)]
    by = "SELECT score FROM t WHERE user_id > @user_id AND user_id < 10 ORDER BY score LIMIT 1 BY day"
    assert found(risk.query(by, rows[:2])) == [(8.0, 0), (9.0, 1), (50_008.0, 0), (50_009.0, 1)]


def test_other_shapes(risk: Steps) -> None:
    rows = [{"id": 7}, {"id": 8}]
    assert found(risk.query("SELECT @id + 1 AS x", rows)) == [(8, 0), (9, 1)]
    joined = (
        "WITH best AS (SELECT user_id, max(score) AS m FROM t GROUP BY user_id)\n"
        "SELECT t.score, best.m FROM t JOIN best ON best.user_id = t.user_id -- the best\n"
        "WHERE t.user_id = @id /* AND */ ORDER BY 1 LIMIT 1"
    )
    assert found(risk.query(joined, rows)) == [(7.0, 50_007.0, 0), (8.0, 50_008.0, 1)]
    commented = (
        "SELECT score -- the score\nFROM t WHERE user_id = @id -- this\nORDER BY day -- first\nLIMIT 1 -- one"
    )
    assert found(risk.query(commented, rows)) == [(7.0, 0), (8.0, 1)]
    star = risk.query("SELECT * EXCEPT (id, ip, at) FROM t WHERE user_id = @id LIMIT 1", rows)
    assert star.column_names == ["user_id", "day", "score", "name", "kind", "price", "@key"]
    assert risk.query("SELECT user_id FROM t WHERE user_id = @id", [{"id": 10**9}]).num_rows == 0


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT count() AS n FROM t WHERE user_id = @id", "needs GROUP BY"),
        ("SELECT 1 AS x UNION ALL SELECT @id", "UNION does not go with a lookup"),
        ("SELECT user_id FROM (SELECT * FROM t WHERE user_id = @id)", "stands in FROM"),
        ("SELECT 1 AS x FROM t WHERE user_id IN (SELECT toUInt64(@id))", "stands in a subquery"),
        ("SELECT row_number() OVER (ORDER BY score) AS n FROM t WHERE user_id = @id", "OVER in SELECT"),
        ("SELECT score FROM t WHERE user_id = @id LIMIT 1 BY day LIMIT 5", "a second LIMIT"),
        ("SELECT score FROM t LIMIT @id", "stands in LIMIT"),
        ("SELECT nope FROM t WHERE user_id = @id", "UNKNOWN_IDENTIFIER"),
        ("SELECT score FROM t WHERE name = @id", "supertype|NO_COMMON_TYPE|TYPE_MISMATCH"),
    ],
)
def test_what_is_no_lookup(risk: Steps, sql: str, said: str) -> None:
    with pytest.raises(StepError, match=said):
        risk.query(sql, [{"id": 7}])
