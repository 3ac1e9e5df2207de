"""What is the native port's own: its errors, its limits, and how it hears that clients have gone."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import grpc
import pyarrow as pa
import pyarrow.flight
import pytest
from pyarrow.flight import CallInfo, FlightMethod

from heddle.database.errors import QueryError, QueryErrorKind
from heddle.errors import UsageError
from heddle.flightsql.native_calls import REQUESTS_MAX, STREAMS_MAX, Arrivals, Departures
from heddle.flightsql.native_status import Unauthenticated, Unavailable, native_error
from heddle.flightsql.security.securing import require_native
from heddle.flightsql.serving import ServeOptions, serving
from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from heddle.serve_settings import ServeSettings, TlsSettings
from tests.flightsql.asking import UNENDING, query, refused, ticket
from tests.flightsql.clients import shop
from tests.flightsql.clients.raw import Raw, descriptor, put_requests
from tests.flightsql.fuzz import TRACES, cases, send
from tests.flightsql.test_serve import END_S, started
from tests.services.heddle_serve import HeddleServe
from tests.waiting import until

CODES = grpc.StatusCode
SEED = 2
CASES = 1_000
VAGUE = {
    *(CODES.OK, CODES.INVALID_ARGUMENT, CODES.NOT_FOUND, CODES.UNIMPLEMENTED, CODES.PERMISSION_DENIED),
    *(CODES.UNAUTHENTICATED, CODES.UNKNOWN),
}
LONG_TEXT = "SELECT * FROM Shop.numbers"


@pytest.fixture
def transport() -> str:
    return "native"


@pytest.fixture
def other(serving: HeddleServe) -> Iterator[Raw]:
    """A client of gRPC's port."""
    with Raw(serving.uri) as raw:
        yield raw


@pytest.mark.parametrize("kind", get_args(QueryErrorKind))
def test_no_error_can_be_shown_with_a_trace(kind: QueryErrorKind) -> None:
    _, error = native_error(QueryError(kind, "what", help="cure"))
    assert str(error) == "what\ncure"
    with pytest.raises(AttributeError):
        traceback.format_exception(type(error), error, error.__traceback__)


def test_a_fault_says_nothing_of_itself() -> None:
    code, error = native_error(ZeroDivisionError("secret"))
    assert code == CODES.INTERNAL
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("SELECT nme FROM customers", CODES.INVALID_ARGUMENT, "nme"),
        ("SELECT * FROM nowhere", CODES.NOT_FOUND, "nowhere"),
    ],
)
@pytest.mark.parametrize("method", ["GetFlightInfo", "GetSchema"])
def test_what_is_wrong_is_said(raw: Raw, method: str, text: str, code: grpc.StatusCode, word: str) -> None:
    error = refused(lambda: raw.send(method, descriptor(query(text))))
    assert error.code() == code
    sent = f"{error.details()} {error.trailing_metadata()}"
    assert word in sent
    assert [trace for trace in TRACES if trace in sent] == []


def test_what_fails_on_its_way_is_said(raw: Raw) -> None:
    error = refused(lambda: raw.ask(query("SELECT 1 / (id - id) AS n FROM Shop.customers")))
    assert error.code() == CODES.UNKNOWN
    sent = f"{error.details()} {error.trailing_metadata()}"
    assert "division" in sent
    assert [trace for trace in TRACES if trace in sent] == []


def test_random_requests(raw: Raw) -> None:
    """pyarrow's own answers to noise are vague, and have no words."""
    wrong = []
    for number, case in enumerate(cases(SEED, 0, CASES)):
        code, said = send(raw, case)
        if code not in VAGUE and (code, said) != (CODES.INTERNAL, ""):
            wrong.append(f"{number}: {case.method}: {code.name}: {said}")
        if shown := [trace for trace in TRACES if trace in said]:
            wrong.append(f"{number}: {case.method}: it shows {shown}")
    assert wrong == []
    assert raw.ask(query("SELECT 1 AS one")).to_pydict() == {"one": [1]}


@pytest.mark.parametrize("text", ["SELECT 1 AS v", "SELECT v FROM Shop.numbers"], ids=["small", "long"])
def test_a_ticket_is_good_at_both_ports(raw: Raw, other: Raw, text: str) -> None:
    for given, taken in ((raw, other), (other, raw)):
        info = given.info(query(text))
        found = taken.get(info.endpoint[0].ticket)
        assert found["v"].to_pylist() == given.get(info.endpoint[0].ticket)["v"].to_pylist()


def test_a_packed_answer_is_read_at_both_ports(raw: Raw, other: Raw) -> None:
    request = flight.SetSessionOptionsRequest()
    request.session_options["ipc_compression"].string_value = "zstd"
    other.act("SetSessionOptions", request, packed=False)
    info = other.info(query("SELECT v FROM Shop.numbers WHERE v < 1000"))
    assert sorted(raw.get(info.endpoint[0].ticket)["v"].to_pylist()) == list(range(1_000))


def test_a_login_is_made_elsewhere(serving: HeddleServe, uri: str) -> None:
    client = pa.flight.FlightClient(uri)
    with pytest.raises(pa.flight.FlightUnauthenticatedError, match=serving.uri):
        client.authenticate_basic_token("ada", "secret")
    client.close()
    elsewhere = pa.flight.FlightClient(serving.uri)
    name, value = elsewhere.authenticate_basic_token("ada", "secret")
    elsewhere.close()
    with Raw(uri, headers=[(name.decode(), value.decode())]) as raw:
        assert raw.ask(query("SELECT 1 AS one")).to_pydict() == {"one": [1]}


def test_nothing_is_polled(raw: Raw) -> None:
    error = refused(lambda: raw.poll(descriptor(query("SELECT 1 AS one"))))
    assert error.code() == CODES.UNIMPLEMENTED


def ingest(table: str) -> sql.CommandStatementIngest:
    options = sql.CommandStatementIngest.TableDefinitionOptions(if_not_exist=1, if_exists=1)
    return sql.CommandStatementIngest(table=table, table_definition_options=options)


def test_rows_of_a_client_that_goes_are_not_kept(raw: Raw, table: str) -> None:
    command = ingest(table)
    rows = pa.table({"x": range(10_000)})
    for number in range(10):
        call = raw.stream("DoPut", unfinished(command, rows))
        assert raw.ask(query(f"SELECT {number} AS n")).num_rows == 1
        call.cancel()
    assert refused(lambda: raw.ask(query(f"SELECT * FROM scratch.{table}"))).code() == CODES.NOT_FOUND
    assert len(raw.put(command, rows)) == 1
    assert raw.ask(query(f"SELECT count(*) AS n FROM scratch.{table}")).to_pydict() == {"n": [10_000]}


def unfinished(command: sql.CommandStatementIngest, rows: pa.Table) -> Iterator[bytes]:
    """A stream whose end never comes."""
    requests = list(put_requests(command, rows))
    yield from requests
    while True:
        yield requests[-1]


def call(method: FlightMethod) -> CallInfo:
    return CallInfo(method=method)


@pytest.mark.parametrize(
    ("method", "limit"), [(FlightMethod.DO_PUT, STREAMS_MAX), (FlightMethod.GET_FLIGHT_INFO, REQUESTS_MAX)]
)
def test_so_many_calls_and_no_more(method: FlightMethod, limit: int) -> None:
    arrivals = Arrivals("grpc://here")
    held = [arrivals.start_call(call(method), {}) for _ in range(limit)]
    with pytest.raises(Unavailable, match="too many"):
        arrivals.start_call(call(method), {})
    other = FlightMethod.GET_SCHEMA if method == FlightMethod.DO_PUT else FlightMethod.DO_GET
    arrivals.start_call(call(other), {})
    held[0].call_completed(None)
    arrivals.start_call(call(method), {})
    with pytest.raises(Unavailable, match="too many"):
        arrivals.start_call(call(method), {})


def test_headers_are_texts_and_the_last_of_each() -> None:
    headers = {"authorization": ["a", "b"], "x-bin": [b"c"]}
    arrival = Arrivals("").start_call(call(FlightMethod.DO_GET), headers)
    assert arrival.headers == {"authorization": "b"}


def test_calls_are_not_let_in_at_the_end() -> None:
    arrivals = Arrivals("")
    arrivals.refuse()
    with pytest.raises(Unavailable, match="ending"):
        arrivals.start_call(call(FlightMethod.DO_GET), {})
    with pytest.raises(Unauthenticated):
        arrivals.start_call(call(FlightMethod.HANDSHAKE), {})


def test_who_goes_is_heard_of_once() -> None:
    departures = Departures()
    gone, told = [False], []

    def is_gone() -> bool:
        return gone[0]

    departures.watch(lambda: False, lambda: told.append("never"))
    departures.watch(is_gone, lambda: told.append("a"))
    departures.watch(is_gone, lambda: told.append("b"))
    gone[0] = True
    until(lambda: told == ["a", "b"], "nobody is told")
    departures.watch(is_gone, lambda: told.append("c"))
    until(lambda: told == ["a", "b", "c"], "who comes later is not told")
    departures.close()


def test_a_call_that_has_ended_is_not_asked() -> None:
    departures = Departures()
    asked: list[int] = []

    def is_gone() -> bool:
        asked.append(1)
        return False

    departures.watch(is_gone, lambda: None)
    until(lambda: len(asked) > 1, "nobody asks")
    departures.forget(is_gone)
    count = len(asked)
    departures.watch(lambda: bool(asked.append(0)), lambda: None)
    until(lambda: asked.count(0) > 1, "nobody asks any more")
    assert asked.count(1) == count
    departures.close()


def test_it_ends_though_a_client_takes_nothing_and_another_goes_on_putting(tmp_path: Path) -> None:
    program = shop.write(tmp_path)
    options = ServeOptions((program,), "127.0.0.1", 0, native_port=0)
    with serving(options, lambda _: None) as running:
        assert running.native is not None
        reading, putting = Raw(running.native.url), Raw(running.native.url)
        stream = reading.stream("DoGet", [ticket(reading.info(query(UNENDING)))])
        next(stream)
        put = putting.stream("DoPut", unfinished(ingest("never"), pa.table({"x": [1]})))
        service = running.native.service
        until(lambda: service.under_way == 2, "the clients do not begin")
    stream.cancel()
    put.cancel()
    reading.__exit__()
    putting.__exit__()


def test_both_ports_are_said_and_what_is_asked_is_written_down(tmp_path: Path) -> None:
    program = shop.write(tmp_path)
    arguments = ("shop.he", "--native", "0", "--access-log", "access.jsonl")
    with started(*arguments, folder=program.parent) as (process, url):
        said = [process.stderr.readline() for _ in range(2)] if process.stderr else []
        native = said[0].split()[2]
        assert said == [f"serving on {native} (native)\n", f"serving on {url}\n"]
        with Raw(native) as raw:
            raw.ask(query("SELECT 1 AS one"))
            raw.put(sql.CommandStatementUpdate(query="CREATE TABLE scratch.t (id BIGINT)"))
            refused(lambda: raw.info(query("SELECT * FROM nowhere")))
            stream = raw.stream("DoGet", [ticket(raw.info(query(UNENDING)))])
            next(stream)
            stream.cancel()
        log = program.with_name("access.jsonl")
        until(lambda: log.read_text().count("\n") == 6, "a request is missing in the log")
        process.terminate()
        assert process.wait(END_S) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(each["method"], each["what"], each["code"]) for each in lines] == [
        ("GetFlightInfo", "CommandStatementQuery", "OK"),
        ("DoGet", "TicketStatementQuery", "OK"),
        ("DoPut", "CommandStatementUpdate", "OK"),
        ("GetFlightInfo", "CommandStatementQuery", "NOT_FOUND"),
        ("GetFlightInfo", "CommandStatementQuery", "OK"),
        ("DoGet", "TicketStatementQuery", "CANCELLED"),
    ]
    assert all(each["viewer"] == "local" and each["peer"].startswith("ipv4:127.0.0.1") for each in lines)
    assert lines[1]["size_bytes"] > 0


def test_a_port_that_is_taken(tmp_path: Path, serving: HeddleServe) -> None:
    from heddle.flightsql.serving import serving as open_server

    port = int(serving.native_uri.rpartition(":")[2])
    options = ServeOptions((shop.write(tmp_path),), "127.0.0.1", 0, native_port=port)
    with (
        pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"),
        open_server(options, lambda _: None),
    ):
        pass


def test_certificates_alone_let_nobody_in() -> None:
    tls = TlsSettings(Path("a.crt"), Path("a.key"), Path("clients.crt"))
    with pytest.raises(UsageError, match="does not see the names"):
        require_native(ServeSettings(tls=tls))
    require_native(ServeSettings(tls=tls, users_file=Path("users.toml")))
