"""ADBC's Flight SQL driver, and what Python reads through it: pandas, Polars, DuckDB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import duckdb
import pandas
import polars
import pyarrow as pa
import pytest

from tests.flightsql.clients import every_type, keyed
from tests.flightsql.clients.shop import LONG

PATIENCE_S = 60.0


@pytest.fixture
def connection(uri: str) -> Iterator[flightsql.Connection]:
    with flightsql.connect(uri, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cursor(connection: flightsql.Connection) -> Iterator[flightsql.Cursor]:
    with connection.cursor() as cursor:
        yield cursor


def test_objects(connection: flightsql.Connection) -> None:
    (catalog,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    assert catalog["catalog_name"] == "heddle"
    schemas = {schema["db_schema_name"]: schema for schema in catalog["catalog_db_schemas"]}
    tables = {table["table_name"]: table for table in schemas["Shop"]["db_schema_tables"]}
    assert {"customers", "numbers", "orders"} <= tables.keys()
    assert tables["customers"]["table_type"] == "VIEW"
    columns = tables["customers"]["table_columns"]
    assert [(each["column_name"], each["xdbc_type_name"]) for each in columns] == [
        ("id", "BIGINT"),
        ("name", "VARCHAR"),
        ("country", "VARCHAR"),
    ]
    assert [each["ordinal_position"] for each in columns] == [1, 2, 3]


def test_keys(cursor: flightsql.Cursor) -> None:
    """The driver asks for none, so they are in the tables of the standard."""
    cursor.execute(
        "SELECT column_name, ordinal_position, constraint_name FROM information_schema.key_column_usage "
        "WHERE table_schema = 'Keyed' AND constraint_name = 'parents_pkey' ORDER BY ordinal_position"
    )
    assert cursor.fetchall() == keyed.PARENT_KEY


def test_objects_are_filtered(connection: flightsql.Connection) -> None:
    asked = connection.adbc_get_objects(
        depth="tables", catalog_filter="heddle", db_schema_filter="Shop", table_name_filter="ord%"
    )
    (catalog,) = asked.read_all().to_pylist()
    (schema,) = catalog["catalog_db_schemas"]
    assert [table["table_name"] for table in schema["db_schema_tables"]] == ["orders"]


def test_a_table_s_schema(connection: flightsql.Connection) -> None:
    found = connection.adbc_get_table_schema("orders", db_schema_filter="Shop")
    assert [(field.name, field.type) for field in found] == [
        ("id", pa.int64()),
        ("customer_id", pa.int64()),
        ("amount", pa.float64()),
    ]
    assert {"VIEW", "TABLE"} <= set(connection.adbc_get_table_types())


def test_facts(connection: flightsql.Connection) -> None:
    found = connection.adbc_get_info()
    assert found["vendor_name"] == "Heddle"
    assert found["vendor_version"]


def test_parameters(cursor: flightsql.Cursor) -> None:
    cursor.execute("SELECT name FROM Shop.customers WHERE id = ? OR country = ?", (1, "US"))
    assert sorted(cursor.fetchall()) == [("Ada",), ("Grace",)]
    cursor.execute("SELECT count(*) FROM Shop.customers WHERE name = ?", (None,))
    assert cursor.fetchone() == (0,)
    cursor.execute("SELECT sum(amount) FROM Shop.orders WHERE amount > ?", (Decimal("10.00"),))
    assert cursor.fetchone() == (111.5,)


def test_a_statement_is_prepared_once_for_many_values(cursor: flightsql.Cursor) -> None:
    text = "SELECT name FROM Shop.customers WHERE id = $1"
    cursor.adbc_prepare(text)
    for id_, name in ((1, "Ada"), (2, "Grace"), (3, "Edsger")):
        cursor.execute(text, (id_,))
        assert cursor.fetchall() == [(name,)]


def test_a_schema_without_a_run(cursor: flightsql.Cursor) -> None:
    found = cursor.adbc_execute_schema("SELECT id, name FROM Shop.customers")
    assert found.names == ["id", "name"]


def test_partitions(connection: flightsql.Connection) -> None:
    with connection.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions("SELECT v FROM Shop.numbers")
        assert schema is not None
        counted = 0
        for partition in partitions:
            cursor.adbc_read_partition(partition)
            counted += cursor.fetch_arrow_table().num_rows
    assert counted == 200_000


def test_many_rows_at_once(cursor: flightsql.Cursor, table: str) -> None:
    cursor.executemany(f"CREATE TABLE scratch.{table} (id BIGINT, name VARCHAR)", [()])
    cursor.executemany(f"INSERT INTO scratch.{table} VALUES (?, ?)", [(1, "a"), (2, None), (3, "c")])
    assert cursor.rowcount == 3
    cursor.execute(f"SELECT id, name FROM scratch.{table} ORDER BY id")
    assert cursor.fetchall() == [(1, "a"), (2, None), (3, "c")]


def test_ingest(connection: flightsql.Connection, table: str) -> None:
    rows = pa.table({"id": range(100_000), "name": [f"name {i}" for i in range(100_000)]})
    with connection.cursor() as cursor:
        assert cursor.adbc_ingest(table, rows, mode="create") == 100_000
        with pytest.raises(adbc_driver_manager.Error, match=table):
            cursor.adbc_ingest(table, rows, mode="create")
        assert cursor.adbc_ingest(table, rows.slice(0, 5), mode="append") == 5
        cursor.execute(f"SELECT count(*), count(DISTINCT name) FROM scratch.{table}")
        assert cursor.fetchone() == (100_005, 100_000)
        assert cursor.adbc_ingest(table, rows.slice(0, 2), mode="replace") == 2
        cursor.execute(f"SELECT * FROM scratch.{table} ORDER BY id")
        assert cursor.fetch_arrow_table().to_pydict() == {"id": [0, 1], "name": ["name 0", "name 1"]}


def test_ingest_of_every_type(cursor: flightsql.Cursor, table: str) -> None:
    given = every_type.everything()
    assert cursor.adbc_ingest(table, given, mode="create") == 3
    cursor.execute(f"SELECT * FROM scratch.{table}")
    found = cursor.fetch_arrow_table()
    assert found.to_pydict() == given.to_pydict()


@pytest.mark.parametrize(
    ("rows", "place", "word"),
    [
        (pa.table({"other": ["a"]}), {}, "no column `other`"),
        (pa.table({"id": ["no number"]}), {}, "id"),
        (pa.table({"id": [1]}), {"db_schema_name": "Shop"}, "cannot be changed"),
        (pa.table({"id": [1]}), {"catalog_name": "elsewhere"}, "elsewhere"),
        (pa.table({"id": [1]}), {"temporary": True}, "temporary"),
    ],
    ids=["column", "type", "schema", "catalog", "temporary"],
)
def test_rows_that_cannot_be_put(
    connection: flightsql.Connection, table: str, rows: pa.Table, place: dict[str, Any], word: str
) -> None:
    with connection.cursor() as cursor:
        cursor.adbc_ingest(table, pa.table({"id": [1, 2]}), mode="create")
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error, match=word):
        cursor.adbc_ingest(table, rows, mode="append", **place)
    assert count(connection, table) == 2


def test_transaction(uri: str, connection: flightsql.Connection, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.adbc_ingest(table, pa.table({"id": [1, 2, 3]}), mode="create")
    with flightsql.connect(uri) as other, other.cursor() as cursor:
        cursor.executemany(f"DELETE FROM scratch.{table} WHERE id > ?", [(1,)])
        cursor.execute(f"SELECT count(*) FROM scratch.{table}")
        assert cursor.fetchone() == (1,)
        assert count(connection, table) == 3
        other.rollback()
        assert count(other, table) == 3
        with other.cursor() as another:  # a statement belongs to the transaction that it was prepared in
            another.executemany(f"DELETE FROM scratch.{table} WHERE id > ?", [(2,)])
        other.commit()
    assert count(connection, table) == 2


def count(connection: flightsql.Connection, table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM scratch.{table}")
        found = cursor.fetchone()
        assert found is not None
        return int(found[0])


def test_options(uri: str) -> None:
    """A catalog and a schema of the connection, in which names are looked up."""
    with flightsql.connect(uri, autocommit=True) as connection:
        connection.adbc_current_db_schema = "Shop"
        assert (connection.adbc_current_catalog, connection.adbc_current_db_schema) == ("heddle", "Shop")
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM customers")
            assert cursor.fetchone() == (3,)
        with pytest.raises(adbc_driver_manager.Error):
            connection.adbc_current_db_schema = "nowhere"


def test_cancel(connection: flightsql.Connection) -> None:
    with connection.cursor() as cursor:
        said: list[str] = []
        reading = threading.Thread(target=run_until_failure, args=(cursor, said))
        reading.start()
        while reading.is_alive():
            cursor.adbc_cancel()
            reading.join(0.05)
    assert "cancel" in said[0].lower()


def run_until_failure(cursor: flightsql.Cursor, said: list[str]) -> None:
    try:
        cursor.execute(LONG)
        said.append(str(cursor.fetchall()))
    except adbc_driver_manager.Error as error:
        said.append(str(error))


@pytest.mark.parametrize(
    ("text", "word", "status"),
    [
        ("SELEC 1", "read", "INVALID_ARGUMENT"),
        ("SELECT * FROM nowhere", "nowhere", "NOT_FOUND"),
        ("SELECT nme FROM Shop.customers", "nme", "INVALID_ARGUMENT"),
        ("DELETE FROM Shop.customers", "customers", "UNAUTHORIZED"),
    ],
)
def test_what_is_wrong_is_said(cursor: flightsql.Cursor, text: str, word: str, status: str) -> None:
    with pytest.raises(adbc_driver_manager.Error, match=word) as caught:
        cursor.execute(text)
        cursor.fetchall()
    assert caught.value.status_code.name == status
    assert "Traceback" not in str(caught.value)


def test_every_type(cursor: flightsql.Cursor) -> None:
    cursor.execute("SELECT * FROM Types.everything")
    found, given = cursor.fetch_arrow_table(), every_type.everything()
    assert found.schema.names == given.schema.names
    for name in given.schema.names:
        expected = given[name]
        if plain := PLAIN.get(name):
            expected = expected.cast(plain)
        assert found.schema.field(name).type == expected.type
        assert found[name].to_pylist() == expected.to_pylist(), name


PLAIN = {
    "float16": pa.float32(),
    **dict.fromkeys(("large_text", "text_view", "kind"), pa.string()),
    **dict.fromkeys(("large_bytes", "bytes_view"), pa.binary()),
    "large_items": pa.list_(pa.string()),
}
"""What goes out where a client may not know a type."""


def test_a_schema_is_promised_as_it_comes(cursor: flightsql.Cursor) -> None:
    cursor.execute("SELECT * FROM Types.everything")
    reader = cursor.fetch_record_batch()
    assert reader.schema.equals(cursor.adbc_execute_schema("SELECT * FROM Types.everything"))


def test_values_as_parameters(cursor: flightsql.Cursor) -> None:
    """A value of each type that a client binds comes back as it went."""
    values = {name: value for name, (_, value, _) in every_type.VALUES.items() if name in BOUND}
    rows = every_type.everything().select(list(values)).slice(0, 1)
    cursor.execute("SELECT " + ", ".join(f"? AS {name}" for name in values), rows)
    assert cursor.fetch_arrow_table().to_pydict() == rows.to_pydict()


BOUND = (
    "truth",
    "int8",
    "int32",
    "int64",
    "uint64",
    "float32",
    "float64",
    "text",
    "bytes",
    "day",
    "instant",
    "price",
)


def test_pandas(connection: flightsql.Connection) -> None:
    found = pandas.read_sql("SELECT id, name FROM Shop.customers ORDER BY id", connection)
    assert found["name"].tolist() == ["Ada", "Grace", "Edsger"]


def test_polars(connection: flightsql.Connection, uri: str, table: str) -> None:
    found = polars.read_database("SELECT id, name FROM Shop.customers ORDER BY id", connection)
    assert found["name"].to_list() == ["Ada", "Grace", "Edsger"]
    assert found.write_database(f"scratch.{table}", connection, engine="adbc") == 3
    assert polars.read_database(f"SELECT count(*) AS n FROM scratch.{table}", connection)["n"].item() == 3


def test_duckdb(cursor: flightsql.Cursor) -> None:
    """It reads the stream while it comes."""
    cursor.execute("SELECT * FROM Shop.numbers")
    numbers = cursor.fetch_record_batch()
    assert duckdb.sql("SELECT k, count(*) AS n FROM numbers GROUP BY k ORDER BY k LIMIT 1").fetchall() == [
        (0, 20_000)
    ]
    assert numbers.schema.names == ["k", "v"]


def test_many_rows_are_divided_into_messages(cursor: flightsql.Cursor, table: str) -> None:
    """ADBC refuses messages of more than 16 MiB unless it is told otherwise."""
    rows = pa.table({"text": ["x" * 1_000_000] * 20})
    batches = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(4))
    cursor.adbc_ingest(table, batches, mode="create")
    cursor.execute(f"SELECT text FROM scratch.{table}")
    assert cursor.fetch_arrow_table().nbytes >= 20_000_000


def test_a_large_value(uri: str, table: str) -> None:
    size = {adbc_driver_flightsql.DatabaseOptions.WITH_MAX_MSG_SIZE.value: str(64 << 20)}
    with flightsql.connect(uri, db_kwargs=size, autocommit=True) as connection, connection.cursor() as cursor:
        value = "y" * (17 << 20)
        cursor.adbc_ingest(table, pa.table({"text": [value]}), mode="create")
        cursor.execute(f"SELECT text FROM scratch.{table} WHERE text = ?", (value,))
        assert cursor.fetchone() == (value,)
