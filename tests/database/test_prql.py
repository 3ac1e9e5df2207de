"""PRQL over a catalog: the language of programs, asked from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from heddle.database.database import Database
from heddle.database.errors import PlacedError, QueryError
from heddle.database.model import LOCAL, Settings
from tests.flightsql.clients import shop

PRQL = Settings(language="prql")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    program = shop.write(tmp_path_factory.mktemp("shop"))
    with Database.open([program], environ={}) as opened:
        yield opened


def rows(database: Database, text: str) -> list[dict[str, object]]:
    statement = database.prepare(text, LOCAL, PRQL)
    answer = statement.run()
    return pa.Table.from_batches(answer.batches(), schema=answer.schema).to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from customers | filter id > 2 | select name", [{"name": "Edsger"}]),
        ("from Shop.customers | take 1 | select !{country, id}", [{"name": "Ada"}]),
        ("# a comment\nfrom customers | aggregate {n = count this}", [{"n": 3}]),
        (
            "from orders\njoin customers (this.customer_id == that.id)\n"
            "group customers.name (aggregate {total = sum amount})\nsort {-total}",
            [{"name": "Grace", "total": 99.0}, {"name": "Ada", "total": 19.75}],
        ),
        (
            "from orders | filter id == 10 | select {half = amount / 2, whole = id // 4}",
            [{"half": 6.25, "whole": 2}],
        ),
    ],
)
def test_queries(database: Database, text: str, expected: list[dict[str, object]]) -> None:
    assert rows(database, text) == expected


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("from customer | take 1", "there is no table `customer`", "customer"),
        ("from customers | filter nam == 'x'", "there is no column `nam` here", "nam"),
        ("from customers | filtr id > 2", "there is no function or transform `filtr`", "filtr"),
        ("[{a = 1}]", "a query begins with a table", "["),
    ],
)
def test_refusals_have_a_place(database: Database, text: str, message: str, place: str) -> None:
    with pytest.raises(PlacedError) as caught:
        database.prepare(text, LOCAL, PRQL)
    assert caught.value.message == message
    assert text[caught.value.span.start : caught.value.span.end] == place


def test_sql_is_no_prql(database: Database) -> None:
    with pytest.raises(QueryError):
        database.prepare("select 1", LOCAL, PRQL)
