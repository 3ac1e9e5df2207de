"""Tables that take values, through ADBC's driver and `heddle sql`: a real `heddle serve`, another process."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import pyarrow as pa
import pytest

from tests.database import days
from tests.repl.conftest import Sql, folder, sql
from tests.services.heddle_serve import HeddleServe

__all__ = ["folder", "sql"]


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with HeddleServe(days.write) as server:
        yield server.uri


@pytest.fixture
def cursor(uri: str) -> Iterator[flightsql.Cursor]:
    with flightsql.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        yield cursor


def test_values_are_bound_as_the_types_that_the_table_takes(cursor: flightsql.Cursor) -> None:
    text = "SELECT o.id FROM Days.orders_since(since => ?, until => ?) o WHERE o.id > ? ORDER BY id"
    wanted = cursor.adbc_prepare(text)
    assert wanted is not None
    assert wanted.types == [pa.date32(), pa.date32(), pa.int64()]
    cursor.execute(text, (datetime.date(2026, 1, 5), datetime.date(2026, 1, 9), 7))
    assert cursor.fetchall() == [(8,), (9,)]
    cursor.execute(text, ("2026-01-18", None, 0))
    assert cursor.fetchall() == []
    cursor.execute("SELECT count(*) AS n FROM orders_since(since => '2026-01-18')")
    assert cursor.fetchall() == [(3,)]


def test_each_set_of_values_has_its_own_rows(cursor: flightsql.Cursor) -> None:
    cursor.executemany("CREATE TABLE IF NOT EXISTS many AS SELECT id FROM large(since => '2026-01-20')", [()])
    cursor.executemany(
        "INSERT INTO many SELECT id FROM Days.large(since => $1, until => $1)",
        [(datetime.date(2026, 1, day),) for day in (4, 6, 8)],
    )
    cursor.execute("SELECT id FROM many ORDER BY id")
    assert cursor.fetchall() == [(4,), (6,), (8,), (20,)]


def test_the_catalog_has_their_columns(cursor: flightsql.Cursor) -> None:
    connection = cursor.connection
    (catalog,) = connection.adbc_get_objects(depth="all", db_schema_filter="Days").read_all().to_pylist()
    (schema,) = catalog["catalog_db_schemas"]
    tables = {table["table_name"]: table for table in schema["db_schema_tables"]}
    assert [column["column_name"] for column in tables["orders_since"]["table_columns"]] == [
        "id",
        "day",
        "amount",
    ]
    assert connection.adbc_get_table_schema("per_day", db_schema_filter="Days").names == ["day", "n", "total"]
    cursor.execute(
        'SELECT parameter, type, required FROM system.table_parameters WHERE "table" = ? ORDER BY position',
        ("large",),
    )
    assert cursor.fetchall() == [("since", "date", True), ("until", "date", False)]


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        (
            "SELECT * FROM Days.large",
            (),
            r"needs a value for its parameter `since`.*Days\.large\(since => …\)",
        ),
        ("SELECT * FROM large(since => ?)", ("soon",), "the value given for `since` is no date"),
        ("SELECT * FROM large(sinc => ?)", ("2026-01-01",), "did you mean `since`"),
    ],
)
def test_what_is_wrong_is_said(
    cursor: flightsql.Cursor, text: str, values: tuple[object, ...], message: str
) -> None:
    with pytest.raises(adbc_driver_manager.Error, match=f"(?s)INVALID_ARGUMENT.*{message}"):
        cursor.execute(text, values)
        cursor.fetchall()


def test_a_session_gives_values_and_tells_what_is_taken(sql: Sql, uri: str) -> None:
    done = sql(
        uri,
        *("--format", "csv"),
        *("-c", "\\param since 2026-01-19"),
        *("-c", "select id from orders_since(since => $since) order by id"),
    )
    assert (done.stdout, done.returncode) == ("id\n19\n20\n", 0), done.stderr
    described = sql(uri, "-c", "\\d orders_since")
    assert described.stdout.splitlines()[-3:] == [
        "view heddle.Days.orders_since",
        "parameter since: date, must be given",
        "parameter until: date, may be left out",
    ], described.stderr
    failed = sql(uri, "-c", "select * from orders_since")
    assert failed.returncode != 0
    assert "needs a value for its parameter `since`" in failed.stderr
    assert "such as Days.orders_since(since => …)" in failed.stderr
