"""Tables: their columns, and reading them in parts of one snapshot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import fhub.postgresql as pg
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.settings import TableConfig
from fhub.postgresql.tables import read_table
from heddle.sdk import StepContext, Table
from tests.fhub.postgresql.database import Database
from tests.waiting import until

ROWS = 300_000


@pytest.fixture(scope="module")
def big(database: Database) -> Database:
    database.run(
        f"CREATE TABLE big AS SELECT i AS id, 'x' || i AS name FROM generate_series(1, {ROWS}) AS i",
        "ALTER TABLE big ALTER id SET NOT NULL",
        "CREATE VIEW seen AS SELECT * FROM big WHERE id <= 10",
        "CREATE TABLE none (id int, tags text[])",
        'CREATE SCHEMA "my ""own"',
        'CREATE TABLE "my ""own"."A.b" ("c ""d" int NOT NULL, "DROP" text)',
        """INSERT INTO "my ""own"."A.b" VALUES (1, 'x')""",
    )
    return database


def read(
    database: Database, table: str, *, columns: list[str] | None = None, partitions: int = 1
) -> pa.Table:
    tables = read_table(database.resource, table, columns, partitions, None, StepContext())
    return pa.concat_tables(table.to_arrow() for table in tables)


def row_of(database: Database, table: str, **settings: Any) -> pa.Schema:
    infer = pg.plugin.steps["table"].infer
    assert infer is not None
    found = infer(TableConfig(table=table, resource=database.resource, **settings))
    assert isinstance(found, pa.Schema)
    return found


def test_the_columns_of_a_table(big: Database) -> None:
    assert row_of(big, "big") == pa.schema(
        [pa.field("id", pa.int32(), nullable=False), ("name", pa.string())]
    )
    assert row_of(big, "public.seen", columns=["name"]) == pa.schema([("name", pa.string())])
    declared = row_of(big, "nothing", schema={"id": "int"})
    assert declared == pa.schema([pa.field("id", pa.int64(), nullable=False)])


def test_names_with_capitals_points_and_quotes(big: Database) -> None:
    found = read(big, '"my ""own"."A.b"', columns=["DROP", 'c "d'])
    assert found.to_pylist() == [{"DROP": "x", 'c "d': 1}]


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        ("nothing", None, "there is no table `nothing`"),
        ("A.b", None, "there is no table `A.b`"),
        ("big", ["id", "color"], 'the table "public"."big" has no column `color`; it has id, name'),
        ("big; DROP TABLE big", None, "invalid name syntax|no table"),
        ('big"', None, "invalid name syntax|no table"),
        ("a\0b", None, "no NUL characters"),
        ("big", ["a\0b"], "has no column"),
    ],
)
def test_what_is_not_there(big: Database, table: str, columns: list[str] | None, said: str) -> None:
    with pytest.raises(PostgresqlError, match=said):
        read(big, table, columns=columns)


def test_only_the_columns_that_are_expected_are_asked_for(big: Database) -> None:
    expected = StepContext(columns=pa.schema([pa.field("id", pa.int64(), nullable=False)]))
    mark = big.server.mark()
    tables = list(read_table(big.resource, "big", None, 1, None, expected))
    assert {table.to_arrow().schema for table in tables} == {expected.columns}
    assert sum(table.num_rows for table in tables) == ROWS
    assert 'SELECT "id" FROM "public"."big"' in big.server.statements(mark)[-1].text


def test_a_table_without_rows_has_its_columns(big: Database) -> None:
    assert read(big, "none").schema == pa.schema([("id", pa.int32()), ("tags", pa.list_(pa.string()))])


@pytest.mark.parametrize("partitions", [2, 5])
def test_parts_are_all_of_the_table(big: Database, partitions: int) -> None:
    mark = big.server.mark()
    found = read(big, "big", partitions=partitions)
    assert sorted(found["id"].to_pylist()) == list(range(1, ROWS + 1))
    copies = [s.text for s in big.server.statements(mark) if s.text.startswith("COPY") and "ctid" in s.text]
    assert len(copies) == partitions


def test_parts_are_of_one_snapshot(big: Database) -> None:
    big.run("CREATE TABLE moving AS SELECT * FROM big", "VACUUM moving")

    def tables() -> Iterator[Table]:
        return read_table(big.resource, "moving", None, 3, None, StepContext())

    reading = tables()
    first = next(reading)
    big.run("UPDATE moving SET id = -id WHERE id % 2 = 0", "DELETE FROM moving WHERE id % 3 = 0")
    found = pa.concat_tables([first.to_arrow(), *(table.to_arrow() for table in reading)])
    assert sorted(found["id"].to_pylist()) == list(range(1, ROWS + 1))


def test_what_has_no_blocks_is_read_in_one_part(big: Database) -> None:
    assert read(big, "seen", partitions=4).num_rows == 10
    assert read(big, "none", partitions=4).num_rows == 0
    with pytest.raises(PostgresqlError, match="`partitions` is 1 to 64, not 0"):
        read(big, "big", partitions=0)


@pytest.mark.parametrize("partitions", [1, 3])
def test_leaving_early_stops_the_server(big: Database, partitions: int) -> None:
    reading = read_table(big.resource, "big", None, partitions, None, StepContext())
    next(reading)
    reading.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heddle-postgresql")]
    running = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE state <> 'idle' AND query LIKE 'COPY%big%' "
        "AND pid <> pg_backend_pid()"
    )
    until(lambda: big.rows(running) == [{"n": 0}])
    assert read(big, "seen").num_rows == 10
