"""PostgreSQL as a service, asked by ADBC."""

from __future__ import annotations

import pyarrow as pa
import pytest
from adbc_driver_manager import dbapi
from adbc_driver_postgresql import dbapi as postgresql_dbapi

from tests.services.postgresql import PASSWORD, Postgresql, Statement


def rows(uri: str, sql: str, parameters: pa.Table | None = None) -> list[dict[str, object]]:
    with postgresql_dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(sql, parameters=parameters)
        return cursor.fetch_arrow_table().to_pylist()


def test_statements_are_logged_with_their_parameters(postgresql: Postgresql) -> None:
    mark = postgresql.mark()
    keys = pa.table({"keys": pa.array([[1, 2]])})
    sql = "SELECT x,\n 'it''s'\tAS y FROM unnest($1::bigint[]) x"
    assert rows(postgresql.uri(), sql, keys) == [{"x": 1, "y": "it's"}, {"x": 2, "y": "it's"}]
    assert Statement(sql, "$1 = '{1,2}'") in postgresql.statements(mark)
    assert postgresql.statements(postgresql.mark()) == []


def test_each_test_has_a_database_and_rows_go_in_and_out(postgresql: Postgresql) -> None:
    uri, other = (postgresql.uri(postgresql.create_database()) for _ in range(2))
    table = pa.table({"id": [1, 2], "name": ["ada", None]})
    with postgresql_dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("people", table)
    assert rows(uri, "SELECT * FROM people ORDER BY id") == table.to_pylist()
    with pytest.raises(dbapi.ProgrammingError, match="people"):
        rows(other, "SELECT * FROM people")


def test_password_and_tls_are_asked_for(secure_postgresql: Postgresql) -> None:
    asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert rows(secure_postgresql.uri(), asked) == [{"ssl": True}]
    with pytest.raises(dbapi.OperationalError, match="password authentication failed"):
        rows(secure_postgresql.uri().replace(":hush", ":hash"), asked)
    with pytest.raises(dbapi.OperationalError, match="no pg_hba"):
        rows(secure_postgresql.uri(sslmode="disable"), asked)
    with pytest.raises(dbapi.OperationalError, match="certificate verify failed"):
        rows(secure_postgresql.uri(sslrootcert="system"), asked)
    assert PASSWORD not in secure_postgresql.uri()


@pytest.mark.parametrize("crash", [False, True])
def test_data_outlives_a_restart(crash: bool) -> None:
    with Postgresql() as server:
        with (
            postgresql_dbapi.connect(server.uri(), autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("CREATE TABLE kept AS SELECT 7 AS id")
        if crash:
            server.kill()
        server.restart()
        assert rows(server.uri(), "SELECT * FROM kept") == [{"id": 7}]
