"""Answers on their way: how large their messages are, what a reader that waits costs, and how they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import psutil
import pyarrow as pa
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from heddle.flightsql.results import BUFFER_BYTES_MAX
from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.asking import UNENDING, query, refused, set_options, ticket
from tests.flightsql.clients.raw import Raw, descriptor, table_of
from tests.flightsql.clients.shop import ROWS
from tests.waiting import PATIENCE_S, until

CODES = grpc.StatusCode
GO_CLIENT_BYTES_MAX = 16 << 20
NUMBERS = "SELECT v FROM Shop.numbers"


def test_a_small_answer_is_counted_when_its_ticket_is_given(raw: Raw) -> None:
    infos: list[flight.FlightInfo] = []

    def is_counted() -> bool:
        """It is where the answer was there a moment later."""
        infos.append(raw.info(query("SELECT * FROM Shop.customers")))
        return infos[-1].total_records == 3

    until(is_counted, "it is not counted")
    info = infos[-1]
    assert info.total_bytes > 0
    assert raw.get(info.endpoint[0].ticket).num_rows == 3


def test_no_message_is_larger_than_clients_take(raw: Raw) -> None:
    text = "SELECT repeat('x', 1000000) AS text FROM Shop.numbers LIMIT 40"
    info = raw.info(query(text))
    messages = raw.send("DoGet", ticket(info))
    assert all(len(message) < GO_CLIENT_BYTES_MAX for message in messages)
    assert table_of(messages)["text"].nbytes >= 40_000_000


def test_a_defect_of_the_engine_ends_the_call(raw: Raw) -> None:
    """That of the ticket, or that of its rows where the ticket was given before."""
    text = "SELECT repeat('x', 1000000) AS text FROM Shop.numbers"
    error = refused(lambda: raw.get(raw.info(query(text)).endpoint[0].ticket))
    assert "longer than 2 GB in one batch" in error.details()
    assert raw.get(raw.info(query("SELECT 1 AS one")).endpoint[0].ticket).num_rows == 1


@pytest.mark.parametrize(
    "text",
    [
        "SELECT unnest(range(0, 3000000)) AS n",
        "SELECT repeat('x', 5000000) AS x UNION ALL SELECT repeat('y', 5000000)",
        "EXPLAIN SELECT repeat('x', 5000000) AS x",
    ],
)
def test_a_ticket_is_given_before_much_that_reads_no_table_is_read(raw: Raw, text: str) -> None:
    """More than waits for a reader."""
    messages = raw.send("DoGet", ticket(raw.info(query(text))))
    assert sum(map(len, messages)) > BUFFER_BYTES_MAX


def test_an_answer_without_rows_has_a_schema(raw: Raw) -> None:
    found = raw.ask(query("SELECT id, name FROM Shop.customers WHERE id > 100"))
    assert found.num_rows == 0
    assert found.schema.names == ["id", "name"]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compression(raw: Raw, codec: str) -> None:
    plain = raw.send("DoGet", ticket(raw.info(query(NUMBERS))))
    assert set_options(raw, ipc_compression=codec) == {}
    packed = raw.send("DoGet", ticket(raw.info(query(NUMBERS))))
    assert sum(map(len, packed)) < sum(map(len, plain))
    assert sorted(table_of(packed)["v"].to_pylist()) == list(range(ROWS))


def test_an_answer_divided_among_endpoints(raw: Raw) -> None:
    assert set_options(raw, endpoints=4) == {}
    info = raw.info(query("SELECT a.v, a.k, a.v AS w, a.v AS x FROM Shop.numbers a"))
    assert len(info.endpoint) == 4
    assert not info.ordered
    found: list[pa.Table] = []

    def read(endpoint: flight.FlightEndpoint) -> None:
        found.append(raw.get(endpoint.ticket))

    readers = [threading.Thread(target=read, args=(endpoint,)) for endpoint in info.endpoint]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert sorted(pa.concat_tables(found)["v"].to_pylist()) == list(range(ROWS))
    assert refused(lambda: raw.get(info.endpoint[0].ticket)).code() == CODES.FAILED_PRECONDITION
    assert len(raw.info(query("SELECT 1 AS one")).endpoint) == 1


def test_a_long_answer_can_be_read_again(raw: Raw) -> None:
    info = raw.info(query(NUMBERS))
    assert info.endpoint[0].HasField("expiration_time")
    for _ in range(2):
        assert raw.get(info.endpoint[0].ticket).num_rows == ROWS


@pytest.mark.parametrize("endpoints", [1, 4])
def test_a_small_answer_can_be_read_again(raw: Raw, endpoints: int) -> None:
    assert set_options(raw, endpoints=endpoints) == {}
    info = raw.info(query("SELECT 1 AS one"))
    assert info.ordered
    for _ in range(3):
        assert raw.get(info.endpoint[0].ticket)["one"].to_pylist() == [1]


def test_a_ticket_is_renewed(raw: Raw) -> None:
    (endpoint,) = raw.info(query("SELECT 1 AS one")).endpoint
    request = flight.RenewFlightEndpointRequest(endpoint=endpoint)
    (body,) = raw.act("RenewFlightEndpoint", request, packed=False)
    renewed = flight.FlightEndpoint.FromString(body)
    assert renewed.ticket == endpoint.ticket
    assert renewed.expiration_time.seconds >= endpoint.expiration_time.seconds


def test_polling(raw: Raw) -> None:
    """At last it says where the rows are, and how many."""
    asked = descriptor(query("SELECT count(*) AS n FROM Shop.numbers"))
    poll = raw.poll(asked)
    while poll.HasField("flight_descriptor"):
        assert not poll.info.endpoint
        poll = raw.poll(poll.flight_descriptor.SerializeToString())
    assert poll.progress == 1.0
    assert poll.expiration_time.seconds > time.time()
    assert raw.get(poll.info.endpoint[0].ticket)["n"].to_pylist() == [ROWS]


def test_what_is_polled_can_be_cancelled(raw: Raw) -> None:
    text = f"SELECT count(*) AS n FROM ({UNENDING}) q WHERE a < b"
    poll = raw.poll(descriptor(query(text)))
    assert poll.HasField("flight_descriptor")
    info = flight.FlightInfo()
    info.endpoint.add().ticket.ticket = poll.flight_descriptor.cmd
    assert cancel(raw, info) == flight.CANCEL_STATUS_CANCELLED
    again = poll.flight_descriptor.SerializeToString()
    assert refused(lambda: raw.poll(again)).code() == CODES.NOT_FOUND


def test_a_cancelled_answer_ends_for_its_reader_too(raw: Raw, server: psutil.Process) -> None:
    info = raw.info(query(UNENDING))
    stream = raw.stream("DoGet", [ticket(info)])
    next(stream)
    assert cancel(raw, info) == flight.CANCEL_STATUS_CANCELLED
    error = refused(lambda: list(stream))
    assert error.code() == CODES.CANCELLED
    until_idle(server)


def test_the_older_way_to_cancel(raw: Raw) -> None:
    info = raw.info(query(UNENDING))
    (body,) = raw.act("CancelQuery", sql.ActionCancelQueryRequest(info=info.SerializeToString()))
    assert body
    assert refused(lambda: raw.get(info.endpoint[0].ticket)).code() == CODES.NOT_FOUND


def test_a_reader_that_goes_away_frees_the_processor(raw: Raw, server: psutil.Process) -> None:
    stream = raw.stream("DoGet", [ticket(raw.info(query(UNENDING)))])
    next(stream)
    stream.cancel()
    until_idle(server)


def test_an_answer_that_nobody_fetches_stops(raw: Raw, server: psutil.Process) -> None:
    """It waits for a reader without computing, and is there when one comes."""
    info = raw.info(query(UNENDING))
    until_idle(server)
    stream = raw.stream("DoGet", [ticket(info)])
    schema, rows = next(stream), next(stream)
    assert len(schema) < 2_000 < len(rows)
    stream.cancel()


def test_slow_readers(uri: str, server: psutil.Process) -> None:
    """They hold little memory, and delay neither health checks nor other clients."""
    before = server.memory_info().rss
    with ExitStack() as open:
        for _ in range(8):
            raw = open.enter_context(Raw(uri))
            stream = raw.stream("DoGet", [ticket(raw.info(query(UNENDING)))])
            open.callback(stream.cancel)
            next(stream)
        until_idle(server)
        raw = open.enter_context(Raw(uri))
        assert raw.ask(query("SELECT 1 AS one")).to_pydict() == {"one": [1]}
        channel = open.enter_context(grpc.insecure_channel(uri.removeprefix("grpc://")))
        health = health_pb2_grpc.HealthStub(channel)
        for _ in range(20):
            checked = health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
            assert checked.status == health_pb2.HealthCheckResponse.SERVING
        assert server.memory_info().rss - before < 8 * (32 << 20)


def cancel(raw: Raw, info: flight.FlightInfo) -> int:
    (body,) = raw.act("CancelFlightInfo", flight.CancelFlightInfoRequest(info=info), packed=False)
    return flight.CancelFlightInfoResult.FromString(body).status


def until_idle(server: psutil.Process) -> None:
    """Until it computes nothing for a while."""
    spent = processor_times(server)
    until(lambda: next(spent) < 0.02, "the server still computes")


def processor_times(server: psutil.Process) -> Iterator[float]:
    """What it used of a processor since the last look."""
    last = server.cpu_times()
    while True:
        time.sleep(0.1)
        now = server.cpu_times()
        yield now.user + now.system - last.user - last.system
        last = now
