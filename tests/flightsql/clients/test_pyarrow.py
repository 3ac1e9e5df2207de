"""pyarrow's own Flight client, which knows nothing of SQL: commands are packed by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.flight
import pytest
from google.protobuf.message import Message

from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.clients import every_type, keyed
from tests.flightsql.clients.raw import pack, unpack
from tests.flightsql.clients.shop import LONG


@pytest.fixture
def client(uri: str) -> Iterator[pa.flight.FlightClient]:
    with pa.flight.connect(uri) as client:
        yield client


def described(command: Message) -> pa.flight.FlightDescriptor:
    return pa.flight.FlightDescriptor.for_command(pack(command))


def ask(client: pa.flight.FlightClient, command: Message) -> pa.Table:
    (endpoint,) = client.get_flight_info(described(command)).endpoints
    return client.do_get(endpoint.ticket).read_all()


def query(text: str) -> sql.CommandStatementQuery:
    return sql.CommandStatementQuery(query=text)


def test_metadata(client: pa.flight.FlightClient) -> None:
    assert ask(client, sql.CommandGetCatalogs()).to_pydict() == {"catalog_name": ["heddle"]}
    assert "Shop" in ask(client, sql.CommandGetDbSchemas())["db_schema_name"].to_pylist()
    tables = ask(client, sql.CommandGetTables(db_schema_filter_pattern="Shop"))
    assert tables["table_name"].to_pylist() == ["customers", "numbers", "orders"]
    names = {action.type for action in client.list_actions()}
    assert {"CreatePreparedStatement", "CancelFlightInfo", "CloseSession"} <= names


def test_keys(client: pa.flight.FlightClient) -> None:
    """From either side, in the protocol's order."""
    at = {"catalog": "heddle", "db_schema": "Keyed"}
    for name, expected in (("parents", keyed.PARENT_KEY), ("children", keyed.CHILD_KEY)):
        found = ask(client, sql.CommandGetPrimaryKeys(**at, table=name))
        assert rows(found, "column_name", "key_sequence", "key_name") == expected
    crossing = sql.CommandGetCrossReference(
        pk_db_schema="Keyed", pk_table="parents", fk_db_schema="Keyed", fk_table="children"
    )
    for command, told in (
        (sql.CommandGetImportedKeys(**at, table="children"), [*keyed.TO_CHILDREN, *keyed.TO_PARENTS]),
        (sql.CommandGetImportedKeys(**at, table="parents"), []),
        (sql.CommandGetExportedKeys(**at, table="parents"), keyed.TO_PARENTS),
        (sql.CommandGetExportedKeys(**at, table="children"), keyed.TO_CHILDREN),
        (crossing, keyed.TO_PARENTS),
    ):
        names = ("pk_table_name", "pk_column_name", "fk_table_name", "fk_column_name")
        found = ask(client, command)
        assert rows(found, *names, "key_sequence", "fk_key_name", "pk_key_name") == told
        assert set(found["update_rule"].to_pylist()) <= {3}


def rows(table: pa.Table, *names: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in table.select(names).to_pylist()]


def test_every_type(client: pa.flight.FlightClient) -> None:
    """The information about the answer promises the schema that it has; the rows are whole."""
    info = client.get_flight_info(described(query("SELECT * FROM Types.everything")))
    found = client.do_get(info.endpoints[0].ticket).read_all()
    assert found.schema.equals(info.schema, check_metadata=True)
    assert client.get_schema(info.descriptor).schema.equals(info.schema)
    given = every_type.everything()
    assert {name: found[name].to_pylist() for name in found.schema.names} == {
        name: given[name].to_pylist() for name in given.schema.names
    }


def test_parameters(client: pa.flight.FlightClient) -> None:
    text = "SELECT name FROM Shop.customers WHERE id = $1"
    request = pack(sql.ActionCreatePreparedStatementRequest(query=text))
    (result,) = client.do_action(("CreatePreparedStatement", request))
    made = sql.ActionCreatePreparedStatementResult()
    unpack(result.body.to_pybytes(), made)
    parameters = pa.ipc.read_schema(pa.py_buffer(made.parameter_schema))
    assert parameters.types == [pa.int64()]
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=made.prepared_statement_handle)
    for id_, name in ((1, "Ada"), (3, "Edsger")):
        rows = pa.table([[id_]], schema=parameters)
        writer, replies = client.do_put(described(command), rows.schema)
        with writer:
            writer.write_table(rows)
            writer.done_writing()
            told = sql.DoPutPreparedStatementResult.FromString(replies.read().to_pybytes())
        if told.prepared_statement_handle:
            command.prepared_statement_handle = told.prepared_statement_handle
        assert ask(client, command).to_pydict() == {"name": [name]}


def test_cancel(client: pa.flight.FlightClient) -> None:
    info = client.get_flight_info(described(query(LONG)))
    stream = client.do_get(info.endpoints[0].ticket)
    request = flight.CancelFlightInfoRequest(info=flight.FlightInfo.FromString(info.serialize()))
    (result,) = client.do_action(("CancelFlightInfo", request.SerializeToString()))
    answered = flight.CancelFlightInfoResult.FromString(result.body.to_pybytes())
    assert answered.status in {flight.CANCEL_STATUS_CANCELLED, flight.CANCEL_STATUS_CANCELLING}
    with pytest.raises(pa.flight.FlightCancelledError, match="cancelled"):
        stream.read_chunk()


def test_what_is_wrong_is_said(client: pa.flight.FlightClient) -> None:
    with pytest.raises(pa.ArrowException, match="nowhere"):
        client.get_flight_info(described(query("SELECT * FROM nowhere")))
