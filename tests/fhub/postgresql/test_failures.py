"""What goes wrong with a server: clear words with a cure, no secret in them, and nothing half-written."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest

import fhub.postgresql as pg
from fhub.postgresql.connection import Connection
from fhub.postgresql.failures import ConnectionLost, PostgresqlError
from fhub.postgresql.lookups import look_up
from fhub.postgresql.reading import read
from fhub.postgresql.settings import ConnectionConfig, ExecuteConfig, InsertConfig
from heddle.core.failure import is_transient
from heddle.sdk import StepContext, Table, Writer
from tests.fhub.postgresql.database import WAITING, Database, opened, put
from tests.services.postgresql import PASSWORD, Postgresql
from tests.services.service import HOST, deaf_port
from tests.waiting import PATIENCE_S, until

LONG = "SELECT pg_sleep(60)::text AS s"


def problem(**settings: Any) -> str:
    with closing(Connection(ConnectionConfig(**settings))) as connection:
        found = connection.health()
    assert found is not None
    return found


def connect_error(**settings: Any) -> PostgresqlError:
    with (
        closing(Connection(ConnectionConfig(**settings))) as connection,
        pytest.raises(PostgresqlError) as raised,
    ):
        connection.opened()
    return raised.value


def test_a_password_and_tls(secure_postgresql: Postgresql) -> None:
    place = {"host": HOST, "port": secure_postgresql.port, "sslrootcert": str(secure_postgresql.certificate)}
    config = ConnectionConfig(**place, password=PASSWORD, sslmode="verify-full")
    assert PASSWORD not in repr(config)
    with closing(Connection(config)) as connection:
        assert connection.health() is None
        asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        with connection.reading() as session:
            assert session.rows(asked).to_pylist() == [{"ssl": True}]


def test_paths_start_in_the_folder_of_the_program(secure_postgresql: Postgresql) -> None:
    certificate = secure_postgresql.certificate
    place = {"host": HOST, "port": secure_postgresql.port, "password": PASSWORD, "sslmode": "verify-full"}
    config = ConnectionConfig(base=str(certificate.parent), sslrootcert=certificate.name, **place)
    with closing(Connection(config)) as connection:
        assert connection.health() is None


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    assert problem(host=HOST).endswith("needs its driver: pip install 'heddle[postgresql]'")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"password": "hush-wrong"},
            "password authentication failed for user .postgres.; check `user` and `password`",
        ),
        ({}, "no password supplied; the server asks for a password"),
        ({"sslmode": "disable", "password": PASSWORD}, "no pg_hba.conf entry"),
        (
            {"sslrootcert": "system", "password": PASSWORD},
            "certificate verify failed; `sslrootcert` must name",
        ),
        (
            {"sslrootcert": "/nowhere.crt", "password": PASSWORD},
            '"/nowhere.crt" does not exist.*; check `sslrootcert`',
        ),
    ],
)
def test_what_a_secure_server_refuses(
    secure_postgresql: Postgresql, settings: dict[str, Any], said: str
) -> None:
    place = {"sslmode": "verify-full", "sslrootcert": str(secure_postgresql.certificate), **settings}
    error = connect_error(host=HOST, port=secure_postgresql.port, **place)
    assert f"cannot connect to PostgreSQL at {HOST}:{secure_postgresql.port}/postgres: " in str(error)
    assert pytest.raises(PostgresqlError, match=said).matches(error) or pytest.fail(str(error))
    assert not is_transient(error)
    for secret in (PASSWORD, "hush-wrong"):
        assert secret not in str(error)


def test_what_an_open_server_refuses(postgresql: Postgresql) -> None:
    place = {"host": HOST, "port": postgresql.port}
    assert "the server speaks no TLS" in problem(**place, sslmode="require")
    assert 'database "nothing" does not exist; check `database`' in problem(**place, database="nothing")
    assert 'role "nobody" does not exist' in problem(**place, user="nobody")
    assert 'invalid value for parameter "statement_timeout": "soon"' in problem(
        **place, statement_timeout="soon"
    )


def test_nobody_is_there() -> None:
    with deaf_port() as port:
        error = connect_error(host=HOST, port=port)
    assert "Connection refused; is the server running" in str(error)
    assert is_transient(error)
    assert "check `host`" in str(connect_error(host="nowhere.invalid"))
    with socket.create_server((HOST, 0)) as silent:
        error = connect_error(host=HOST, port=silent.getsockname()[1], connect_timeout=1)
    assert "timeout expired" in str(error)
    assert is_transient(error)


def test_a_full_server(database: Database) -> None:
    database.run("CREATE ROLE narrow LOGIN CONNECTION LIMIT 0")
    error = connect_error(host=HOST, port=database.server.port, user="narrow")
    assert "no connections left" in str(error)
    assert is_transient(error)


@pytest.fixture(scope="module")
def hasty(postgresql: Postgresql) -> Iterator[Database]:
    """A statement may take a moment, a transaction that waits too."""
    timeouts = {"statement_timeout": "2s", "idle_in_transaction_session_timeout": "2s"}
    with opened(postgresql, postgresql.create_database(), **timeouts) as found:
        yield found


@pytest.mark.parametrize(
    "text", [LONG, "SELECT i, pg_sleep(0.001)::text AS s FROM generate_series(1, 100000) AS i"]
)
def test_a_statement_that_takes_too_long(hasty: Database, text: str) -> None:
    with pytest.raises(
        PostgresqlError, match=r"longer than `statement_timeout` allows: .*57014.*; raise `statement_timeout`"
    ):
        hasty.query(text)
    assert hasty.query("SELECT 1 AS a").num_rows == 1


def test_a_write_that_takes_too_long(hasty: Database) -> None:
    with pytest.raises(PostgresqlError, match="longer than `statement_timeout` allows"):
        put(execute(hasty, "SELECT pg_sleep(60) WHERE @id > 0"), {"id": [1]})


def test_a_transaction_that_waits_too_long(hasty: Database) -> None:
    hasty.run("CREATE TABLE waiting (id int)")
    writer = insert(hasty, "waiting")
    put(writer, {"id": [1]})
    until(lambda: not hasty.rows(WAITING))
    with pytest.raises(PostgresqlError, match="idle-in-transaction"):
        writer.commit()
    writer.abort()
    assert hasty.rows("SELECT * FROM waiting") == []


def insert(database: Database, table: str) -> Writer:
    return pg.insert(InsertConfig(table=table, resource=database.resource), StepContext())


def execute(database: Database, query: str) -> Writer:
    return pg.execute(ExecuteConfig(query=query, resource=database.resource), StepContext())


def _read(database: Database, context: StepContext) -> None:
    list(read(database.resource, LONG, None, context))


def _look_up(database: Database, context: StepContext) -> None:
    look_up(database.resource, f"{LONG} WHERE 1 = @v", pa.table({"v": [1]}), None, context)


def _write(database: Database, context: StepContext) -> None:
    execute(database, f"{LONG} WHERE 1 = @v").write(Table.from_arrow(pa.table({"v": [1]})), context)


@pytest.mark.parametrize("work", [_read, _look_up, _write])
def test_a_cancelled_call_ends_on_the_server_too(
    database: Database, work: Callable[[Database, StepContext], None]
) -> None:
    running = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active'"
    )
    others = f"{running} AND pid <> pg_backend_pid()"
    cancelled = threading.Event()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work(database, StepContext(cancelled=cancelled.is_set))
        except PostgresqlError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: database.rows(others) == [{"n": 1}])
    cancelled.set()
    thread.join(PATIENCE_S)
    assert len(raised) == 1
    until(lambda: database.rows(others) == [{"n": 0}])


def test_transactions_that_collide_are_worth_another_attempt(database: Database) -> None:
    database.run("CREATE TABLE shared (id int PRIMARY KEY)", "INSERT INTO shared VALUES (1)", "BEGIN")
    database.run("DELETE FROM shared")
    first = execute(database, "DO $x$ BEGIN SET LOCAL lock_timeout = '50ms'; DELETE FROM shared; END $x$")
    with pytest.raises(
        PostgresqlError, match=r"lock timeout .SQLSTATE 55P03.; another transaction"
    ) as raised:
        put(first, {"id": [1]})
    assert is_transient(raised.value)
    database.run("ROLLBACK")
    put(first, {"id": [1]})
    first.commit()
    assert database.rows("SELECT * FROM shared") == []


def test_a_server_that_is_killed() -> None:
    with Postgresql() as server, opened(server, "postgres") as database:
        database.run(
            "CREATE TABLE big AS SELECT i AS id, repeat('x', 100) AS t FROM generate_series(1, 500000) AS i"
        )
        database.run("CREATE TABLE written (id int)")
        assert database.query("SELECT 1 AS a").num_rows == 1
        reading = read(database.resource, "SELECT * FROM big", None, StepContext())
        next(reading)
        writer, late = insert(database, "written"), insert(database, "written")
        put(writer, {"id": [1]})
        server.kill()
        with pytest.raises(ConnectionLost, match=r"the connection to PostgreSQL at .* was lost"):
            list(reading)
        with pytest.raises(PostgresqlError, match="what the run had written before was undone") as raised:
            put(writer, {"id": [2]})
        assert not is_transient(raised.value)
        with pytest.raises(PostgresqlError, match="Connection refused") as raised:
            put(late, {"id": [3]})
        assert is_transient(raised.value)
        problem = database.resource.health()
        assert problem is not None and "Connection refused" in problem
        server.restart()
        assert database.query("SELECT count(*) AS n FROM written").to_pylist() == [{"n": 0}]
        assert database.resource.health() is None
        put(late, {"id": [3]})
        late.commit()
        writer.abort()
        assert database.query("SELECT id FROM written").to_pylist() == [{"id": 3}]
        # What was idle while the server was away is noticed when it is needed.
        database.resource.health()
        time.sleep(1.1)
        server.restart()
        assert database.query("SELECT count(*) AS n FROM big").to_pylist() == [{"n": 500000}]


def test_connections_are_kept_for_the_next_step(database: Database) -> None:
    text = "SELECT pg_backend_pid() AS pid"
    assert database.query(text) == database.query(text)
    with database.resource.reading() as one, database.resource.reading() as other:
        assert one.rows(text) != other.rows(text)


def test_a_lookup_goes_on_when_kept_connections_are_lost(database: Database) -> None:
    text = "SELECT pg_backend_pid() AS pid, @v AS v"
    first = database.look_up(text, {"v": ["a"]})
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    database.rows(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {others}")
    until(lambda: database.rows(f"SELECT pid FROM pg_stat_activity WHERE {others}") == [])
    again = database.look_up(text, {"v": ["a"]})
    assert again[0]["v"] == "a"
    assert again[0]["pid"] != first[0]["pid"]


def test_a_resource_that_was_closed_opens_nothing(database: Database) -> None:
    connection = Connection(database.resource.config)
    connection.health()
    connection.close()
    with pytest.raises(PostgresqlError, match="the run has ended"):
        connection.opened()
