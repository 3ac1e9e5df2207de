"""What one client holds is nobody else's: tickets, handles, transactions. And none of it is held for ever."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from threading import Thread

import pytest

from heddle.database.admission import Admission
from heddle.database.database import Database
from heddle.database.errors import QueryError
from heddle.database.model import Viewer
from heddle.flightsql.calls import Caller
from heddle.flightsql.columns import plain_columns
from heddle.flightsql.commands import pack
from heddle.flightsql.executions import TICKET_S, UNREAD_S, Execution, Executions
from heddle.flightsql.frames import MESSAGE_BYTES
from heddle.flightsql.metadata.sql_info import Offered
from heddle.flightsql.prepared import IDLE_S, PREPARED_MAX_PER_VIEWER, PreparedStatements
from heddle.flightsql.results import Result
from heddle.flightsql.security import Headers, LocalOnly, Security
from heddle.flightsql.service import Service
from heddle.flightsql.transactions import OpenTransactions
from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from heddle.serve_settings import AdmissionSettings, ServeSettings
from tests.flightsql.asking import UNENDING, query
from tests.flightsql.clients import shop
from tests.flightsql.clients.raw import descriptor, unpack
from tests.waiting import until


class ByName(LocalOnly):
    """Everybody is who they say."""

    def authenticate(self, headers: Headers, peer_certificate: bytes | None, peer: str = "") -> Viewer:
        name = headers["authorization"]
        return Viewer(name, admin=name == "root")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with Database.open([shop.write(tmp_path_factory.mktemp("shop"))]) as database:
        yield database


@pytest.fixture(scope="module")
def service(database: Database) -> Iterator[Service]:
    service = Service(database, Security(ByName()), Offered(read_only=False, substrait=True))
    yield service
    service.close()


def caller(service: Service, name: str, on_gone: Callable[[Callable[[], None]], bool] = bool) -> Caller:
    return service.caller({"authorization": name}, None, f"ipv4:{name}", on_gone)


def info(service: Service, who: Caller, text: str) -> flight.FlightInfo:
    return service.info(who, flight.FlightDescriptor.FromString(descriptor(query(text))))


def kind_of(ask: Callable[[], object]) -> str:
    with pytest.raises(QueryError) as caught:
        ask()
    return caught.value.kind


def test_a_ticket_is_its_owner_s(service: Service) -> None:
    ada, grace, root = (caller(service, name) for name in ("ada", "grace", "root"))
    found = info(service, ada, "SELECT 1 AS one")
    ticket = found.endpoint[0].ticket.ticket
    assert kind_of(lambda: service.frames(grace, ticket)) == "not_found"
    request = flight.CancelFlightInfoRequest(info=found).SerializeToString()
    assert kind_of(lambda: act(service, grace, "CancelFlightInfo", request)) == "not_found"
    renew = flight.RenewFlightEndpointRequest(endpoint=found.endpoint[0]).SerializeToString()
    assert kind_of(lambda: act(service, grace, "RenewFlightEndpoint", renew)) == "not_found"
    assert len(list(service.frames(ada, ticket))) == 2
    act(service, root, "CancelFlightInfo", request)
    assert kind_of(lambda: service.frames(ada, ticket)) == "not_found"


def act(service: Service, who: Caller, kind: str, body: bytes) -> bytes | None:
    return service.act(who, kind, body, lambda name, value: None)


def test_a_handle_is_its_owner_s(service: Service) -> None:
    ada, grace = caller(service, "ada"), caller(service, "grace")
    request = pack(sql.ActionCreatePreparedStatementRequest(query="SELECT 1 AS one"))
    made = sql.ActionCreatePreparedStatementResult()
    unpack(act(service, ada, "CreatePreparedStatement", request) or b"", made)
    handle = made.prepared_statement_handle
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    asked = flight.FlightDescriptor.FromString(descriptor(command))
    assert kind_of(lambda: service.info(grace, asked)) == "not_found"
    close = pack(sql.ActionClosePreparedStatementRequest(prepared_statement_handle=handle))
    assert kind_of(lambda: act(service, grace, "ClosePreparedStatement", close)) == "not_found"
    assert service.info(ada, asked).total_records == 1
    act(service, ada, "ClosePreparedStatement", close)
    assert kind_of(lambda: service.info(ada, asked)) == "not_found"


def test_a_transaction_is_its_owner_s(service: Service) -> None:
    ada, grace = caller(service, "ada"), caller(service, "grace")
    begun = sql.ActionBeginTransactionResult()
    unpack(act(service, ada, "BeginTransaction", pack(sql.ActionBeginTransactionRequest())) or b"", begun)
    end = sql.ActionEndTransactionRequest(transaction_id=begun.transaction_id, action=2)
    assert kind_of(lambda: act(service, grace, "EndTransaction", pack(end))) == "not_found"
    assert act(service, ada, "EndTransaction", pack(end)) is None


def test_a_client_that_goes_stops_its_statement(service: Service) -> None:
    gone: list[Callable[[], None]] = []

    def on_gone(callback: Callable[[], None]) -> bool:
        gone.append(callback)
        return True

    ada = caller(service, "ada", on_gone)
    found = info(service, ada, UNENDING)
    frames = service.frames(ada, found.endpoint[0].ticket.ticket)
    next(frames)
    next(frames)
    for callback in gone:
        callback()
    assert kind_of(lambda: list(frames)) == "cancelled"
    until(lambda: service.under_way == 0, "the statement still runs")


def test_a_client_that_does_not_read_on_leaves_its_place_to_others(database: Database) -> None:
    one_at_a_time = ServeSettings(admission=AdmissionSettings(running=1))
    security = Security(ByName(), Admission(one_at_a_time))
    service = Service(database, security, Offered(read_only=False, substrait=True))
    ada, grace = caller(service, "ada"), caller(service, "grace")
    frames = service.frames(ada, info(service, ada, UNENDING).endpoint[0].ticket.ticket)
    assert next(frames)
    found = info(service, grace, "SELECT 1 AS one")
    assert len(list(service.frames(grace, found.endpoint[0].ticket.ticket))) == 2
    for _ in range(20):
        assert next(frames)
    service.close()


def test_nothing_begins_on_a_server_that_ends(database: Database) -> None:
    service = Service(database, Security(ByName()), Offered(read_only=False, substrait=True))
    ada = caller(service, "ada")
    found = info(service, ada, "SELECT 1 AS one")
    service.drain()
    assert kind_of(lambda: info(service, ada, "SELECT 1 AS one")) == "unavailable"
    assert len(list(service.frames(ada, found.endpoint[0].ticket.ticket))) == 2
    service.close()


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_handles_that_are_not_used_are_closed(database: Database) -> None:
    clock = Clock()
    prepared = PreparedStatements(clock)
    ada = Viewer("ada")
    statement = database.prepare("SELECT 1 AS one", ada)
    old = prepared.add(ada, "session", statement, None)
    clock.now_s = IDLE_S - 1
    used = prepared.add(ada, "session", statement, None)
    clock.now_s = IDLE_S + 1
    prepared.evict_idle()
    assert kind_of(lambda: prepared.find(old.handle, ada)) == "not_found"
    assert prepared.find(used.handle, ada) is used


def test_a_viewer_s_handles_are_counted(database: Database) -> None:
    """The one that was used longest ago goes, and none of others."""
    prepared = PreparedStatements(Clock())
    ada, grace = Viewer("ada"), Viewer("grace")
    statement = database.prepare("SELECT 1 AS one", ada)
    others = prepared.add(grace, "", statement, None)
    first, second = (prepared.add(ada, "", statement, None) for _ in range(2))
    for _ in range(PREPARED_MAX_PER_VIEWER - 2):
        prepared.add(ada, "", statement, None)
    prepared.find(first.handle, ada)
    prepared.add(ada, "", statement, None)
    assert len(prepared) == PREPARED_MAX_PER_VIEWER + 1
    assert prepared.find(first.handle, ada) is first
    assert prepared.find(others.handle, grace) is others
    assert kind_of(lambda: prepared.find(second.handle, ada)) == "not_found"


def result_of(database: Database, text: str) -> Result:
    statement = database.prepare(text, Viewer("ada"))
    columns = plain_columns(statement.schema)
    return Result(lambda: iter([statement.run()]), columns, "none", lambda _: nullcontext(), lambda _: None)


def test_small_batches_become_large_messages(database: Database) -> None:
    """Where the client does not wait for them."""
    result = result_of(database, "SELECT v FROM Shop.numbers")
    result.produce()
    schema, *rest = [len(frame) for frame in result.frames()]
    assert schema < 2_000
    assert sum(rest) > shop.ROWS * 8
    assert all(size >= MESSAGE_BYTES for size in rest[:-1])


def test_a_cancelled_answer_holds_no_rows(database: Database) -> None:
    """Also not those that its error could lead to."""
    result = result_of(database, UNENDING)
    producer = Thread(target=result.produce)
    producer.start()
    until(lambda: result.is_stalled, "it gives no rows")
    result.cancel()
    producer.join()
    assert result.held_bytes == 0
    assert result.error is not None
    assert result.error.__traceback__ is None


def started(executions: Executions, make: Callable[[], Result], *, at_once: bool = False) -> Execution:
    ada = Viewer("ada")
    return executions.start(ada, "session", make, is_update=False, once=False, endpoints=1, at_once=at_once)


def test_tickets_expire(database: Database) -> None:
    clock = Clock()
    executions = Executions(clock)
    execution = started(executions, lambda: result_of(database, "SELECT 1 AS one"))
    execution.result.wait(None)
    clock.now_s = TICKET_S - 1
    executions.evict()
    assert executions.find(execution.handle, Viewer("ada")) is execution
    clock.now_s += TICKET_S + 1
    executions.evict()
    assert kind_of(lambda: executions.find(execution.handle, Viewer("ada"))) == "not_found"
    executions.close()


def test_a_stream_that_nobody_reads_is_stopped_and_begins_anew(database: Database) -> None:
    clock = Clock()
    executions = Executions(clock)
    execution = started(executions, lambda: result_of(database, UNENDING))
    until(lambda: execution.result.is_stalled, "it gives no rows")
    clock.now_s = UNREAD_S + 1
    executions.evict()
    until(lambda: execution.result.finished, "it still runs")
    frames = executions.read(execution, 0, bool, Result.frames)
    schema, rows = next(frames), next(frames)
    assert len(schema) < 2_000 < len(rows)
    frames.close()
    until(lambda: executions.under_way == 0, "it runs without a reader")
    executions.close()


def test_a_small_answer_stays_as_it_is(database: Database) -> None:
    """Also when nobody has asked for it for some time: it does not run again."""
    clock = Clock()
    executions = Executions(clock)
    execution = started(executions, lambda: result_of(database, "SELECT random() AS x"), at_once=True)
    before = list(executions.read(execution, 0, bool, Result.frames))
    clock.now_s = TICKET_S - 1
    executions.evict()
    assert list(executions.read(execution, 0, bool, Result.frames)) == before
    executions.close()


def test_a_small_answer_holds_its_rows_and_no_more(database: Database) -> None:
    """Not what it was made with, which leads to the request that asked for it."""

    def begun() -> tuple[Execution, weakref.ref[object]]:
        def make() -> Result:
            return result_of(database, "SELECT 1 AS one")

        return started(executions, make, at_once=True), weakref.ref(make)

    executions = Executions(Clock())
    execution, made_with = begun()
    assert execution.result.rows == 1
    assert made_with() is None
    executions.close()


def test_small_answers_are_forgotten_when_they_are_too_much(database: Database) -> None:
    """Those that were used longest ago."""
    one = result_of(database, "SELECT 1 AS one")
    one.produce()
    executions = Executions(Clock(), kept_bytes_max=3 * one.size_bytes)

    def another() -> Execution:
        return started(executions, lambda: result_of(database, "SELECT 1 AS one"), at_once=True)

    ada = Viewer("ada")
    first, second, third = another(), another(), another()
    assert executions.find(first.handle, ada) is first
    executions.cancel(third)
    more = another(), another()
    assert kind_of(lambda: executions.find(second.handle, ada)) == "not_found"
    for kept in (first, *more):
        assert executions.find(kept.handle, ada) is kept
    executions.close()


def test_a_statement_goes_over_to_the_next_transaction() -> None:
    """Drivers prepare once, and begin a transaction after each commit."""
    transactions = OpenTransactions()
    transactions.add("one", "ada")
    transactions.add("other", "grace")
    assert transactions.current(None, "ada") is None
    assert transactions.current("one", "ada") == "one"
    transactions.remove("one")
    assert transactions.current("one", "ada") is None
    transactions.add("two", "ada")
    assert transactions.current("one", "ada") == "two"
    assert transactions.remove_all({"ada"}) == ["two"]
    assert transactions.current("other", "grace") == "other"
