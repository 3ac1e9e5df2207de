"""Values of calls and filters of clients go where the rows come from: into the database's statement as bound
values, into a step's settings, into a file's scan."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.database.asking import Asked, asking, asking_orders
from tests.services.postgresql import Postgresql

PROGRAM = """
import "fhub/postgresql" postgresql

resource db = postgresql.connection { host: "HOST", port: PORT, database: "DATABASE", user: "postgres" }

workflow Sales(since: date, word: string = "x") {
  <connection=db> postgresql.query {
    query: "SELECT id, customer, day, total FROM orders WHERE day >= @since::date"
  }
    > since_day

  (from since_day | filter total > 10 | select {id, customer, total})
    > large

  <connection=db> postgresql.query { query: "SELECT id, note FROM orders WHERE note = @word::text" }
    > noted
}
"""
COLUMNS = (
    "g::int8 AS id, (g % 5)::int8 AS customer, '2025-12-31'::date + g AS day, g * 1.5::float8 AS total, "
    "CASE g WHEN 7 THEN 'it''s @since $1' ELSE 'x' END AS note FROM generate_series(1, 28) AS g"
)


@pytest.fixture(scope="module")
def sales(
    postgresql: Postgresql, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Asked, Postgresql]]:
    folder = tmp_path_factory.mktemp("sales")
    with asking_orders(postgresql, folder, PROGRAM, COLUMNS) as asked:
        yield asked, postgresql


def asked_of(server: Postgresql, mark: int) -> list[str]:
    """The statements that read the table."""
    return [s.text for s in server.statements(mark) if "FROM orders" in s.text and "WHERE" in s.text]


def bound(server: Postgresql, mark: int) -> list[str]:
    """The values that were bound to statements, as the server writes them: the connector sends them ahead,
    since COPY takes none."""
    sent = [s.parameters for s in server.statements(mark) if "set_config" in s.text]
    return [
        value for text in sent for value in re.findall(r"\$\d+ = 'heddle\.p\d+', \$\d+ = ('[^']*')", text)
    ]


def test_the_database_gets_the_value_and_the_filter(sales: tuple[Asked, Postgresql]) -> None:
    asked, server = sales
    text = "select id from Sales.large(since => $1) where customer = $2 order by id"
    mark = server.mark()
    assert asked.rows(text, "2026-01-20", 3) == [{"id": 23}, {"id": 28}]
    (statement,) = asked_of(server, mark)
    assert '"customer" = 3' in statement
    assert "> 10.0e0" in statement
    assert "2026-01-20" not in statement
    assert bound(server, mark) == ["'2026-01-20'"]
    plan = asked.plan(text, "2026-01-20", 3)
    assert "day >= @since::date" in plan
    assert '"customer" = 3' in plan
    assert "2026-01-20" not in plan


def test_what_is_given_is_bound_and_no_part_of_the_text(sales: tuple[Asked, Postgresql]) -> None:
    asked, server = sales
    mark = server.mark()
    assert asked.rows("select id from noted(word => 'it''s @since $1')") == [{"id": 7}]
    assert asked.rows("select id from noted(?)", "x'; DROP TABLE orders --") == []
    for statement in asked_of(server, mark):
        assert "it''s" not in statement
        assert "DROP" not in statement
    assert len(asked.rows("select id from noted")) == 27


def test_a_join_of_two_calls_is_one_statement_with_both_values(sales: tuple[Asked, Postgresql]) -> None:
    asked, server = sales
    text = (
        "select a.id, b.total from large(since => ?) a join since_day(since => ?) b on a.id = b.id "
        "where b.total < 36.0 order by a.id"
    )
    mark = server.mark()
    assert asked.rows(text, "2026-01-22", "2026-01-23") == [{"id": 23, "total": 34.5}]
    (statement,) = asked_of(server, mark)
    assert " INNER JOIN " in statement
    assert bound(server, mark) == ["'2026-01-22'", "'2026-01-23'"]
    assert asked.rows(text, "2026-01-23", "2026-01-22") == [{"id": 23, "total": 34.5}]
    assert asked.rows(text, "2026-01-22", "2026-01-22") == [
        {"id": 22, "total": 33.0},
        {"id": 23, "total": 34.5},
    ]


STEPS = """
from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="steps")


class Row(Table):
    total: float


class Out(Table):
    points: float


class Config(StepConfig):
    rate: float = 1.0


@plugin.step(name="score", rows="map", passthrough=True, deterministic=True)
def score(input: Row, config: Config) -> Out:
    import pyarrow.compute as pc

    return Out.from_arrow(input.to_arrow().select(["total"]).set_column(
        0, "points", pc.multiply(input.to_arrow()["total"], config.rate)))
"""
SCORED = """
import "./steps" steps

workflow Scored(rate: float) {
  io.parquet { path: "orders.parquet" }
    | steps.score { rate: "@rate" }
    > scored

  (from scored | group kind (aggregate { points = sum points }))
    > by_kind
}
"""


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("scored")
    (folder / "steps.py").write_text(STEPS)
    table = pa.table({"id": range(1, 101), "kind": ["a", "b"] * 50, "total": [float(i) for i in range(100)]})
    pq.write_table(table, folder / "orders.parquet")
    with asking(folder, {"scored.he": SCORED}, result_cache_bytes=1 << 24) as asked:
        yield asked


def test_a_step_is_called_with_the_value(scored: Asked) -> None:
    text = "select points from scored(rate => ?) where id = 11"
    for rate in (2, 3.5, 2, 0):
        assert scored.rows(text, rate) == [{"points": 10.0 * rate}]
    text = "select a.points, b.points as more from scored(2) a join scored(rate => ?) b on a.id = b.id"
    assert scored.rows(f"{text} where a.id = 11", 3) == [{"points": 20.0, "more": 30.0}]


def test_the_scan_gets_the_filter(scored: Asked) -> None:
    plan = scored.plan("select points from scored(rate => 2) where id = 11")
    assert "predicate=id@0 = 11" in plan
    plan = scored.plan("select points from scored(rate => 2) where points > 11")
    assert "predicate" not in plan


def test_kept_results_are_those_of_their_values(scored: Asked) -> None:
    text = "select sum(points) as points from by_kind(rate => ?)"
    for rate in (1, 2, 1, 2):
        assert scored.rows(text, rate) == [{"points": 4950.0 * rate}]
