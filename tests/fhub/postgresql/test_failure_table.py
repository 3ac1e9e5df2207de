"""The table of failures in the documentation: each of its rows is provoked on a real server."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

import fhub.postgresql as pg
from fhub.postgresql.connection import Connection
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.reading import read
from fhub.postgresql.settings import ConnectionConfig, ExecuteConfig, InsertConfig
from fhub.postgresql.tables import read_table
from heddle.core.failure import is_transient
from heddle.sdk import StepContext, Writer
from tests.fhub.postgresql.database import WAITING, Database, opened, put
from tests.services.postgresql import Postgresql
from tests.services.service import HOST, deaf_port
from tests.waiting import until

PAGE = Path(__file__).parents[3] / "docs" / "connectors" / "postgresql.md"
_ROW = re.compile(r"^\| (?P<what>.+?) \| `(?P<said>.+)` \| (?P<again>yes|no)\b")


@pytest.fixture(scope="module")
def tables(postgresql: Postgresql) -> Iterator[Database]:
    with opened(postgresql, postgresql.create_database()) as database:
        database.run(
            "CREATE TABLE big AS SELECT i AS id, repeat('x', 100) AS t FROM generate_series(1, 200000) AS i",
            "CREATE TABLE written (id int)",
            "CREATE TABLE pair AS SELECT generate_series(1, 2) AS id, 0 AS n",
            """CREATE FUNCTION locked(wanted int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
                IF wanted = 0 THEN PERFORM pg_advisory_xact_lock_shared(7);
                ELSE UPDATE pair SET n = n + 1 WHERE id = wanted; END IF; END $$""",
            "CREATE ROLE nobody_more LOGIN CONNECTION LIMIT 0",
        )
        yield database


def connecting(database: Database, **settings: object) -> None:
    place = {"host": HOST, "port": database.server.port, **settings}
    with closing(Connection(ConnectionConfig(**place))) as connection:
        connection.opened()


def nobody_listens(database: Database) -> None:
    with deaf_port() as port:
        connecting(database, port=port)


@contextmanager
def timed(database: Database, **timeouts: str) -> Iterator[Database]:
    with opened(database.server, database.resource.config.database, **timeouts) as found:
        yield found


def terminate_others(database: Database) -> None:
    database.rows(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def insert(database: Database) -> Writer:
    return pg.insert(InsertConfig(table="written", resource=database.resource), StepContext())


def lost_while_reading(database: Database) -> None:
    reading = read(database.resource, "SELECT * FROM big", None, StepContext())
    next(reading)
    terminate_others(database)
    list(reading)


def lost_after_writing(database: Database) -> None:
    writer = insert(database)
    put(writer, {"id": [1]})
    terminate_others(database)
    put(writer, {"id": [2]})


def lost_in_a_commit(database: Database) -> None:
    writer = insert(database)
    put(writer, {"id": [1]})
    terminate_others(database)
    writer.commit()


def deadlock(database: Database) -> None:
    """Two writers lock two rows in opposite orders, the second of them when both have their first."""
    config = ExecuteConfig(query="SELECT locked(@id)", resource=database.resource)
    raised: list[PostgresqlError] = []

    def work(ids: list[int]) -> None:
        writer = pg.execute(config, StepContext())
        try:
            put(writer, {"id": ids})
        except PostgresqlError as error:
            raised.append(error)
        finally:
            writer.abort()

    database.run("BEGIN", "SELECT pg_advisory_xact_lock(7)")
    threads = [threading.Thread(target=work, args=(ids,)) for ids in ([1, 0, 2], [2, 0, 1])]
    for thread in threads:
        thread.start()
    waiting = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    until(lambda: database.rows(waiting) == [{"n": 2}])
    database.run("ROLLBACK")
    for thread in threads:
        thread.join()
    assert len(raised) == 1
    raise raised[0]


def too_slow(database: Database) -> None:
    with timed(database, statement_timeout="1s") as hasty:
        hasty.query("SELECT pg_sleep(60)::text AS s")


def too_idle(database: Database) -> None:
    with timed(database, idle_in_transaction_session_timeout="1s") as hasty:
        writer = insert(hasty)
        put(writer, {"id": [1]})
        until(lambda: not database.rows(WAITING))
        put(writer, {"id": [2]})


def changed(database: Database) -> None:
    context = StepContext(columns=pa.schema([("id", pa.int32()), ("gone", pa.string())]))
    list(read_table(database.resource, "big", None, 1, None, context))


PROVOKED: dict[str, Callable[[Database], None]] = {
    "nobody listens, connecting takes too long": nobody_listens,
    "the server starts, stops or is full (57P03, 53300)": lambda d: connecting(d, user="nobody_more"),
    "wrong password, user, database or host": lambda d: connecting(d, user="nobody"),
    "TLS: none, a certificate that is not trusted or for another name": lambda d: connecting(
        d, sslmode="require"
    ),
    "the connection is lost while reading": lost_while_reading,
    "the connection is lost after a writer has written": lost_after_writing,
    "the connection is lost in the midst of a COMMIT": lost_in_a_commit,
    "a deadlock, a lock timeout, a serialization failure (40P01, 55P03, 40001)": deadlock,
    "`statement_timeout`": too_slow,
    "`idle_in_transaction_session_timeout`": too_idle,
    "a mistake in a statement, a constraint": lambda d: d.query("SELECT id FROM nothing") and None,
    "the columns have changed since `heddle.lock` was written": changed,
}


def documented() -> dict[str, tuple[str, bool]]:
    """The message that the page shows for each failure, `…` for what differs, and whether it is retried."""
    text = PAGE.read_text().partition("## Failures")[2]
    rows = [row for line in text.splitlines() if (row := _ROW.match(line))]
    return {row["what"]: (row["said"], row["again"] == "yes") for row in rows}


def test_each_row_of_the_table_has_its_failure() -> None:
    assert list(documented()) == list(PROVOKED)


@pytest.mark.parametrize("what", PROVOKED)
def test_failure(tables: Database, what: str) -> None:
    said, again = documented()[what]
    with pytest.raises(PostgresqlError) as raised:
        PROVOKED[what](tables)
    message = str(raised.value).replace("`", "")
    assert re.search(".*".join(map(re.escape, said.split("…"))), message), message
    assert is_transient(raised.value) == again
    assert tables.rows("SELECT * FROM written") == []
