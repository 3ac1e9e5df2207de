"""What tools send when they connect, show a database and ask a query, RPC by RPC, for tools that no test can
start: DBeaver and Tableau through the JDBC driver, Superset, Grafana, and Power BI through ADBC."""

from __future__ import annotations

import base64

import pyarrow as pa

from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.clients.raw import Raw, descriptor, unpack

QUESTION = "SELECT id, name FROM Shop.customers ORDER BY id"
ANSWER = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}, {"id": 3, "name": "Edsger"}]
READ_ONLY, TRANSACTIONS, QUOTE = 3, 8, 504


def test_dbeaver(raw: Raw) -> None:
    facts = raw.ask(sql.CommandGetSqlInfo())
    assert facts.num_rows > 50
    assert raw.ask(sql.CommandGetCatalogs())["catalog_name"].to_pylist() == ["heddle"]
    schemas = raw.ask(sql.CommandGetDbSchemas(catalog="heddle", db_schema_filter_pattern="%"))
    assert "Shop" in schemas["db_schema_name"].to_pylist()
    assert "VIEW" in raw.ask(sql.CommandGetTableTypes())["table_type"].to_pylist()
    asked = sql.CommandGetTables(
        catalog="heddle", db_schema_filter_pattern="Shop", table_name_filter_pattern="%"
    )
    assert {"customers", "orders"} <= set(raw.ask(asked)["table_name"].to_pylist())
    asked.table_name_filter_pattern = "customers"
    asked.include_schema = True
    (table,) = raw.ask(asked).to_pylist()
    assert pa.ipc.read_schema(pa.py_buffer(table["table_schema"])).names == ["id", "name", "country"]
    place = {"catalog": "heddle", "db_schema": "Shop", "table": "customers"}
    for keys in (sql.CommandGetPrimaryKeys, sql.CommandGetImportedKeys, sql.CommandGetExportedKeys):
        raw.ask(keys(**place))
    assert raw.ask(sql.CommandGetXdbcTypeInfo()).num_rows > 10
    for _ in range(2):  # a tab, and the same again
        assert prepared(raw, QUESTION).to_pylist() == ANSWER


def test_tableau(raw: Raw) -> None:
    """It tries what the server can with small statements before it asks for rows."""
    raw.ask(sql.CommandGetSqlInfo())
    assert raw.ask(sql.CommandGetTableTypes()).num_rows
    keys = raw.ask(sql.CommandGetPrimaryKeys(db_schema="Shop", table="orders"))
    assert keys.schema.names[3] == "column_name"
    text = 'SELECT "orders"."id" AS "id" FROM "Shop"."orders" "orders" LIMIT 0'
    assert prepared(raw, text).schema.names == ["id"]
    text = 'SELECT SUM("orders"."amount") AS "sum" FROM "Shop"."orders" "orders" HAVING COUNT(1) > 0'
    assert prepared(raw, text).num_rows == 1


def test_superset(raw: Raw) -> None:
    """It asks for four facts, quotes names by one of them, and sends text with the values written out."""
    facts = raw.ask(sql.CommandGetSqlInfo(info=[0, 2, READ_ONLY, QUOTE])).to_pylist()
    known = {fact["info_name"]: fact["value"] for fact in facts}
    assert known[QUOTE] == '"'
    assert known[READ_ONLY] in {True, False}
    assert "Shop" in raw.ask(sql.CommandGetDbSchemas())["db_schema_name"].to_pylist()
    tables = raw.ask(sql.CommandGetTables(db_schema_filter_pattern="Shop"))
    assert "orders" in tables["table_name"].to_pylist()
    text = 'SELECT "name" FROM "Shop".customers WHERE "country" = \'DE\' LIMIT 1001'
    assert raw.ask(sql.CommandStatementQuery(query=text)).to_pylist() == [{"name": "Ada"}]
    text = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'Shop' ORDER BY table_name"
    found = raw.ask(sql.CommandStatementQuery(query=text))["table_name"].to_pylist()
    assert {"customers", "orders"} <= set(found)


def test_superset_with_prepared_statements(raw: Raw) -> None:
    """A parameter is a dense union of all types that it knows. The handle that DoPut answers is not read."""
    text = "SELECT name FROM Shop.customers WHERE id = ? AND country = ?"
    handle = create(raw, text).prepared_statement_handle
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    raw.put(command, pa.table({"param_0": union_of(2), "param_1": union_of("US")}))
    assert raw.ask(command).to_pylist() == [{"name": "Grace"}]
    close(raw, handle)


def union_of(value: int | str) -> pa.Array:
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary(), bool: pa.bool_()}
    position = list(kinds).index(type(value))
    children = [pa.array([value] if kind is type(value) else [], arrow) for kind, arrow in kinds.items()]
    return pa.UnionArray.from_dense(pa.array([position], pa.int8()), pa.array([0], pa.int32()), children)


def test_grafana(raw: Raw) -> None:
    """It reads the first endpoint only, so all rows are there."""
    raw.ask(sql.CommandGetSqlInfo(info=[]))
    assert raw.ask(sql.CommandGetTables(include_schema=True)).num_rows
    info = raw.info(sql.CommandStatementQuery(query="SELECT v FROM Shop.numbers"))
    assert raw.get(info.endpoint[0].ticket).num_rows == 200_000


def test_power_bi(raw: Raw) -> None:
    """As the ADBC driver asks: one fact, the objects with their columns' types, a prepared statement."""
    (fact,) = raw.ask(sql.CommandGetSqlInfo(info=[TRANSACTIONS])).to_pylist()
    assert fact["value"] in {0, 1, 2}
    raw.ask(sql.CommandGetCatalogs())
    raw.ask(sql.CommandGetDbSchemas(catalog="heddle"))
    tables = raw.ask(sql.CommandGetTables(catalog="heddle", include_schema=True)).to_pylist()
    for table in tables:
        for field in pa.ipc.read_schema(pa.py_buffer(table["table_schema"])):
            assert field.metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"], (table["table_name"], field.name)
    assert prepared(raw, QUESTION).to_pylist() == ANSWER
    (closed,) = raw.act("CloseSession", flight.CloseSessionRequest(), packed=False)
    assert flight.CloseSessionResult.FromString(closed).status in {
        flight.CloseSessionResult.CLOSED,
        flight.CloseSessionResult.NOT_CLOSEABLE,
    }


def test_a_login_is_made_even_where_none_is_needed(raw: Raw) -> None:
    """Tools ask for a name and a password whether the server wants them or not, and go on with its token."""
    basic = base64.b64encode(b"somebody:secret").decode().rstrip("=")  # Go sends no padding
    call = raw.stream("Handshake", [b""], headers=[("authorization", f"Basic {basic}")])
    list(call)
    told = dict((*call.initial_metadata(), *call.trailing_metadata()))
    assert told["authorization"].startswith("Bearer ")
    found = raw.send("GetFlightInfo", asked(QUESTION), headers=[("authorization", told["authorization"])])
    assert flight.FlightInfo.FromString(found[0]).endpoint


def asked(text: str) -> bytes:
    return descriptor(sql.CommandStatementQuery(query=text))


def prepared(raw: Raw, text: str) -> pa.Table:
    """As the JDBC and ADBC drivers run each query."""
    made = create(raw, text)
    assert not made.is_update
    handle = made.prepared_statement_handle
    found = raw.ask(sql.CommandPreparedStatementQuery(prepared_statement_handle=handle))
    assert found.schema.equals(pa.ipc.read_schema(pa.py_buffer(made.dataset_schema)))
    close(raw, handle)
    return found


def create(raw: Raw, text: str) -> sql.ActionCreatePreparedStatementResult:
    (body,) = raw.act("CreatePreparedStatement", sql.ActionCreatePreparedStatementRequest(query=text))
    made = sql.ActionCreatePreparedStatementResult()
    unpack(body, made)
    return made


def close(raw: Raw, handle: bytes) -> None:
    request = sql.ActionClosePreparedStatementRequest(prepared_statement_handle=handle)
    raw.act("ClosePreparedStatement", request)
