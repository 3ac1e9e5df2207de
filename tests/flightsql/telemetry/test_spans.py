"""Spans of `heddle serve`, as a collector gets them from requests of real clients."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import adbc_driver_flightsql.dbapi
import pyarrow as pa
import pyarrow.flight
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from heddle.flightsql.serving import Serving
from heddle.flightsql.telemetry.spans import operation_of
from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.asking import UNENDING, prepare, query, refused, ticket
from tests.flightsql.clients.raw import Raw, descriptor, put_requests
from tests.flightsql.telemetry.collector import Collector, Parent, http_collector, values
from tests.flightsql.telemetry.servers import served, spans_to

METHOD = "arrow.flight.protocol.FlightService/"
_numbers = count(1)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with http_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def server(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with served(tmp_path_factory.mktemp("spans"), spans_to(collector.url)) as running:
        yield running


@pytest.fixture
def parent() -> Parent:
    """A trace of one test's own."""
    number = next(_numbers)
    return Parent(f"{number:032x}", f"{number:016x}")


@pytest.fixture
def raw(server: Serving, parent: Parent) -> Iterator[Raw]:
    with Raw(server.server.url, headers=[parent.header]) as raw:
        yield raw


def request(collector: Collector, parent: Parent, method: str, code: str = "OK") -> Span:
    """The span of a client's request."""

    def wanted(span: Span) -> bool:
        right = span.name == METHOD + method and values(span.attributes)["rpc.response.status_code"] == code
        return right and span.trace_id.hex() == parent.trace

    span = collector.wait_for(wanted, f"of {method} that ends as {code}")
    assert span.parent_span_id.hex() == parent.span
    assert span.kind == Span.SPAN_KIND_SERVER
    return span


def child(collector: Collector, above: Span, name: str) -> Span:
    return collector.wait_for(
        lambda span: span.name == name and span.parent_span_id == above.span_id, f"`{name}`"
    )


def statement(collector: Collector, parent: Parent, name: str) -> Span:
    """The span of a statement that a client's request has started."""
    return collector.wait_for(
        lambda span: span.name == name and span.trace_id.hex() == parent.trace, f"`{name}`"
    )


def test_a_query(collector: Collector, raw: Raw, parent: Parent) -> None:
    assert raw.ask(query("SELECT id, name FROM Shop.customers")).num_rows == 3
    asked = request(collector, parent, "GetFlightInfo")
    about = values(asked.attributes)
    assert about["rpc.system.name"] == "grpc"
    assert about["rpc.method"] == METHOD + "GetFlightInfo"
    assert about["heddle.command"] == "CommandStatementQuery"
    assert about["client.address"] == "127.0.0.1"
    assert asked.status.code == Status.STATUS_CODE_UNSET

    ran = child(collector, asked, "SELECT Shop.customers")
    did = values(ran.attributes)
    assert did["db.system.name"] == "heddle"
    assert did["db.namespace"] == "shop"
    assert did["db.operation.name"] == "SELECT"
    assert did["db.collection.name"] == "Shop.customers"
    assert did["db.response.returned_rows"] == 3
    assert did["heddle.size_bytes"] > 0
    assert did["heddle.query_id"] == about["heddle.query_id"]

    prepared = child(collector, asked, "prepare")
    waited, planned = child(collector, ran, "admission"), child(collector, ran, "plan")
    times = [each.start_time_unix_nano for each in (asked, prepared, ran, waited, planned)]
    assert times == sorted(times)
    assert planned.end_time_unix_nano <= ran.end_time_unix_nano

    fetched = values(request(collector, parent, "DoGet").attributes)
    assert fetched["heddle.query_id"] == did["heddle.query_id"]
    assert fetched["heddle.sent_bytes"] > 0
    texts = [values(span.attributes).get("db.query.text") for span in collector.spans]
    assert set(texts) == {None}


def test_stages_have_the_names_of_steps(collector: Collector, raw: Raw, parent: Parent) -> None:
    assert raw.ask(query("SELECT k FROM Steps.kept")).num_rows == 20
    ran = child(collector, request(collector, parent, "GetFlightInfo"), "SELECT Steps.kept")
    step = values(child(collector, ran, "step steps.same").attributes)
    assert step["heddle.stage"] == "Steps/1.2:steps.same"
    assert step["heddle.rows"] == 20
    assert step["heddle.size_bytes"] > 0


def test_who_asks_wrongly_is_no_fault_of_the_server(collector: Collector, raw: Raw, parent: Parent) -> None:
    refused(lambda: raw.info(query("SELECT secret FROM nowhere WHERE x = 'value'")))
    asked = request(collector, parent, "GetFlightInfo", "NOT_FOUND")
    assert asked.status.code == Status.STATUS_CODE_UNSET
    prepared = child(collector, asked, "prepare")
    assert values(prepared.attributes)["error.type"] == "not_found"
    assert prepared.status.code == Status.STATUS_CODE_ERROR
    assert not prepared.status.message
    assert not prepared.events


def test_what_fails_while_it_runs(collector: Collector, raw: Raw, parent: Parent) -> None:
    refused(lambda: raw.ask(query("SELECT 1 / (k - k) AS n FROM Shop.numbers")))
    ran = statement(collector, parent, "SELECT Shop.numbers")
    assert values(ran.attributes)["error.type"] == "failed"
    assert ran.status.code == Status.STATUS_CODE_ERROR
    assert not ran.status.message


def test_who_cancels_has_no_error(collector: Collector, raw: Raw, parent: Parent) -> None:
    info = raw.info(query(UNENDING))
    stream = raw.stream("DoGet", [ticket(info)])
    next(stream)
    stream.cancel()
    ran = child(collector, request(collector, parent, "GetFlightInfo"), "SELECT")
    assert values(ran.attributes)["error.type"] == "cancelled"
    assert ran.status.code == Status.STATUS_CODE_UNSET
    gone = request(collector, parent, "DoGet", "CANCELLED")
    assert values(gone.attributes)["heddle.query_id"] == values(ran.attributes)["heddle.query_id"]


def test_prepared_statements(collector: Collector, raw: Raw, parent: Parent) -> None:
    made = prepare(raw, "SELECT name FROM Shop.customers WHERE id = 2")
    assert child(collector, request(collector, parent, "DoAction"), "prepare")
    handle = made.prepared_statement_handle
    raw.ask(sql.CommandPreparedStatementQuery(prepared_statement_handle=handle))
    asked = request(collector, parent, "GetFlightInfo")
    assert child(collector, asked, "SELECT Shop.customers")
    assert "prepare" not in collector.below(asked)


def test_rows_that_are_put(collector: Collector, raw: Raw, parent: Parent) -> None:
    rows = pa.table({"n": pa.array(range(1000), pa.int64())})
    ways = sql.CommandStatementIngest.TableDefinitionOptions
    options = ways(
        if_not_exist=ways.TABLE_NOT_EXIST_OPTION_CREATE, if_exists=ways.TABLE_EXISTS_OPTION_REPLACE
    )
    raw.put(sql.CommandStatementIngest(table_definition_options=options, table="put", schema="scratch"), rows)
    put = request(collector, parent, "DoPut")
    assert values(put.attributes)["heddle.received_bytes"] > 8000
    ingest = values(child(collector, put, "INGEST scratch.put").attributes)
    assert ingest["heddle.rows"] == 1000
    assert ingest["db.operation.name"] == "INGEST"


def test_what_cannot_be_put(collector: Collector, raw: Raw, parent: Parent) -> None:
    """However long its name is; or with a stream that is no stream."""
    ways = sql.CommandStatementIngest.TableDefinitionOptions
    options = ways(
        if_not_exist=ways.TABLE_NOT_EXIST_OPTION_CREATE, if_exists=ways.TABLE_EXISTS_OPTION_REPLACE
    )
    rows = pa.table({"n": pa.array(range(10), pa.int64())})
    name = "x" * 100_000
    ingest = sql.CommandStatementIngest(table_definition_options=options, table=name, schema="nowhere")
    code = refused(lambda: raw.put(ingest, rows)).code().name
    (failed,) = collector.below(request(collector, parent, "DoPut", code)).values()
    assert len(failed.name) < 1000
    assert failed.status.code == Status.STATUS_CODE_ERROR

    cut = sql.CommandStatementIngest(table_definition_options=options, table="cut", schema="scratch")
    refused(lambda: raw.send("DoPut", *put_requests(cut, rows), b"\xff no message"))
    ingest_span = statement(collector, parent, "INGEST scratch.cut")
    assert values(ingest_span.attributes)["error.type"] == "failed"
    assert ingest_span.status.code == Status.STATUS_CODE_ERROR


def test_updates(collector: Collector, raw: Raw, parent: Parent) -> None:
    raw.put(sql.CommandStatementUpdate(query="CREATE OR REPLACE TABLE scratch.made AS SELECT 1 AS n"))
    made = child(collector, request(collector, parent, "DoPut"), "CREATE")
    assert values(made.attributes)["heddle.rows"] == 1
    assert set(collector.below(made)) == {"admission"}


def test_a_client_that_wants_no_spans(collector: Collector, server: Serving, parent: Parent) -> None:
    silent = Parent(parent.trace, parent.span, sampled=False)
    with Raw(server.server.url, headers=[silent.header]) as raw:
        raw.ask(query("SELECT * FROM Shop.orders"))
    with Raw(server.server.url, headers=[parent.header]) as raw:
        raw.ask(query("SELECT id FROM Shop.orders"))
    request(collector, parent, "DoGet")
    own = [span for span in collector.spans if span.trace_id.hex() == parent.trace]
    assert [span.name for span in own if span.kind == Span.SPAN_KIND_SERVER] == [
        METHOD + "GetFlightInfo",
        METHOD + "DoGet",
    ]


@pytest.mark.parametrize("header", ["", "nonsense", "00-0-0-01", "x" * 10_000])
def test_without_a_trace_of_the_client_one_begins(collector: Collector, server: Serving, header: str) -> None:
    collector.clear()
    with Raw(server.server.url, headers=[("traceparent", header)]) as raw:
        raw.schema(query("SELECT 1 AS one"))
    span = collector.wait_for(lambda span: span.name == METHOD + "GetSchema", "without a parent")
    assert not span.parent_span_id


def test_pyarrow_and_adbc(collector: Collector, server: Serving, parent: Parent) -> None:
    uri = server.server.url
    header = "adbc.flight.sql.rpc.call_header.traceparent"
    with (
        adbc_driver_flightsql.dbapi.connect(
            uri, db_kwargs={header: parent.header[1]}, autocommit=True
        ) as made,
        made.cursor() as cursor,
    ):
        cursor.execute("SELECT count(*) FROM Shop.customers")
        assert cursor.fetchone() == (3,)
    ran = statement(collector, parent, "SELECT Shop.customers")
    assert values(ran.attributes)["db.response.returned_rows"] == 1

    client = pa.flight.FlightClient(uri)
    name, value = parent.header
    options = pa.flight.FlightCallOptions(headers=[(name.encode(), value.encode())])
    asked_for = flight.FlightDescriptor.FromString(descriptor(query("SELECT 1 AS one")))
    info = client.get_flight_info(pa.flight.FlightDescriptor.for_command(asked_for.cmd), options)
    assert client.do_get(info.endpoints[0].ticket, options).read_all().num_rows == 1
    client.close()
    one = statement(collector, parent, "SELECT")
    assert values(one.attributes)["db.response.returned_rows"] == 1


def test_the_native_port(collector: Collector, tmp_path: Path, parent: Parent) -> None:
    with served(tmp_path, spans_to(collector.url), native_port=0) as running:
        assert running.native is not None
        with Raw(running.native.url, headers=[parent.header]) as raw:
            assert raw.ask(query("SELECT id FROM Shop.customers")).num_rows == 3
        asked = request(collector, parent, "GetFlightInfo")
        ran = child(collector, asked, "SELECT Shop.customers")
        fetched = request(collector, parent, "DoGet")
    assert values(ran.attributes)["db.response.returned_rows"] == 3
    assert values(fetched.attributes)["heddle.query_id"] == values(ran.attributes)["heddle.query_id"]


def test_texts_only_when_they_are_asked_for(collector: Collector, tmp_path: Path, parent: Parent) -> None:
    settings = spans_to(collector.url, "statements = true", 'service = "warehouse"')
    with served(tmp_path, settings) as running, Raw(running.server.url, headers=[parent.header]) as raw:
        raw.ask(query("SELECT 7 AS seven"))
        asked = request(collector, parent, "GetFlightInfo")
        ran = values(child(collector, asked, "SELECT").attributes)
    assert ran["db.query.text"] == "SELECT 7 AS seven"
    assert {"warehouse", "heddle"} <= {each["service.name"] for each in collector.resources}


def test_a_share_of_traces(tmp_path: Path, parent: Parent) -> None:
    """None of those that begin here; those of clients are sent as they want."""
    with http_collector() as collector:
        with served(tmp_path, spans_to(collector.url, "sample = 0")) as running:
            with Raw(running.server.url) as raw:
                raw.ask(query("SELECT 8 AS eight"))
            with Raw(running.server.url, headers=[parent.header]) as raw:
                raw.ask(query("SELECT 9 AS nine"))
            request(collector, parent, "DoGet")
        assert {span.trace_id.hex() for span in collector.spans} == {parent.trace}


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("select 1", "SELECT"),
        ("\n -- why\n /* how\n */ (with a as (select 1) select * from a)", "WITH"),
        ("INSERT INTO scratch.t VALUES (1)", "INSERT"),
        ("explain select 1", "EXPLAIN"),
        ("secret_value", "OTHER"),
        ("", "OTHER"),
        ("/*" * 3000, "OTHER"),
        ("/**/" * 900 + "1", "OTHER"),
        ("/**/" * 900 + "show tables", "SHOW"),
        ("(" * 9000 + "select 1", "OTHER"),
    ],
)
def test_operations_are_words_that_are_known(text: str, operation: str) -> None:
    assert operation_of(text) == operation
