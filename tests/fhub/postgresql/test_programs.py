"""Programs that use PostgreSQL, from their text to what the server was asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.harness import Ran, run
from tests.fhub.postgresql.database import Database, opened
from tests.services.postgresql import Postgresql
from tests.services.service import HOST

HEAD = """\
import "fhub/postgresql" pg

resource db = pg.connection {{
  host: "{host}",
  port: {port},
  database: "{database}"
}}

"""


@pytest.fixture(scope="module")
def users(postgresql: Postgresql) -> Iterator[Database]:
    with opened(postgresql, postgresql.create_database()) as database:
        database.run(
            "CREATE TABLE users (id int PRIMARY KEY, country text, secret text)",
            "INSERT INTO users SELECT i, (ARRAY['DE','FR'])[1 + i % 2], 's' FROM generate_series(1, 1000) i",
            "CREATE TABLE found (id int PRIMARY KEY, country text)",
            "ANALYZE users",
        )
        yield database


def ran(database: Database, folder: Path, text: str, **options: object) -> Ran:
    head = HEAD.format(host=HOST, port=database.server.port, database=database.resource.config.database)
    path = folder / "program.he"
    path.write_text(head + text)
    return run(path, ["Users.result"] if "> result" in text else [], **options)  # type: ignore[arg-type]


LOOKUP = """\
step user = <connection=db> pg.query {
  query: "SELECT id AS user_id, country FROM users WHERE id = @user_id"
}

workflow Users {
  [
    {user_id: 7, amount: 1},
    {user_id: 5000, amount: 2},
    {user_id: 7, amount: 3}
  ]
    > payments

  (
    from payments
    join side:left user (==user_id)
    sort amount
  )
    > result
}
"""


def test_a_lookup_join_is_one_statement(users: Database, tmp_path: Path) -> None:
    mark = users.server.mark()
    result = ran(users, tmp_path, LOOKUP)
    assert result.rows("Users.result") == [
        {"user_id": 7, "amount": 1, "country": "FR"},
        {"user_id": 5000, "amount": 2, "country": None},
        {"user_id": 7, "amount": 3, "country": "FR"},
    ]
    asked = [statement for statement in users.server.statements(mark) if "FROM users" in statement.text]
    assert len(asked) == 1
    assert sorted(asked[0].parameters.removeprefix("$1 = '{").removesuffix("}'").split(",")) == ["5000", "7"]


WRITE = """\
workflow Users {
  <connection=db> pg.query { query: "SELECT id, country FROM users WHERE id <= @last" }
    | <connection=db> pg.upsert { table: "found", key: ["id"] }
}
"""


def test_rows_go_from_table_to_table(users: Database, tmp_path: Path) -> None:
    for last in ("10", "12"):
        assert ran(users, tmp_path, WRITE, params={"last": last}).result.status == "succeeded"
    assert users.rows("SELECT count(*) AS n, max(id) AS last FROM found") == [{"n": 12, "last": 12}]


FAILS = """\
workflow Users {
  <connection=db> pg.table { table: "users", columns: ["id", "country"] }
    | <connection=db> pg.insert { table: "found" }

  <connection=db> pg.query { query: "SELECT 1 / (id - 1000) AS x FROM users" }
    > result
}
"""


def test_a_run_that_fails_writes_nothing(users: Database, tmp_path: Path) -> None:
    users.run("TRUNCATE found")
    result = ran(users, tmp_path, FAILS).result
    assert result.status == "failed"
    assert "division by zero (SQLSTATE 22012)" in str(result.error)
    assert users.rows("SELECT * FROM found") == []


OUTBOX = """\
workflow Users {
  [
    {id: 1, country: "DE"},
    {id: 2, country: "FR"}
  ]
    > users

  users
    | <connection=db> pg.insert { table: "found", transaction: "users" }

  users
    | <connection=db> pg.outbox {
        topic: "found"
        key: "id"
        create: true
        transaction: "users"
      }
}
"""


def test_rows_and_their_events_are_one_transaction(users: Database, tmp_path: Path) -> None:
    users.run("TRUNCATE found", "DROP TABLE IF EXISTS outbox")
    mark = users.server.mark()
    assert ran(users, tmp_path, OUTBOX).result.status == "succeeded"
    asked = [statement.text.strip() for statement in users.server.statements(mark)]
    assert asked.count("BEGIN") == asked.count("COMMIT") == 1
    assert users.rows(
        "SELECT b.key, f.country FROM outbox b JOIN found f ON f.id = b.key::int ORDER BY key"
    ) == [
        {"key": "1", "country": "DE"},
        {"key": "2", "country": "FR"},
    ]
    assert ran(users, tmp_path, OUTBOX).result.status == "failed"
    assert users.rows("SELECT count(*) AS n FROM outbox") == [{"n": 2}]
