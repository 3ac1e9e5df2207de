"""A name and a password, or a token, as each client sends them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import pytest

from heddle.flightsql.security.tokens import new_token
from heddle.flightsql.security.users_file import UserEntry, change_users
from tests.flightsql.clients import jdbc_tasks, shop
from tests.flightsql.clients.jdbc import VERSIONS, JdbcDriver, JdbcError
from tests.flightsql.clients.test_go import go
from tests.flightsql.clients.test_superset import superset
from tests.flightsql.security.guarded import HASH, PASSWORD
from tests.services.heddle_serve import HeddleServe

TOKEN, ENTRY = new_token(None)
SETTINGS = """\
[serve]
users_file = "users.toml"

[serve.role.reader]
sees = ["Shop.*"]
"""
TEXT = "SELECT name FROM Shop.customers WHERE id = 1"
BEARER = "adbc.flight.sql.authorization_header"


def write(folder: Path) -> None:
    shop.write(folder)
    (folder / "heddle.toml").write_text(SETTINGS)

    def change(known: dict[str, UserEntry]) -> None:
        known["ada"] = UserEntry("ada", HASH, ("reader",), (ENTRY,))

    change_users(folder / "users.toml", change)


@pytest.fixture(scope="module")
def guarded() -> Iterator[HeddleServe]:
    with HeddleServe(write) as server:
        yield server


@pytest.fixture
def uri(guarded: HeddleServe) -> str:
    return guarded.uri


@pytest.fixture(scope="module")
def jdbc() -> Iterator[JdbcDriver]:
    with JdbcDriver(VERSIONS[-1]) as driver:
        yield driver


@pytest.mark.parametrize(
    "settings",
    [{"username": "ada", "password": PASSWORD}, {BEARER: f"Bearer {TOKEN}"}],
    ids=["password", "token"],
)
def test_adbc(uri: str, settings: dict[str, str]) -> None:
    with flightsql.connect(uri, db_kwargs=settings) as connection, connection.cursor() as cursor:
        cursor.execute(TEXT)
        assert cursor.fetchall() == [("Ada",)]


def test_adbc_is_refused(uri: str) -> None:
    wrong = {"username": "ada", "password": "wrong"}
    with pytest.raises(adbc_driver_manager.Error, match="password is wrong"):
        flightsql.connect(uri, db_kwargs=wrong)


@pytest.mark.parametrize(
    "settings", [{"user": "ada", "password": PASSWORD}, {"token": TOKEN}], ids=["password", "token"]
)
def test_jdbc(jdbc: JdbcDriver, address: str, settings: dict[str, str]) -> None:
    found = jdbc.ask(
        jdbc_tasks.query, f"jdbc:arrow-flight-sql://{address}", {"useEncryption": "false", **settings}, TEXT
    )
    assert found == [{"name": "Ada"}]


@pytest.mark.parametrize("settings", [{"user": "ada", "password": "wrong"}, {}], ids=["wrong", "none"])
def test_jdbc_is_refused(jdbc: JdbcDriver, address: str, settings: dict[str, str]) -> None:
    with pytest.raises(JdbcError, match="password"):
        jdbc.ask(
            jdbc_tasks.query,
            f"jdbc:arrow-flight-sql://{address}",
            {"useEncryption": "false", **settings},
            TEXT,
        )


def test_go(address: str) -> None:
    assert go(address, "query", TEXT, HEDDLE_LOGIN=f"ada:{PASSWORD}")["rows"] == [["Ada"]]
    assert go(address, "query", TEXT, HEDDLE_TOKEN=TOKEN)["rows"] == [["Ada"]]
    assert "Unauthenticated" in go(address, "query", TEXT)["error"]


def test_superset(address: str) -> None:
    found = superset(f"ada:{quote(PASSWORD)}@{address}")
    assert found["tables"] == ["customers", "numbers", "orders"]
    assert found["bound"] == [["Grace"]]
