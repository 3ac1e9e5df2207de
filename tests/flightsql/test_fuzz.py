"""No request does harm: random ones, those of others, repeated ones, large ones, and very many.

`python -m tests.flightsql.fuzz` sends 100,000 of the random ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import psutil
import pyarrow as pa
import pytest

from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.clients.raw import Raw, descriptor, unpack
from tests.flightsql.fuzz import cases, complaint, send
from tests.waiting import until

SEED = 1
CASES = 1_000
HANDLES = 1_000
GROWTH_BYTES_MAX = 200 << 20
"""Caches, pools of threads and of memory that a server keeps; a leak of each request would be more."""


def test_random_requests(raw: Raw, server: psutil.Process) -> None:
    wrong = []
    with it_keeps_nothing(server):
        for number, case in enumerate(cases(SEED, 0, CASES)):
            code, said = send(raw, case)
            if problem := complaint(code, said):
                wrong.append(f"{number}: {case.method}: {problem}")
    assert wrong == []
    assert one(raw) == 1


def test_a_ticket_is_good_for_its_time(raw: Raw) -> None:
    """The same rows again, or a clear no: never part of them."""
    info = raw.info(query("SELECT 1 AS one"))
    (endpoint,) = info.endpoint
    assert raw.get(endpoint.ticket).to_pydict() == {"one": [1]}
    try:
        assert raw.get(endpoint.ticket).to_pydict() == {"one": [1]}
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND


def test_a_closed_handle_is_closed(raw: Raw) -> None:
    handle = prepare(raw, "SELECT 1 AS one")
    close(raw, handle)
    with pytest.raises(grpc.RpcError) as caught:
        raw.ask(sql.CommandPreparedStatementQuery(prepared_statement_handle=handle))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_cancelled_statement_stays_cancelled(raw: Raw) -> None:
    info = raw.info(query("SELECT 1 AS one"))
    request = flight.CancelFlightInfoRequest(info=info)
    for _ in range(2):
        try:
            raw.act("CancelFlightInfo", request, packed=False)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        raw.get(info.endpoint[0].ticket)
    assert caught.value.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.NOT_FOUND}


def test_an_update_is_carried_out_once(raw: Raw, table: str) -> None:
    """However often its answer is fetched, and though drivers send updates as queries, too."""
    raw.put(sql.CommandStatementUpdate(query=f"CREATE TABLE scratch.{table} (id BIGINT)"))
    info = raw.info(query(f"INSERT INTO scratch.{table} VALUES (1)"))
    for endpoint in (*info.endpoint, *info.endpoint):
        try:
            raw.get(endpoint.ticket)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
    assert raw.ask(query(f"SELECT count(*) AS n FROM scratch.{table}")).to_pydict() == {"n": [1]}


def test_a_large_value(raw: Raw) -> None:
    value = "x" * (17 << 20)
    handle = prepare(raw, "SELECT ? AS value")
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    (said,) = raw.put(command, pa.table({"value": [value]}))
    told = sql.DoPutPreparedStatementResult.FromString(said)
    command.prepared_statement_handle = told.prepared_statement_handle or handle
    assert raw.ask(command)["value"].to_pylist() == [value]


@pytest.mark.parametrize("megabytes", [17, 80])
def test_a_large_text(raw: Raw, megabytes: int) -> None:
    """A statement that is too long is refused, and the next one is answered."""
    with pytest.raises(grpc.RpcError) as caught:
        raw.info(query(f"SELECT '{'x' * (megabytes << 20)}'"))
    assert caught.value.code() in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT}
    assert one(raw) == 1


def test_many_open_handles(uri: str, server: psutil.Process) -> None:
    """The server keeps them, or gives up those that were not used for longest; then it lets them go."""
    with it_keeps_nothing(server), Raw(uri) as raw:
        handles = [prepare(raw, f"SELECT {number} AS n") for number in range(HANDLES)]
        last = sql.CommandPreparedStatementQuery(prepared_statement_handle=handles[-1])
        assert raw.ask(last).to_pydict() == {"n": [HANDLES - 1]}
        for handle in handles:
            close(raw, handle)


def test_clients_that_go_without_a_word(uri: str, server: psutil.Process) -> None:
    """Connections that end in the middle of an answer, or of a put."""
    with it_keeps_nothing(server):
        for _ in range(20):
            with Raw(uri) as raw:
                info = raw.info(query("SELECT * FROM Shop.numbers"))
                next(iter(raw.stream("DoGet", [info.endpoint[0].ticket.SerializeToString()])))
            with Raw(uri) as raw:
                ingest = sql.CommandStatementIngest(table="never")
                raw.stream("DoPut", [descriptor(ingest)])


@contextmanager
def it_keeps_nothing(server: psutil.Process) -> Iterator[None]:
    """Threads, files and memory of the server are afterwards what they were; pools may have grown."""
    files, memory = server.num_fds(), server.memory_info().rss
    yield
    until(lambda: server.num_fds() <= files + 20, "it keeps files or connections")
    until(lambda: server.memory_info().rss <= memory + GROWTH_BYTES_MAX, "it keeps memory")


def query(text: str) -> sql.CommandStatementQuery:
    return sql.CommandStatementQuery(query=text)


def one(raw: Raw) -> int:
    found: int = raw.ask(query("SELECT 1 AS one"))["one"][0].as_py()
    return found


def prepare(raw: Raw, text: str) -> bytes:
    (body,) = raw.act("CreatePreparedStatement", sql.ActionCreatePreparedStatementRequest(query=text))
    made = sql.ActionCreatePreparedStatementResult()
    unpack(body, made)
    return made.prepared_statement_handle


def close(raw: Raw, handle: bytes) -> None:
    request = sql.ActionClosePreparedStatementRequest(prepared_statement_handle=handle)
    raw.act("ClosePreparedStatement", request)
