"""Lookups against PostgreSQL: what the server was asked, in its own log, and the rows that come of it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.physical.events import StageLogged
from tests.engine.harness import Ran, run
from tests.services.postgresql import HOST, Postgresql

HEAD = """\
import "fhub/postgresql" pg

resource db = pg.connection {{
  host: "{host}",
  port: {port},
  database: "{database}"
}}

step person = <connection=db> pg.query {{
  query: "SELECT id AS person_id, name, note FROM people WHERE id = @person_id"
  schema: {{ person_id: "int", name: "string?", note: "string?" }}
}}

step pair = <connection=db> pg.query {{
  query: "SELECT id, note, name FROM people WHERE id = @id AND note = @note AND name <> @unwanted"
  schema: {{ id: "int", note: "string?", name: "string?" }}
}}

step people = <connection=db> pg.table {{ table: "people" }}

step words = <connection=db> pg.table {{ table: "words" }}

workflow W {{
{statements}
}}
"""


class Database:
    """A database with 10,000 people; what a program asks of it is what `asked` gives."""

    def __init__(self, server: Postgresql, folder: Path) -> None:
        self.server = server
        self.name = server.create_database()
        self._folder = folder
        self.execute(
            "CREATE TABLE people AS SELECT i::bigint AS id, 'p' || i AS name, 'x' AS note "
            "FROM generate_series(1, 10000) AS i",
            "ALTER TABLE people ADD PRIMARY KEY (id)",
            r"""INSERT INTO people VALUES (-1, 'it''s "odd" \ ☕', 'x')""",
            "ANALYZE people",
        )
        self._mark = 0

    def execute(self, *statements: str) -> None:
        from adbc_driver_postgresql import dbapi

        with (
            dbapi.connect(self.server.uri(self.name), autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)

    def run(self, statements: str, **options: object) -> Ran:
        path = self._folder / "main.he"
        text = textwrap.indent(textwrap.dedent(statements), "  ")
        path.write_text(HEAD.format(host=HOST, port=self.server.port, database=self.name, statements=text))
        self._mark = self.server.mark()
        ran = run(path, ("found",), **options)
        assert ran.result.error is None, ran.result.error
        return ran

    def asked(self) -> list[str]:
        """The statements that asked for rows of `people`."""
        texts = [statement.text for statement in self.server.statements(self._mark)]
        return [
            t for t in texts if "people" in t and "pg_catalog.pg_" not in t and not t.startswith("EXPLAIN")
        ]


@pytest.fixture
def database(postgresql: Postgresql, tmp_path: Path) -> Database:
    return Database(postgresql, tmp_path)


def rows(ran: Ran) -> list[tuple[object, ...]]:
    return sorted(tuple(row.values()) for row in ran.rows("found"))


def said(ran: Ran) -> list[str]:
    return [event.message for event in ran.events if isinstance(event, StageLogged)]


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A file with as many keys as a test says with `take`."""
    path = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"person_id": pa.array(range(1, 9001), pa.int64())}), path)
    return path


def test_one_statement_with_the_distinct_keys_and_the_columns_that_are_read(database: Database) -> None:
    ran = database.run(
        """
        [
          { n: 1, person_id: 7 }
          { n: 2, person_id: 7 }
          { n: 3, person_id: -1 }
          { n: 4, person_id: 0 }
          { n: 5, person_id: null }
        ]
          | (from input | join side:left person (==person_id) | select {n, name})
          > found
        """
    )
    odd = 'it\'s "odd" \\ ☕'
    assert rows(ran) == [(1, "p7"), (2, "p7"), (3, odd), (4, None), (5, None)]
    (statement,) = database.asked()
    assert "ANY(" in statement and "note" not in statement


def test_rows_are_looked_up_while_keys_are_few(database: Database, numbers: Path) -> None:
    ran = database.run(
        """
        io.parquet { path: "numbers.parquet" }
          | (from input | take 1000 | join person (==person_id) | aggregate {n = count name})
          > found
        """
    )
    assert rows(ran) == [(1000,)]
    assert ["ANY(" in statement for statement in database.asked()] == [True]


def test_all_rows_are_read_for_many_keys(database: Database, numbers: Path) -> None:
    text = """
        io.parquet { path: "numbers.parquet" }
          | (from input | join person (==person_id) | aggregate {n = count name})
          > found
        """
    ran = database.run(text)
    assert rows(ran) == [(9000,)]
    assert [("1 = 1" in statement, "ANY(" in statement) for statement in database.asked()] == [(True, False)]
    assert "more than 625 distinct keys, so all rows are read" in said(ran)
    assert rows(database.run(text, optimize=False)) == [(9000,)]
    assert all("ANY(" in statement for statement in database.asked())


def test_a_table_is_asked_only_for_the_keys_of_few_rows(database: Database) -> None:
    ran = database.run(
        """
        [{ n: 1, id: 7 }, { n: 2, id: 7 }, { n: 3, id: 20000 }]
          | (from input | join side:left p=people (input.id == p.id) | select {n, p.name})
          > found
        """
    )
    assert rows(ran) == [(1, "p7"), (2, "p7"), (3, None)]
    (statement,) = database.asked()
    assert "ANY(" in statement


def test_a_table_is_read_for_many_rows(database: Database, numbers: Path) -> None:
    ran = database.run(
        """
        io.parquet { path: "numbers.parquet" }
          | (from input | join p=people (input.person_id == p.id) | aggregate {n = count p.name})
          > found
        """
    )
    assert rows(ran) == [(9000,)]
    assert not any("ANY(" in statement for statement in database.asked())


def test_nothing_is_read_of_a_table_for_no_rows(database: Database, numbers: Path) -> None:
    ran = database.run(
        """
        io.parquet { path: "numbers.parquet" }
          | (from input | filter person_id < 0 | join p=people (input.person_id == p.id) | select {p.name})
          > found
        """
    )
    assert rows(ran) == []
    assert database.asked() == []


def test_texts_that_only_the_service_takes_for_equal(database: Database) -> None:
    """Under this collation all letters are equal to their capitals."""
    database.execute(
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TABLE words (people text COLLATE loose, n int)",
        "INSERT INTO words SELECT 'w' || i, i FROM generate_series(1, 1000) AS i",
        "INSERT INTO words VALUES ('Ann', -1), ('ANN', -2)",
        "ANALYZE words",
    )
    ran = database.run(
        """
        [{ word: "Ann" }, { word: "ANN" }, { word: "w5" }]
          | (from input | join w=words (input.word == w.people) | select {input.word, w.n})
          > found
        """
    )
    assert rows(ran) == [("ANN", -2), ("Ann", -1), ("w5", 5)]
    assert any("ANY(" in statement for statement in database.asked())


def test_tuples_of_two_values_and_one_of_the_run(database: Database) -> None:
    ran = database.run(
        """
        [
          { n: 1, id: 7, note: "x" }
          { n: 2, id: 7, note: "'); DROP TABLE people; --" }
          { n: 3, id: 8, note: "x" }
          { n: 4, id: 9, note: "x" }
        ]
          | (from input | join side:left p=pair (input.id == p.id) | select {n, p.name})
          > found
        """,
        params={"unwanted": "p9"},
    )
    assert rows(ran) == [(1, "p7"), (2, None), (3, "p8"), (4, None)]
    assert len(database.asked()) == 1


def test_piped_rows_ask_once_a_batch(database: Database, numbers: Path) -> None:
    ran = database.run(
        """
        io.parquet { path: "numbers.parquet" }
          | (from input | take 700)
          | person
          | (from input | aggregate {n = count name, last = max person_id})
          > found
        """,
        batch_rows=500,
    )
    assert rows(ran) == [(700, 700)]
    assert ["ANY(" in statement for statement in database.asked()] == [True, True]


def test_texts_that_are_no_value_of_the_column(database: Database) -> None:
    """A `uuid` arrives as a text, and not every text is one."""
    database.execute(
        "CREATE TABLE words (people uuid PRIMARY KEY, n int)",
        "INSERT INTO words SELECT gen_random_uuid(), i FROM generate_series(1, 1000) AS i",
        "INSERT INTO words VALUES ('0a52730597fb4ffaa01117d9e71e3a94', -1)",
        "ANALYZE words",
    )
    ran = database.run(
        """
        [{ word: "none" }, { word: "0a527305-97fb-4ffa-a011-17d9e71e3a94" }]
          | (from input | join w=words (input.word == w.people) | select {w.n})
          > found
        """
    )
    assert rows(ran) == [(-1,)]
    assert any("ANY(" in statement for statement in database.asked())
