"""What is wrong comes back with the code of its kind, in words for a person, and shows nothing inside."""

from __future__ import annotations

import grpc
import pyarrow as pa
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.clients.raw import TYPE_PREFIX, Raw, descriptor, pack

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MISSING = grpc.StatusCode.NOT_FOUND
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
DENIED = grpc.StatusCode.PERMISSION_DENIED


def query(text: str) -> sql.CommandStatementQuery:
    return sql.CommandStatementQuery(query=text)


def action(kind: str, body: bytes = b"") -> bytes:
    return flight.Action(type=kind, body=body).SerializeToString()


def of_type(name: str) -> bytes:
    return Any(type_url=name).SerializeToString()


ROWS = pa.table({"id": [1]})
PATH = flight.FlightDescriptor(type=flight.FlightDescriptor.PATH, path=["a"]).SerializeToString()
UNKNOWN_TICKET = pack(sql.TicketStatementQuery(statement_handle=b"unknown"))
SENT = {
    "no SQL": ("GetFlightInfo", descriptor(query("SELEC 1")), INVALID, "read"),
    "no text": ("GetFlightInfo", descriptor(query("")), INVALID, ""),
    "two statements": ("GetFlightInfo", descriptor(query("SELECT 1; SELECT 2")), INVALID, ""),
    "unknown table": ("GetFlightInfo", descriptor(query("SELECT * FROM nowhere")), MISSING, "nowhere"),
    "unknown column": ("GetFlightInfo", descriptor(query("SELECT nme FROM customers")), INVALID, "nme"),
    "unknown function": ("GetFlightInfo", descriptor(query("SELECT frob(1)")), INVALID, "frob"),
    "no descriptor": ("GetFlightInfo", b"", INVALID, ""),
    "no command": ("GetFlightInfo", descriptor(b""), INVALID, ""),
    "noise": ("GetFlightInfo", descriptor(b"\xff\xfe\xfd"), INVALID, ""),
    "a path": ("GetFlightInfo", PATH, INVALID, ""),
    "a command of the future": (
        "GetFlightInfo",
        descriptor(of_type(TYPE_PREFIX + "CommandOfTheFuture")),
        UNIMPLEMENTED,
        "CommandOfTheFuture",
    ),
    "something else": ("GetFlightInfo", descriptor(of_type("type.googleapis.com/a.B")), INVALID, ""),
    "an unknown handle": (
        "GetFlightInfo",
        descriptor(sql.CommandPreparedStatementQuery(prepared_statement_handle=b"unknown")),
        MISSING,
        "",
    ),
    "a substrait plan that is none": (
        "GetFlightInfo",
        descriptor(sql.CommandStatementSubstraitPlan(plan=sql.SubstraitPlan(plan=b"\x07", version="0.53.0"))),
        INVALID,
        "",
    ),
    "schema of no SQL": ("GetSchema", descriptor(query("SELEC 1")), INVALID, "read"),
    "poll of no SQL": ("PollFlightInfo", descriptor(query("SELEC 1")), INVALID, "read"),
    "a ticket of noise": ("DoGet", flight.Ticket(ticket=b"\xff\xfe").SerializeToString(), INVALID, ""),
    "an unknown ticket": ("DoGet", flight.Ticket(ticket=UNKNOWN_TICKET).SerializeToString(), MISSING, ""),
    "an unknown action": ("DoAction", action("Frobnicate"), UNIMPLEMENTED, "Frobnicate"),
    "an action of noise": ("DoAction", action("CreatePreparedStatement", b"\xff"), INVALID, ""),
    "to prepare no SQL": (
        "DoAction",
        action("CreatePreparedStatement", pack(sql.ActionCreatePreparedStatementRequest(query="SELEC ?"))),
        INVALID,
        "read",
    ),
    "the end of an unknown transaction": (
        "DoAction",
        action("EndTransaction", pack(sql.ActionEndTransactionRequest(transaction_id=b"unknown", action=1))),
        MISSING,
        "",
    ),
    "a savepoint": (
        "DoAction",
        action("BeginSavepoint", pack(sql.ActionBeginSavepointRequest(transaction_id=b"t", name="s"))),
        UNIMPLEMENTED,
        "avepoint",
    ),
}


@pytest.mark.parametrize(("method", "request_", "code", "word"), SENT.values(), ids=SENT)
def test_a_request(raw: Raw, method: str, request_: bytes, code: grpc.StatusCode, word: str) -> None:
    said = refused(raw, method, request_)
    assert said.code() == code, said.details()
    assert word in said.details()
    assert_it_shows_nothing(said.details())


Options = sql.CommandStatementIngest.TableDefinitionOptions
APPEND = Options(
    if_not_exist=Options.TABLE_NOT_EXIST_OPTION_FAIL, if_exists=Options.TABLE_EXISTS_OPTION_APPEND
)


def ingest(**place: str) -> sql.CommandStatementIngest:
    return sql.CommandStatementIngest(table_definition_options=APPEND, **place)


PUT = {
    "into a view": (ingest(schema="Shop", table="orders"), ROWS, DENIED, "orders"),
    "into a table that is not there": (ingest(table="nowhere"), ROWS, MISSING, "nowhere"),
    "into a table without a name": (ingest(), ROWS, INVALID, ""),
    "an update of a view": (
        sql.CommandStatementUpdate(query="DELETE FROM Shop.orders"),
        None,
        DENIED,
        "orders",
    ),
    "an update that is no SQL": (sql.CommandStatementUpdate(query="DELETE FRM t"), None, INVALID, "FRM"),
    "parameters of an unknown handle": (
        sql.CommandPreparedStatementQuery(prepared_statement_handle=b"unknown"),
        ROWS,
        MISSING,
        "",
    ),
    "a question": (query("SELECT 1"), ROWS, INVALID, ""),
}


@pytest.mark.parametrize(("command", "rows", "code", "word"), PUT.values(), ids=PUT)
def test_a_put(raw: Raw, command: Message, rows: pa.Table | None, code: grpc.StatusCode, word: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        raw.put(command, rows)
    assert caught.value.code() == code, caught.value.details()
    assert word in caught.value.details()
    assert_it_shows_nothing(caught.value.details())


@pytest.mark.parametrize("method", ["DoExchange", "ListFlights"])
def test_what_is_no_part_of_the_protocol_is_unimplemented(raw: Raw, method: str) -> None:
    said = refused(raw, method, b"")
    assert said.code() == UNIMPLEMENTED


def test_a_value_that_divides_by_zero_fails_as_data(raw: Raw) -> None:
    text = "SELECT 1 / (id - id) AS n FROM Shop.customers"
    with pytest.raises(grpc.RpcError) as caught:
        raw.ask(query(text))
    assert caught.value.code() in {INVALID, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED}
    assert "zero" in caught.value.details().lower()
    assert_it_shows_nothing(caught.value.details())


def test_options_are_checked_one_by_one(raw: Raw) -> None:
    request = flight.SetSessionOptionsRequest()
    request.session_options["schema"].string_value = "nowhere"
    request.session_options["frobnication"].bool_value = True
    request.session_options["timeout"].string_value = "10s"
    (body,) = raw.act("SetSessionOptions", request, packed=False)
    errors = flight.SetSessionOptionsResult.FromString(body).errors
    kinds = flight.SetSessionOptionsResult
    assert {name: error.value for name, error in errors.items()} == {
        "schema": kinds.INVALID_VALUE,
        "frobnication": kinds.INVALID_NAME,
    }


def refused(raw: Raw, method: str, request: bytes) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        raw.send(method, request)
    return caught.value


def assert_it_shows_nothing(said: str) -> None:
    for trace in ("Traceback", 'File "', ".py", "/work", "/tmp", "/home", "site-packages", "0x"):
        assert trace not in said
