"""Arrow's Go library, by its driver for database/sql and its own client."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from tests.flightsql.clients import every_type
from tests.flightsql.clients.shop import LONG
from tests.services.service import CACHE, ServiceMissing

PROGRAM = CACHE / "flightsql" / "go_client"
PATIENCE_S = 90


def go(address: str, *task: str, **environ: str) -> Any:
    if not PROGRAM.exists():
        raise ServiceMissing("the Go client of Flight SQL")
    done = subprocess.run(
        [PROGRAM, address, *task],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
        env={**os.environ, **environ},
    )
    return json.loads(done.stdout)


def test_queries(address: str) -> None:
    found = go(address, "query", "SELECT id, name, country FROM Shop.customers ORDER BY id")
    assert found["columns"] == ["id", "name", "country"]
    assert found["rows"] == [[1, "Ada", "DE"], [2, "Grace", "US"], [3, "Edsger", "NL"]]


def test_parameters(address: str) -> None:
    text = "SELECT name FROM Shop.customers WHERE id > ? AND country = ?"
    assert go(address, "query", text, "1", "NL")["rows"] == [["Edsger"]]


def test_metadata(address: str) -> None:
    found = go(address, "metadata", "orders")
    assert found["catalogs"] == [{"catalog_name": "heddle"}]
    assert {"catalog_name": "heddle", "db_schema_name": "Shop"} in found["schemas"]
    assert {"customers", "numbers", "orders"} <= {table["table_name"] for table in found["tables"]}
    assert {"table_type": "VIEW"} in found["table_types"]
    assert "BIGINT" in {type_["type_name"] for type_ in found["types"]}
    assert len(found["sql_info"]) > 50


READ = {
    "truth": (True, False),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "float64": (-1.7976931348623157e308, 5e-324),
    "text": ("", "grüße 🎈"),
    "bytes_view": ("AA==", "bG9uZ2VyIHRoYW4gdHdlbHZlIGJ5dGVz"),
    "day": ("0001-01-01", "9999-12-31"),
    "time_ms": ("00:00:00", "23:59:59.999"),
    "stamp_ns": ("1970-01-01T00:00:00", "2023-11-14T22:13:20.123456"),
    "instant_berlin": ("1970-01-01T01:00:00+01:00", "2023-11-14T23:13:20.123456+01:00"),
    "price": ("-999.99", "0.01"),
    "decimal_76": ("9" * 76, "-1"),
    "items": ([], [1, None, 3]),
    "two_items": ([1, 2], [3, None]),
    "pair": ({"a": 1, "b": "x"}, {"a": None, "b": None}),
    "by_key": ([], [{"key": "k", "value": 1}, {"key": "l", "value": None}]),
    "kind": ("a", "b"),
    "nested": ([{"a": [1]}], []),
}


def test_every_type(address: str) -> None:
    """The library reads all of them; its driver for database/sql knows fewer."""
    found = go(address, "poll", "SELECT * FROM Types.everything")
    assert found[2] == dict.fromkeys(every_type.VALUES)
    assert {name: (found[0][name], found[1][name]) for name in READ} == READ


def test_types_of_database_sql(address: str) -> None:
    names = ("truth", "int64", "float64", "text", "stamp_us", "kind")
    rows = go(address, "query", f"SELECT {', '.join(names)} FROM Types.everything")["rows"]
    assert rows == [
        [True, -(2**63), -1.7976931348623157e308, "", "1970-01-01T00:00:00Z", "a"],
        [False, 2**63 - 1, 5e-324, "grüße 🎈", "2023-11-14T22:13:20.123456Z", "b"],
        [None] * len(names),
    ]


def test_cancel(address: str) -> None:
    found = go(address, "cancel", LONG)
    assert found["status"] in {"CANCEL_STATUS_CANCELLED", "CANCEL_STATUS_CANCELLING"}
    assert "Canceled" in found["stream"] or "NotFound" in found["stream"]


def test_poll(address: str) -> None:
    found = go(address, "poll", "SELECT count(*) AS n FROM Shop.numbers")
    assert found == [{"n": 200_000}]


def test_ingest(address: str, table: str) -> None:
    assert go(address, "ingest", table, "1000") == 1000
    found = go(address, "query", f"SELECT count(*) AS n, max(name) AS name FROM scratch.{table}")
    assert found["rows"] == [[1000, "name 999"]]
    assert table in go(address, "ingest", table, "1")["error"]


def test_transaction(address: str, table: str) -> None:
    go(address, "ingest", table, "3")
    change = f"DELETE FROM scratch.{table} WHERE id = 1"
    found = go(address, "transaction", change, f"SELECT count(*) AS n FROM scratch.{table}")
    assert found == {"changed": 1, "inside": [{"n": 2}], "after": [{"n": 3}]}


def test_what_is_wrong_is_said(address: str) -> None:
    assert "read" in go(address, "query", "SELEC")["error"]
    assert "nowhere" in go(address, "query", "SELECT * FROM nowhere")["error"]
