"""Lookups against ClickHouse: what the server was asked, and the rows that come of it."""

from __future__ import annotations

from pathlib import Path

from tests.engine.harness import run
from tests.services.clickhouse import HOST, ClickHouse

PROGRAM = """\
import "fhub/clickhouse" ch

resource db = ch.connection {{
  host: "{host}"
  port: {port}
  database: "{database}"
  password: "{password}"
}}

step risk = <connection=db> ch.query {{
  query: "SELECT user_id, score, note FROM risks WHERE user_id = @user_id"
  schema: {{ user_id: "int", score: "float", note: "string" }}
}}

step risks = <connection=db> ch.table {{ table: "risks" }}

workflow W {{
  [
    {{ n: 1, user_id: 7 }}
    {{ n: 2, user_id: 7 }}
    {{ n: 3, user_id: 100000 }}
    {{ n: 4, user_id: null }}
  ]
    > visits

  (from visits | join side:left risk (==user_id) | select {{n, score}} | sort n)
    > looked_up

  (from visits | join r=risks (visits.user_id == r.user_id) | select {{n, r.score}} | sort n)
    > joined
}}
"""


def test_one_statement_for_the_distinct_keys(clickhouse: ClickHouse, tmp_path: Path) -> None:
    database = clickhouse.create_database()
    clickhouse.execute(
        f"CREATE TABLE {database}.risks (user_id Int64, score Float64, note String) "
        "ENGINE = MergeTree ORDER BY user_id"
    )
    clickhouse.execute(f"INSERT INTO {database}.risks SELECT number, number / 10, 'x' FROM numbers(100000)")
    path = tmp_path / "main.he"
    path.write_text(
        PROGRAM.format(host=HOST, port=clickhouse.port, database=database, password=clickhouse.password)
    )
    mark = clickhouse.mark()
    ran = run(path, ("looked_up", "joined"))
    assert ran.result.error is None, ran.result.error
    assert [tuple(row.values()) for row in ran.rows("looked_up")] == [
        (1, 0.7),
        (2, 0.7),
        (3, None),
        (4, None),
    ]
    assert [tuple(row.values()) for row in ran.rows("joined")] == [(1, 0.7), (2, 0.7)]
    asked = [query for query in clickhouse.queries(mark) if query.external]
    assert len(asked) == 2
    for query in asked:
        assert "note" not in query.sql
        assert query.result_rows == 1
        assert query.read_rows < 50_000
