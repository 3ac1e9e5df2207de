"""What gRPC brings along: logins, health, reflection, large headers, the list of actions, other owners."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import grpc
import pyarrow as pa
import pyarrow.flight
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from heddle.flightsql.actions import ACTIONS
from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.asking import query, refused, set_options
from tests.flightsql.clients.raw import SERVICE, Raw, descriptor, unpack

CODES = grpc.StatusCode


@pytest.fixture
def channel(uri: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(uri.removeprefix("grpc://")) as channel:
        yield channel


@pytest.mark.parametrize("service", ["", SERVICE.strip("/")])
def test_health(channel: grpc.Channel, service: str) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    assert health.Check(request).status == health_pb2.HealthCheckResponse.SERVING
    watched = health.Watch(request)
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
    watched.cancel()


def test_reflection(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE.strip("/")),
    ]
    services, file = stub.ServerReflectionInfo(iter(asked))
    assert SERVICE.strip("/") in {each.name for each in services.list_services_response.service}
    assert b"PollFlightInfo" in file.file_descriptor_response.file_descriptor_proto[0]


def test_actions_are_listed(raw: Raw) -> None:
    found = [flight.ActionType.FromString(reply) for reply in raw.send("ListActions", b"")]
    assert [each.type for each in found] == list(ACTIONS)
    assert all(each.description for each in found)


def test_large_headers(uri: str) -> None:
    with Raw(uri, headers=[("note", "x" * 50_000)]) as raw:
        assert raw.ask(query("SELECT 1 AS one")).to_pydict() == {"one": [1]}


@pytest.mark.parametrize("padding", [True, False])
def test_a_login_by_header(raw: Raw, padding: bool) -> None:
    name = base64.b64encode(b"ada:secret").decode()
    header = ("authorization", f"Basic {name if padding else name.rstrip('=')}")
    call = raw.stream("Handshake", [], headers=[header])
    assert len(list(call)) == 1
    for metadata in (call.initial_metadata(), call.trailing_metadata()):
        assert dict(metadata)["authorization"].startswith("Bearer ")


def test_pyarrow_logs_in(uri: str) -> None:
    client = pa.flight.FlightClient(uri)
    header, value = client.authenticate_basic_token("ada", "secret")
    options = pa.flight.FlightCallOptions(headers=[(header, value)])
    asked = flight.FlightDescriptor.FromString(descriptor(query("SELECT 1 AS one")))
    info = client.get_flight_info(pa.flight.FlightDescriptor.for_command(asked.cmd), options)
    assert client.do_get(info.endpoints[0].ticket, options).read_all().to_pydict() == {"one": [1]}
    client.close()


def test_all_facts_have_a_type_that_drivers_read(raw: Raw) -> None:
    """Those that the JDBC driver casts to a long, a number of bits, or a list."""
    found = raw.ask(sql.CommandGetSqlInfo())
    kinds = dict(
        zip(found["info_name"].to_pylist(), found["value"].chunk(0).type_codes.to_pylist(), strict=True)
    )
    assert set(kinds) == {*range(12), 100, 101, *range(500, 577)}
    assert {kinds[number] for number in (*range(541, 556), *range(557, 563))} == {2}
    assert {kinds[number] for number in (8, 503, 507, 522, 525, 526, 528, 538, 540, 564)} == {3}
    assert {kinds[number] for number in range(508, 513)} == {4}
    assert kinds[517] == 5


def test_a_plan_of_substrait(raw: Raw) -> None:
    plan = substrait_plan(
        'SELECT country, count(*) AS n FROM heddle."Shop".customers WHERE id < 3 GROUP BY country'
    )
    command = sql.CommandStatementSubstraitPlan(plan=sql.SubstraitPlan(plan=plan, version="0.53.0"))
    assert raw.ask(command).sort_by("country").to_pydict() == {"country": ["DE", "US"], "n": [1, 1]}
    request = sql.ActionCreatePreparedSubstraitPlanRequest(plan=command.plan)
    (body,) = raw.act("CreatePreparedSubstraitPlan", request)
    made = sql.ActionCreatePreparedStatementResult()
    unpack(body, made)
    prepared = sql.CommandPreparedStatementQuery(prepared_statement_handle=made.prepared_statement_handle)
    assert raw.ask(prepared).num_rows == 2


@pytest.mark.parametrize("language", ["duckdb", "prql"])
def test_a_plan_means_the_same_in_each_session(raw: Raw, language: str) -> None:
    plan = substrait_plan('SELECT 7 / 2 AS n FROM heddle."Shop".customers WHERE id < 3')
    command = sql.CommandStatementSubstraitPlan(plan=sql.SubstraitPlan(plan=plan, version="0.53.0"))
    assert set_options(raw, language=language) == {}
    assert raw.ask(command).to_pydict() == {"n": [3, 3]}


def test_a_plan_over_a_table_that_is_not_there(raw: Raw) -> None:
    plan = substrait_plan('SELECT a FROM heddle."Shop".secrets', secrets=pa.table({"a": [1]}))
    command = sql.CommandStatementSubstraitPlan(plan=sql.SubstraitPlan(plan=plan, version="0.53.0"))
    error = refused(lambda: raw.ask(command))
    assert error.code() == CODES.INVALID_ARGUMENT


def substrait_plan(text: str, **tables: pa.Table) -> bytes:
    from datafusion import SessionContext, substrait
    from datafusion.catalog import Catalog, Schema

    customers = pa.table({"id": [1], "name": ["a"], "country": ["b"]})
    context = SessionContext()
    catalog = Catalog.memory_catalog(context)
    context.register_catalog_provider("heddle", catalog)
    catalog.register_schema("Shop", Schema.memory_schema(context))
    for name, table in {"customers": customers, **tables}.items():
        catalog.schema("Shop").register_table(name, pa.dataset.dataset(table))
    plan: bytes = substrait.Serde.serialize_bytes(text, context)
    return plan
