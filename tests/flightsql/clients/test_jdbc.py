"""Arrow's JDBC driver, in several versions: what DBeaver, Tableau and Metabase do with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flightsql.clients import jdbc_tasks as tasks
from tests.flightsql.clients import keyed
from tests.flightsql.clients.jdbc import NEWEST, VERSIONS, JdbcDriver, JdbcError
from tests.flightsql.clients.shop import LONG

PLAIN = {"useEncryption": "false"}


@pytest.fixture(scope="module", params=[*VERSIONS, NEWEST])
def jdbc(request: pytest.FixtureRequest) -> Iterator[JdbcDriver]:
    with JdbcDriver(request.param) as driver:
        yield driver


@pytest.fixture
def url(address: str) -> str:
    return f"jdbc:arrow-flight-sql://{address}"


def test_query(jdbc: JdbcDriver, url: str) -> None:
    found = jdbc.ask(tasks.query, url, PLAIN, "SELECT id, name FROM Shop.customers ORDER BY id")
    assert found == [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Grace"}, {"id": "3", "name": "Edsger"}]


def test_parameters(jdbc: JdbcDriver, url: str) -> None:
    text = "SELECT name FROM Shop.customers WHERE id >= ? AND country = ? ORDER BY id"
    assert jdbc.ask(tasks.query, url, PLAIN, text, (1, "US")) == [{"name": "Grace"}]
    assert jdbc.ask(tasks.query, url, PLAIN, text, (1, None)) == []
    text = "SELECT count(*) AS n FROM Shop.orders WHERE amount > ?"
    assert jdbc.ask(tasks.query, url, PLAIN, text, (10.0,)) == [{"n": "2"}]


def test_metadata(jdbc: JdbcDriver, url: str) -> None:
    found = jdbc.ask(tasks.metadata, url, PLAIN, "Shop", "customers")
    assert found["catalogs"] == [{"TABLE_CAT": "heddle"}]
    assert "Shop" in {row["TABLE_SCHEM"] for row in found["schemas"]}
    assert "VIEW" in {row["TABLE_TYPE"] for row in found["table_types"]}
    assert [row["TABLE_NAME"] for row in found["tables"]] == ["customers", "numbers", "orders"]
    assert found["views"] == found["tables"]
    assert [(row["COLUMN_NAME"], row["ORDINAL_POSITION"]) for row in found["columns"]] == [
        ("id", "1"),
        ("name", "2"),
        ("country", "3"),
    ]
    assert [row["TYPE_NAME"] for row in found["columns"]] == ["BIGINT", "VARCHAR", "VARCHAR"]


def test_keys(jdbc: JdbcDriver, url: str) -> None:
    found = jdbc.ask(tasks.keys, url, PLAIN, "Keyed", "parents", "children")
    primary = [(row["COLUMN_NAME"], int(row["KEY_SEQ"] or 0), row["PK_NAME"]) for row in found["primary"]]
    assert primary == keyed.PARENT_KEY
    names = (
        "PKTABLE_NAME",
        "PKCOLUMN_NAME",
        "FKTABLE_NAME",
        "FKCOLUMN_NAME",
        "KEY_SEQ",
        "FK_NAME",
        "PK_NAME",
    )
    foreign = {
        kind: [tuple(int(row[n] or 0) if n == "KEY_SEQ" else row[n] for n in names) for row in found[kind]]
        for kind in ("imported", "exported", "crossed")
    }
    assert foreign == {
        "imported": [*keyed.TO_CHILDREN, *keyed.TO_PARENTS],
        "exported": keyed.TO_PARENTS,
        "crossed": keyed.TO_PARENTS,
    }
    rules = {(row["UPDATE_RULE"], row["DELETE_RULE"]) for row in found["imported"]}
    assert rules == {("3", "3")}, "no action: keys are declared, and not enforced"


def test_every_property_is_known(jdbc: JdbcDriver, url: str) -> None:
    """The driver fails on a fact that the server does not tell, or tells in another type."""
    found = jdbc.ask(tasks.properties, url, PLAIN)
    assert {name: value for name, value in found.items() if value.startswith("failed")} == {}
    assert found["getDatabaseProductName"] == "Heddle"
    assert found["getIdentifierQuoteString"] == '"'
    assert found["getSearchStringEscape"] == "\\"
    assert len(found) > 100


def test_columns(jdbc: JdbcDriver, url: str) -> None:
    found = jdbc.ask(tasks.columns, url, PLAIN, "SELECT id, name, 1.5 AS number FROM Shop.customers")
    assert found == [("id", "BIGINT", -5), ("name", "VARCHAR", 12), ("number", "DOUBLE", 8)]


SHOWN = {
    "nothing": (None, None),
    "truth": ("True", "False"),
    "int8": ("-128", "127"),
    "int16": ("-32768", "32767"),
    "int32": (str(-(2**31)), str(2**31 - 1)),
    "int64": (str(-(2**63)), str(2**63 - 1)),
    "float16": ("1.5", "65504.0"),
    "float64": ("-1.7976931348623157e+308", "5e-324"),
    "text": ("", "grüße 🎈"),
    "large_text": ("", "x" * 1000),
    "text_view": ("short", "longer than twelve bytes"),
    "bytes": ("", bytes(range(256)).hex()),
    "bytes_view": ("00", b"longer than twelve bytes".hex()),
    "fixed_bytes": ("00000000", "ffffffff"),
    "price": ("-999.99", "0.01"),
    "decimal_38": ("9" * 38, "-1"),
    "kind": ("a", "b"),
}


def test_every_type(jdbc: JdbcDriver, url: str) -> None:
    """Values as the driver shows them."""
    names = ", ".join(SHOWN)
    found = jdbc.ask(tasks.query, url, PLAIN, f"SELECT {names} FROM Types.everything")
    assert found[2] == dict.fromkeys(SHOWN)
    assert {name: (found[0][name], found[1][name]) for name in SHOWN} == SHOWN


READABLE = (
    *("uint8", "uint16", "uint32", "uint64"),  # whose upper half the driver shows as negative numbers
    *(
        "day",
        "day_ms",
        "time_s",
        "time_ms",
        "time_us",
        "time_ns",
        "stamp_s",
        "stamp_ms",
        "stamp_us",
        "stamp_ns",
    ),
    *("instant", "instant_berlin", "span", "decimal_76", "items", "two_items", "pair", "by_key", "nested"),
    *("large_bytes", "large_items", "float32", "interval"),
)


def test_values_that_java_shows_its_own_way(jdbc: JdbcDriver, url: str) -> None:
    for name in READABLE:
        found = jdbc.ask(tasks.query, url, PLAIN, f"SELECT {name} FROM Types.everything")
        assert [row[name] is None for row in found] == [False, False, True], name


def test_updates(jdbc: JdbcDriver, url: str, table: str) -> None:
    place = f"scratch.{table}"
    made = jdbc.ask(
        tasks.update,
        url,
        PLAIN,
        f"CREATE TABLE {place} (id BIGINT, name VARCHAR)",
        f"INSERT INTO {place} VALUES (1, 'a'), (2, 'b')",
    )
    assert made[1] == 2
    many = jdbc.ask(
        tasks.insert_many, url, PLAIN, f"INSERT INTO {place} VALUES (?, ?)", ((3, "c"), (4, None))
    )
    assert sum(many) == 2
    found = jdbc.ask(tasks.query, url, PLAIN, f"SELECT id, name FROM {place} ORDER BY id")
    assert [(row["id"], row["name"]) for row in found] == [("1", "a"), ("2", "b"), ("3", "c"), ("4", None)]


def test_cancel(jdbc: JdbcDriver, url: str) -> None:
    assert jdbc.ask(tasks.cancel, url, PLAIN, LONG).startswith("failed")


@pytest.mark.parametrize(
    ("text", "word"),
    [("SELEC 1", "read"), ("SELECT * FROM nowhere", "nowhere"), ("SELECT nme FROM Shop.customers", "nme")],
)
def test_what_is_wrong_is_said(jdbc: JdbcDriver, url: str, text: str, word: str) -> None:
    with pytest.raises(JdbcError, match=word):
        jdbc.ask(tasks.query, url, PLAIN, text)


def test_a_catalog_in_the_address(jdbc: JdbcDriver, url: str) -> None:
    found = jdbc.ask(tasks.query, f"{url}/?catalog=heddle", PLAIN, "SELECT count(*) AS n FROM Shop.customers")
    assert found == [{"n": "3"}]


def test_settings_that_it_does_not_know_go_out_as_headers(jdbc: JdbcDriver, url: str) -> None:
    """Metabase and others write more into the address than the server reads."""
    settings = {**PLAIN, "applicationName": "tests", "note": "x" * 6000}
    assert jdbc.ask(tasks.query, url, settings, "SELECT 1 AS one") == [{"one": "1"}]
