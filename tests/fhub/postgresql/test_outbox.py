"""The outbox, and writers that share a transaction."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

import fhub.postgresql as pg
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.settings import InsertConfig, OutboxConfig
from heddle.sdk import StepContext, Writer
from tests.fhub.postgresql.database import Database, put, write


@pytest.fixture
def orders(database: Database) -> Database:
    database.run(
        "DROP TABLE IF EXISTS orders, outbox", "CREATE TABLE orders (id int PRIMARY KEY, total numeric)"
    )
    return database


def outbox(database: Database, **settings: Any) -> Writer:
    config = OutboxConfig(**{"topic": "orders", "create": True, **settings}, resource=database.resource)
    return pg.outbox(config, StepContext(run_id="r"))


def insert(database: Database, run: str = "r") -> Writer:
    config = InsertConfig(table="orders", transaction="orders", resource=database.resource)
    return pg.insert(config, StepContext(run_id=run))


def test_each_row_is_an_event(orders: Database) -> None:
    at = dt.datetime(2024, 5, 31, tzinfo=dt.UTC)
    rows = {
        "id": [2, 1],
        "total": [Decimal("1.50"), None],
        "note": ["'); DROP TABLE orders; --", "é"],
        "at": [at, at],
    }
    write(outbox(orders, key="id"), rows)
    write(outbox(orders, topic="it's", columns=["id"]), {"id": [3], "x": [True]})
    moment = "2024-05-31T00:00:00+00:00"
    assert orders.rows("SELECT id, topic, key, payload FROM outbox ORDER BY id") == [
        {
            "id": 1,
            "topic": "orders",
            "key": "2",
            "payload": {"id": 2, "total": 1.5, "note": "'); DROP TABLE orders; --", "at": moment},
        },
        {
            "id": 2,
            "topic": "orders",
            "key": "1",
            "payload": {"id": 1, "total": None, "note": "é", "at": moment},
        },
        {"id": 3, "topic": "it's", "key": None, "payload": {"id": 3}},
    ]
    assert orders.rows("SELECT count(*) AS n FROM outbox WHERE created_at > now() - interval '1 hour'") == [
        {"n": 3}
    ]


def test_names_with_quotes(orders: Database) -> None:
    orders.run('DROP TABLE IF EXISTS "my ""box"')
    write(outbox(orders, table='"my ""box"', key='a "b'), {'a "b': ["x"]})
    assert orders.rows('SELECT key, payload FROM "my ""box"') == [{"key": "x", "payload": {'a "b': "x"}}]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"create": False}, "there is no table `outbox`"),
        ({"table": "orders", "create": False}, "is no outbox: it has no column `topic`"),
        ({"key": "nothing"}, "the input has no column `nothing`; it has id"),
        ({"columns": ["nothing"]}, "the input has no column `nothing`; it has id"),
        ({"table": "x'); DROP TABLE orders; --"}, "is not a valid identifier"),
    ],
)
def test_what_is_wrong_is_said(orders: Database, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(PostgresqlError, match=said):
        put(outbox(orders, **settings), {"id": [1]})
    assert orders.rows("SELECT * FROM orders") == []


def test_writers_of_one_transaction_commit_together(orders: Database) -> None:
    writer, events = insert(orders), outbox(orders, transaction="orders")
    put(writer, {"id": [1]})
    put(events, {"id": [1]})
    assert orders.rows("SELECT * FROM orders") == []
    mark = orders.server.mark()
    writer.commit()
    events.commit()
    asked = [statement.text for statement in orders.server.statements(mark)]
    assert asked.count("COMMIT") == 1
    assert orders.rows("SELECT o.id FROM orders o JOIN outbox b ON b.payload = to_jsonb(o) - 'total'") == [
        {"id": 1}
    ]
    assert orders.resource.transactions == {}


def test_what_one_of_them_undoes_is_undone_for_all(orders: Database) -> None:
    writer, events = insert(orders), outbox(orders, transaction="orders", key="id")
    put(writer, {"id": [1]})
    with pytest.raises(PostgresqlError, match="no column `id`"):
        put(events, {"x": [1]})
    events.abort()
    with pytest.raises(PostgresqlError, match=r"the transaction was undone before: .*no column `id`"):
        put(writer, {"id": [2]})
    with pytest.raises(PostgresqlError, match="the transaction was undone before"):
        writer.commit()
    writer.abort()
    assert orders.rows("SELECT * FROM orders") == []
    assert orders.resource.transactions == {}


def test_each_run_has_its_own(orders: Database) -> None:
    one, other = insert(orders, "one"), insert(orders, "other")
    put(one, {"id": [1]})
    put(other, {"id": [2]})
    one.abort()
    other.commit()
    assert orders.rows("SELECT id FROM orders") == [{"id": 2}]
