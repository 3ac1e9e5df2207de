"""`heddle serve` with users, roles and policies, asked by clients as they are."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from collections.abc import Iterator

import adbc_driver_flightsql
import adbc_driver_manager
import grpc
import pyarrow as pa
import pyarrow.dataset
import pyarrow.flight
import pytest
from datafusion import SessionContext, substrait
from datafusion.catalog import Catalog, Schema

from heddle.flightsql.security.tokens import new_token
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.clients.raw import Raw
from tests.flightsql.security.guarded import LONG, PASSWORD, Guarded, asked, connected, user
from tests.services.heddle_serve import COMMAND

SETTINGS = """\
users_file = "users.toml"

[serve.audit]
file = "audit.jsonl"

[serve.admission]
running = 2
waiting = 1
wait = "4s"
"""
TOKEN, ENTRY = new_token(None)
USERS = (
    user("ada", "analyst"),
    user("bob", "analyst"),
    user("eve"),
    user("boss", "boss"),
    user("robot", "reader", token=ENTRY),
    user("hare", "hasty"),
    user("zoe", "analyst"),
)
AUTHORIZATION = adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value
PATIENCE_S = 60.0
ORDERS = "SELECT id, card FROM Shop.orders ORDER BY id"


@pytest.fixture(scope="module")
def server() -> Iterator[Guarded]:
    with Guarded(SETTINGS, USERS) as running:
        yield running


def refusal(uri: str, text: str = ORDERS, name: str | None = None, **options: str) -> str:
    with pytest.raises(adbc_driver_manager.Error) as raised:
        asked(uri, text, name, **options)
    return str(raised.value)


def test_who_logs_in_sees_their_rows(server: Guarded) -> None:
    assert asked(server.uri, ORDERS, "ada") == [(1, "****4444"), (3, "****2222")]
    assert asked(server.uri, ORDERS, "bob") == [(2, "****8888")]
    assert asked(server.uri, ORDERS, "boss") == [
        (1, "1111222233334444"),
        (2, "5555666677778888"),
        (3, "9999000011112222"),
    ]


def test_who_does_not_is_told_so(server: Guarded) -> None:
    assert "UNAUTHENTICATED" in refusal(server.uri)
    assert "this server asks who you are" in refusal(server.uri)
    wrong = refusal(server.uri, username="ada", password="wrong")
    assert "the name or the password is wrong" in wrong
    assert wrong == refusal(server.uri, username="nobody", password="wrong")
    assert "UNAUTHENTICATED" in refusal(server.uri, **{AUTHORIZATION: "Bearer nothing"})


def test_a_token_instead_of_a_password(server: Guarded) -> None:
    assert asked(server.uri, "SELECT count(*) FROM Shop.secrets", **{AUTHORIZATION: f"Bearer {TOKEN}"}) == [
        (1,)
    ]


def test_arrows_own_client(server: Guarded) -> None:
    with pyarrow.flight.connect(server.uri) as client:
        header = client.authenticate_basic_token("ada", PASSWORD)
        assert header[0] == b"authorization"
        with pytest.raises(pyarrow.flight.FlightUnauthenticatedError):
            client.authenticate_basic_token("ada", "wrong")


def test_outputs_of_other_roles_are_not_there(server: Guarded) -> None:
    said = refusal(server.uri, "SELECT * FROM Shop.secret", "ada")
    assert "there is no table `shop.secret`" in said
    assert "secrets" not in said
    assert "did you mean `Shop.secrets`?" in refusal(server.uri, "SELECT * FROM Shop.secret", "boss")
    assert "there is no table" in refusal(server.uri, "SELECT * FROM Shop.secrets", "ada")
    with connected(server.uri, "ada") as connection:
        objects = connection.adbc_get_objects(depth="columns").read_all().to_pylist()
    text = repr(objects)
    assert "orders" in text
    assert "secrets" not in text
    assert "there is no table" in refusal(server.uri, ORDERS, "eve")
    assert asked(server.uri, "SELECT note FROM Shop.secrets", "boss") == [("for the boss",)]


def test_prepared_statements_and_explain(server: Guarded) -> None:
    with connected(server.uri, "ada") as connection, connection.cursor() as cursor:
        for value, rows in ((1, [(1,)]), (2, []), (3, [(3,)])):
            cursor.execute("SELECT id FROM Shop.orders WHERE id = ?", (value,))
            assert cursor.fetchall() == rows
        cursor.execute("SELECT id FROM Shop.orders WHERE 1 / total < 9 AND card LIKE ?", ("%",))
        assert cursor.fetchall() == [(1,), (3,)]
    assert "plans over restricted outputs are not shown to ada" in refusal(
        server.uri, f"EXPLAIN {ORDERS}", "ada"
    )
    assert asked(server.uri, f"EXPLAIN {ORDERS}", "boss")


def test_a_failure_over_a_restricted_output_tells_no_value(server: Guarded) -> None:
    failing = "SELECT CAST(owner AS BIGINT) FROM Shop.orders"
    said = refusal(server.uri, failing, "ada")
    assert "what it met is not shown" in said
    assert "ada'" not in said
    assert "the text 'ada'" in refusal(server.uri, failing, "boss")


def test_a_substrait_plan(server: Guarded) -> None:
    """It names the table and reads all of it."""
    names = [("id", pa.int64()), ("owner", pa.string()), ("card", pa.string()), ("total", pa.int64())]
    context = SessionContext()
    catalog = Catalog.memory_catalog(context)
    context.register_catalog_provider("programs", catalog)
    catalog.register_schema("Shop", Schema.memory_schema(context))
    table = pyarrow.dataset.dataset(pa.schema(names).empty_table())
    catalog.schema("Shop").register_table("orders", table)
    text = 'SELECT id, card FROM programs."Shop".orders'
    plan = substrait.Serde.serialize_bytes(text, context)
    with connected(server.uri, "ada") as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_substrait_plan(plan)
        handle, _ = cursor.adbc_statement.execute_query()
        rows = pa.RecordBatchReader._import_from_c(handle.address).read_all()
    assert sorted(rows.to_pydict()["card"]) == ["****2222", "****4444"]


def test_what_one_may_write(server: Guarded) -> None:
    assert "bob" in repr(asked(server.uri, "SELECT DISTINCT owner FROM Shop.orders", "bob"))
    with connected(server.uri, "bob") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE scratch.of_bob AS SELECT * FROM Shop.orders")
        cursor.execute("SELECT count(*) FROM scratch.of_bob")
        assert cursor.fetchall() == [(1,)]
        cursor.execute("DROP TABLE scratch.of_bob")
    said = refusal(server.uri, "CREATE TABLE scratch.of_eve AS SELECT 1 AS x", "eve")
    assert "eve may not write `scratch.of_eve`" in said
    with (
        connected(server.uri, "eve") as connection,
        connection.cursor() as cursor,
        pytest.raises(adbc_driver_manager.Error, match="may not write"),
    ):
        cursor.adbc_ingest("of_eve", pa.table({"x": [1]}), mode="create", db_schema_name="scratch")


def test_a_ticket_of_somebody_else(server: Guarded) -> None:
    with (
        Raw(server.uri, bearer_of(server, "ada")) as ada,
        Raw(server.uri, bearer_of(server, "bob")) as bob,
    ):
        info = ada.info(sql.CommandStatementQuery(query=ORDERS))
        with pytest.raises(grpc.RpcError) as raised:
            bob.get(info.endpoint[0].ticket)
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        assert ada.get(info.endpoint[0].ticket).num_rows == 2


def bearer_of(server: Guarded, name: str) -> list[tuple[str, str]]:
    with pyarrow.flight.connect(server.uri) as client:
        key, value = client.authenticate_basic_token(name, PASSWORD)
        return [(key.decode(), value.decode())]


def test_limits_of_a_role(server: Guarded) -> None:
    robot = {AUTHORIZATION: f"Bearer {TOKEN}"}
    assert "more than 1,000 rows" in refusal(server.uri, "SELECT * FROM Shop.numbers", **robot)
    assert len(asked(server.uri, "SELECT * FROM Shop.numbers LIMIT 1000", **robot)) == 1000
    assert "1 s" in refusal(server.uri, LONG, "hare")


def test_more_statements_than_may_run(server: Guarded) -> None:
    """`robot` runs one at a time: the second waits for some seconds, then gives up."""
    robot = {AUTHORIZATION: f"Bearer {TOKEN}"}
    ended: list[str] = []
    first = threading.Thread(target=lambda: ended.append(refusal(server.uri, LONG, **robot)))
    first.start()
    try:
        id = running(server, "robot")
        with Raw(server.uri, [("authorization", f"Bearer {TOKEN}")]) as raw:
            info = raw.info(sql.CommandStatementQuery(query="SELECT 1 AS x"))
            assert info.total_records == -1, "a client hears that its statement waits"
            with pytest.raises(grpc.RpcError, match="robot may run 1 at a time"):
                raw.get(info.endpoint[0].ticket)
        assert "robot may run 1 at a time" in refusal(server.uri, "SELECT 1 AS x", **robot)
        assert asked(server.uri, "SELECT 1 AS x", "ada") == [(1,)]
        assert "there is no query" in refusal(server.uri, f"KILL '{id}'", "ada")
        with connected(server.uri, "boss") as connection, connection.cursor() as cursor:
            cursor.execute(f"KILL '{id}'")
    finally:
        first.join()
    assert "the query was cancelled" in ended[0]
    assert asked(server.uri, "SELECT 1 AS x", **robot) == [(1,)]


def running(server: Guarded, viewer: str) -> str:
    """The id of the viewer's statement, when it runs."""
    text = f"SELECT query_id FROM system.queries WHERE state = 'running' AND viewer = '{viewer}'"
    until = time.monotonic() + PATIENCE_S
    with connected(server.uri, "boss") as connection, connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(text)
            if rows := cursor.fetchall():
                return str(rows[0][0])
    raise AssertionError("it does not run")


def test_a_user_who_is_removed_is_out_at_once(server: Guarded) -> None:
    server.change_users(*USERS, user("temp", "analyst"))
    with Raw(server.uri, bearer_of(server, "temp")) as temp:
        command = sql.CommandStatementQuery(query=ORDERS)
        assert temp.ask(command).num_rows == 0
        remove = [COMMAND, "user", "remove", "temp"]
        done = subprocess.run(remove, cwd=server.programs, capture_output=True, text=True, check=True)
        assert done.stderr == "removed temp\n"
        with pytest.raises(grpc.RpcError) as raised:
            temp.info(command)
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "the name or the password is wrong" in refusal(server.uri, name="temp")


def test_roles_and_policies_as_tables(server: Guarded) -> None:
    text = 'SELECT filter, "column", mask FROM system.policies'
    assert asked(server.uri, text, "boss") == [("owner = current_user", "card", "last4")]
    assert "is for admins" in refusal(server.uri, text, "ada")
    assert asked(server.uri, "SELECT role FROM system.roles", "ada") == [("analyst",)]


def test_the_audit_log(server: Guarded) -> None:
    text = "SELECT id FROM Shop.orders WHERE card <> ?"
    with connected(server.uri, "zoe") as connection, connection.cursor() as cursor:
        cursor.execute(text, ("a secret value",))
        assert cursor.fetchall() == []
    refusal(server.uri, "SELECT * FROM Shop.secrets", "zoe")
    refusal(server.uri, username="zoe", password="wrong password")
    lines = audited(server, "zoe", 5)
    assert sorted((line["what"], line["outcome"]) for line in lines) == [
        ("login", "ok"),
        ("login", "ok"),
        ("query", "not_found"),
        ("query", "ok"),
        ("refused", "unauthenticated"),
    ]
    [query] = [line for line in lines if (line["what"], line["outcome"]) == ("query", "ok")]
    assert query["text"] == text
    assert query["statement"] == hashlib.sha256(text.encode()).hexdigest()
    assert query["rows"] == 0
    assert str(query["peer"]).startswith("ipv4:127.0.0.1:")
    [table] = query["tables"]  # type: ignore[misc]
    assert str(table).endswith(".Shop.orders")
    file = server.programs / "audit.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.read_text() + server.log.read_text()
    for secret in ("a secret value", PASSWORD, "wrong password", TOKEN):
        assert secret not in written


def audited(server: Guarded, viewer: str, count: int) -> list[dict[str, object]]:
    """What was written down about a viewer, once that is so many lines: one comes after its statement."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        lines = [line for line in server.audited() if line["viewer"] == viewer]
        if len(lines) >= count:
            return lines
    raise AssertionError(f"{viewer} has fewer than {count} lines")
