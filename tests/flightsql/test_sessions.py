"""Sessions: options by name, how a client is known again, and what ends with it."""

from __future__ import annotations

import grpc
import pyarrow as pa
import pytest

from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.asking import (
    UNENDING,
    close_session,
    options_of,
    prepare,
    query,
    refused,
    set_options,
    ticket,
)
from tests.flightsql.clients.raw import Raw, descriptor, unpack

CODES = grpc.StatusCode
WRONG = flight.SetSessionOptionsResult
CUSTOMERS = query("SELECT count(*) AS n FROM customers")


def test_options_have_defaults(raw: Raw) -> None:
    assert options_of(raw) == {
        "catalog": "heddle",
        "schema": "",
        "language": "sql",
        "timeout": 0.0,
        "rows_max": 0,
        "ipc_compression": "none",
        "endpoints": 1,
    }


def test_options_are_kept(raw: Raw) -> None:
    assert set_options(raw, schema="Shop", timeout="10s", rows_max=7) == {}
    found = options_of(raw)
    assert (found["schema"], found["timeout"], found["rows_max"]) == ("Shop", 10.0, 7)
    assert set_options(raw, schema=None, timeout=None) == {}
    found = options_of(raw)
    assert (found["schema"], found["timeout"], found["rows_max"]) == ("", 0.0, 7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema", "nowhere"),
        ("catalog", "nowhere"),
        ("language", "cobol"),
        ("language", 7),
        ("timeout", "soon"),
        ("timeout", -1),
        ("timeout", 10**12),
        ("rows_max", "-1"),
        ("ipc_compression", "rar"),
        ("endpoints", 17),
    ],
)
def test_values_that_are_wrong(raw: Raw, name: str, value: str | int) -> None:
    before = options_of(raw)
    assert set_options(raw, **{name: value}) == {name: WRONG.INVALID_VALUE}
    assert options_of(raw) == before


def test_names_that_are_wrong(raw: Raw) -> None:
    """The others are set."""
    assert set_options(raw, colour="red", rows_max=3) == {"colour": WRONG.INVALID_NAME}
    assert options_of(raw)["rows_max"] == 3


def test_a_session_may_ask_in_prql(raw: Raw) -> None:
    assert set_options(raw, language="prql") == {}
    assert raw.ask(query("from customers | aggregate {n = count this}")).to_pydict() == {"n": [3]}


def test_a_session_may_ask_in_duckdbs_dialect(raw: Raw) -> None:
    text = "from customers select id // 2 as half, 1 / 2 as more order by all"
    assert set_options(raw, language="duckdb") == {}
    assert raw.ask(query(text)).to_pydict() == {"half": [0, 1, 1], "more": [0.5, 0.5, 0.5]}
    handle = prepare(raw, "from customers select count(*) as n").prepared_statement_handle
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    assert raw.ask(command).to_pydict() == {"n": [3]}
    error = refused(lambda: raw.ask(query("from read_csv('/etc/passwd')")))
    assert error.code() == CODES.UNIMPLEMENTED
    assert set_options(raw, language=None) == {}
    assert refused(lambda: raw.ask(query(text))).code() == CODES.INVALID_ARGUMENT


def test_each_connection_has_its_own(uri: str) -> None:
    with Raw(uri) as one, Raw(uri) as other:
        set_options(one, rows_max=5)
        assert options_of(one)["rows_max"] == 5
        assert options_of(other)["rows_max"] == 0


def test_a_cookie_finds_its_session(uri: str) -> None:
    """From another connection, too; one that has ended is not quietly replaced by another."""
    with Raw(uri) as first:
        request = flight.SetSessionOptionsRequest()
        request.session_options["rows_max"].int64_value = 11
        action = flight.Action(type="SetSessionOptions", body=request.SerializeToString())
        call = first.stream("DoAction", [action.SerializeToString()])
        list(call)
        (cookie,) = [value for key, value in call.initial_metadata() if key == "set-cookie"]
    name_and_value = cookie.partition(";")[0]
    with Raw(uri, headers=[("cookie", f"other=1; {name_and_value}")]) as raw:
        assert options_of(raw)["rows_max"] == 11
        assert close_session(raw) == flight.CloseSessionResult.CLOSED
        error = refused(lambda: options_of(raw))
        assert error.code() == CODES.UNAUTHENTICATED


def test_a_login_has_a_session(uri: str) -> None:
    with Raw(uri) as raw:
        call = raw.stream("Handshake", [flight.HandshakeRequest().SerializeToString()])
        (reply,) = list(call)
    right = dict(call.initial_metadata())["authorization"]
    assert flight.HandshakeResponse.FromString(reply).payload.decode() == right.removeprefix("Bearer ")
    with Raw(uri, headers=[("authorization", right)]) as raw:
        assert set_options(raw, rows_max=5) == {}
        assert options_of(raw)["rows_max"] == 5
    with Raw(uri) as raw:
        assert options_of(raw)["rows_max"] == 0


def test_a_schema_is_where_names_are_looked_up(raw: Raw) -> None:
    assert set_options(raw, schema="Shop", catalog="heddle") == {}
    assert raw.ask(CUSTOMERS).to_pydict() == {"n": [3]}


def test_time_is_limited(raw: Raw) -> None:
    assert set_options(raw, timeout=1) == {}
    long = query(f"SELECT count(*) AS n FROM ({UNENDING}) q WHERE a < b")
    error = refused(lambda: raw.ask(long))
    assert error.code() == CODES.DEADLINE_EXCEEDED


def test_the_end_of_a_session_ends_what_it_began(raw: Raw, table: str) -> None:
    raw.put(sql.CommandStatementUpdate(query=f"CREATE TABLE scratch.{table} (id BIGINT)"))
    handle = prepare(raw, "SELECT 1 AS one").prepared_statement_handle
    info = raw.info(query(UNENDING))
    (body,) = raw.act("BeginTransaction", sql.ActionBeginTransactionRequest())
    begun = sql.ActionBeginTransactionResult()
    unpack(body, begun)
    update = sql.CommandStatementUpdate(
        query=f"INSERT INTO scratch.{table} VALUES (1)", transaction_id=begun.transaction_id
    )
    raw.put(update)
    assert close_session(raw) == flight.CloseSessionResult.CLOSED
    asked = descriptor(sql.CommandPreparedStatementQuery(prepared_statement_handle=handle))
    for method, request in (("GetFlightInfo", asked), ("DoGet", ticket(info))):
        assert refused(lambda: raw.send(method, request)).code() == CODES.NOT_FOUND  # noqa: B023
    assert refused(lambda: raw.put(update)).code() == CODES.NOT_FOUND
    assert raw.ask(query(f"SELECT count(*) AS n FROM scratch.{table}")).to_pydict() == {"n": [0]}


def test_open_sessions_are_listed(raw: Raw) -> None:
    set_options(raw, rows_max=100, ipc_compression="zstd")
    found = raw.ask(query("SELECT * FROM system.sessions WHERE ipc_compression = 'zstd'"))
    assert "local" in found["viewer"].to_pylist()
    listed = raw.ask(query("SELECT session FROM system.queries WHERE text LIKE '%system.sessions%'"))
    assert set(found["session"].to_pylist()) & set(listed["session"].to_pylist())


def test_parameters_bound_to_a_statement(raw: Raw) -> None:
    """Each row of values is one execution; the rows of all come one after the other."""
    made = prepare(raw, "SELECT name FROM Shop.customers WHERE id = $1")
    assert not made.is_update
    parameters = pa.ipc.read_schema(pa.py_buffer(made.parameter_schema))
    assert len(parameters) == 1
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=made.prepared_statement_handle)
    assert refused(lambda: raw.ask(command)).code() == CODES.INVALID_ARGUMENT
    (said,) = raw.put(command, pa.table({"id": [3, 1]}))
    told = sql.DoPutPreparedStatementResult.FromString(said)
    command.prepared_statement_handle = told.prepared_statement_handle
    assert raw.ask(command)["name"].to_pylist() == ["Edsger", "Ada"]
    error = refused(lambda: raw.put(command, pa.table({"id": [1], "more": [2]})))
    assert error.code() == CODES.INVALID_ARGUMENT


def test_values_tell_the_type_of_an_answer(raw: Raw) -> None:
    made = prepare(raw, "SELECT ? AS value")
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=made.prepared_statement_handle)
    for value in (pa.array([1.5]), pa.array(["a"]), pa.array([7])):
        raw.put(command, pa.table({"value": value}))
        found = raw.ask(command)["value"]
        assert (found.type, found.to_pylist()) == (value.type, value.to_pylist())


def test_rows_of_values_change_a_table_all_or_none(raw: Raw, table: str) -> None:
    raw.put(sql.CommandStatementUpdate(query=f"CREATE TABLE scratch.{table} (id BIGINT, part BIGINT)"))
    made = prepare(raw, f"INSERT INTO scratch.{table} SELECT $1, 10 / $2")
    assert made.is_update
    assert made.dataset_schema == b""
    command = sql.CommandPreparedStatementUpdate(prepared_statement_handle=made.prepared_statement_handle)
    (said,) = raw.put(command, pa.table({"id": [1, 2, 3], "by": [5, 2, 1]}))
    assert sql.DoPutUpdateResult.FromString(said).record_count == 3
    refused(lambda: raw.put(command, pa.table({"id": [4, 5], "by": [1, 0]})))
    counted = raw.ask(query(f"SELECT count(*) AS n FROM scratch.{table}"))
    assert counted.to_pydict() == {"n": [3]}
