"""Views over a database: what a client filters and counts is done by the database, in its own statement."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heddle.database.errors import QueryError
from tests.database.asking import Asked, asking_orders
from tests.services.postgresql import Postgresql

PROGRAM = """
import "fhub/postgresql" postgresql

resource db = postgresql.connection { host: "HOST", port: PORT, database: "DATABASE", user: "postgres" }

workflow Sales {
  <connection=db> postgresql.table { table: "orders" }
    > orders

  (from orders | filter total > 10 | select {id, customer, total})
    > large
}
"""
COLUMNS = (
    "g::int8 AS id, (g % 5)::int8 AS customer, g * 1.5::float8 AS total, 'x' AS unused "
    "FROM generate_series(1, 100) AS g"
)


@pytest.fixture(scope="module")
def sales(
    postgresql: Postgresql, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Asked, Postgresql]]:
    folder = tmp_path_factory.mktemp("sales")
    with asking_orders(postgresql, folder, PROGRAM, COLUMNS) as asked:
        yield asked, postgresql


def test_a_clients_filter_is_in_the_databases_statement(sales: tuple[Asked, Postgresql]) -> None:
    asked, server = sales
    mark = server.mark()
    assert asked.rows("select id from large where customer = 3 and total < 30.0 order by id") == [
        {"id": 8},
        {"id": 13},
        {"id": 18},
    ]
    (statement,) = [s.text for s in server.statements(mark) if '"orders"' in s.text and "WHERE" in s.text]
    assert '"customer" = 3' in statement
    assert "< 30.0e0" in statement
    assert "> 10.0e0" in statement
    assert '"unused"' not in statement
    plan = asked.plan("select id from large where customer = 3 and total < 30.0")
    assert '"customer" = 3' in plan


def test_a_clients_value_is_in_it_too(sales: tuple[Asked, Postgresql]) -> None:
    asked, server = sales
    mark = server.mark()
    assert asked.rows("select total from Sales.orders where id = ?", 7) == [{"total": 10.5}]
    (statement,) = [s.text for s in server.statements(mark) if '"orders"' in s.text and "WHERE" in s.text]
    assert '"id" = 7' in statement


def test_a_count_is_the_databases(sales: tuple[Asked, Postgresql]) -> None:
    asked, server = sales
    mark = server.mark()
    text = "select customer, count(*) as n from large group by customer order by customer"
    assert [row["n"] for row in asked.rows(text)] == [19, 18, 19, 19, 19]
    assert any("GROUP BY" in s.text for s in server.statements(mark)), asked.plan(text)


def test_what_databases_would_compare_in_another_way_stays_here(sales: tuple[Asked, Postgresql]) -> None:
    asked, server = sales
    mark = server.mark()
    text = "select count(*) as n from Sales.orders where coalesce(nullif(unused, 'x'), '12') > 7"
    assert asked.rows(text) == [{"n": 100}]
    with pytest.raises(QueryError, match="'x' is not a value of type Int64"):
        asked.rows("select count(*) as n from Sales.orders where unused <> 7")
    assert not any("count" in s.text.lower() for s in server.statements(mark))
