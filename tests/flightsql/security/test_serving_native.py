"""The native port lets in whom gRPC's does, and shows each what they may see."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.flight
import pytest

from heddle.flightsql.security.tokens import new_token
from heddle.flightsql.wire import flight_pb2
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.asking import query, refused
from tests.flightsql.clients.raw import Raw, descriptor
from tests.flightsql.security.certificates import Authority, Pair
from tests.flightsql.security.guarded import PASSWORD, Guarded, user
from tests.services.service import HOST
from tests.waiting import until

CODES = grpc.StatusCode
SETTINGS = """\
users_file = "users.toml"
native = 0

[serve.audit]
file = "audit.jsonl"
"""
TLS = '[serve.tls]\ncertificate = "server.crt"\nkey = "server.key"\n'
MUTUAL = f'{TLS}client_authority = "clients.crt"\nclient_name = "none"\n'
TOKEN, ENTRY = new_token(None)
ORDERS = "SELECT id, card FROM Shop.orders ORDER BY id"


@pytest.fixture(scope="module")
def server() -> Iterator[Guarded]:
    users = (user("ada", "analyst"), user("bob", "analyst"), user("robot", "analyst", token=ENTRY))
    with Guarded(SETTINGS, users) as running:
        yield running


def basic(name: str, password: str = PASSWORD) -> tuple[tuple[str, str], ...]:
    right = base64.b64encode(f"{name}:{password}".encode()).decode()
    return (("authorization", f"Basic {right}"),)


@pytest.mark.parametrize("right", [basic("ada"), (("authorization", f"Bearer {TOKEN}"),)])
def test_a_password_and_a_token_let_in(server: Guarded, right: tuple[tuple[str, str], ...]) -> None:
    with Raw(server.native_uri, right) as raw:
        assert raw.ask(query("SELECT 1 AS one")).to_pydict() == {"one": [1]}


@pytest.mark.parametrize(
    ("right", "word"), [((), "asks who you are"), (basic("eve", "wrong"), "password is wrong")]
)
@pytest.mark.parametrize("method", ["GetFlightInfo", "DoGet", "DoAction", "ListActions", "DoPut"])
def test_nobody_else_comes_in(
    server: Guarded, method: str, right: tuple[tuple[str, str], ...], word: str
) -> None:
    asked = descriptor(query("SELECT 1"))
    requests = {
        "GetFlightInfo": asked,
        "DoGet": flight_pb2.Ticket(ticket=b"x").SerializeToString(),
        "DoAction": flight_pb2.Action(type="GetSessionOptions").SerializeToString(),
        "ListActions": b"",
        "DoPut": flight_pb2.FlightData(
            flight_descriptor=flight_pb2.FlightDescriptor.FromString(asked)
        ).SerializeToString(),
    }
    with Raw(server.native_uri, right) as raw:
        error = refused(lambda: raw.send(method, requests[method]))
    assert error.code() == CODES.UNAUTHENTICATED
    assert word in (error.details() or "")


def test_each_sees_their_own_and_no_ticket_of_others(server: Guarded) -> None:
    with Raw(server.native_uri, basic("ada")) as ada, Raw(server.native_uri, basic("bob")) as bob:
        assert ada.ask(query(ORDERS)).to_pydict() == {
            "id": [1, 3],
            "card": ["****4444", "****2222"],
        }
        assert bob.ask(query(ORDERS))["id"].to_pylist() == [2]
        for name in ("Shop.secrets", "Shop.nowhere"):
            text = f"SELECT * FROM {name}"
            assert refused(lambda text=text: bob.info(query(text))).code() == CODES.NOT_FOUND
        info = ada.info(query(ORDERS))
        ticket = info.endpoint[0].ticket
        assert refused(lambda: bob.get(ticket)).code() == CODES.NOT_FOUND
        with Raw(server.uri, basic("bob")) as elsewhere:
            assert refused(lambda: elsewhere.get(ticket)).code() == CODES.NOT_FOUND
        with Raw(server.uri, basic("ada")) as elsewhere:
            assert elsewhere.get(info.endpoint[0].ticket)["id"].to_pylist() == [1, 3]


def test_what_is_asked_is_in_the_audit_log(server: Guarded) -> None:
    with Raw(server.native_uri, basic("bob")) as raw:
        raw.ask(query("SELECT 4711 AS audited"))
        ingest = sql.CommandStatementIngest(
            table="audited",
            table_definition_options=sql.CommandStatementIngest.TableDefinitionOptions(
                if_not_exist=1, if_exists=1
            ),
        )
        raw.put(ingest, pa.table({"x": [1, 2]}))

    def noted() -> list[tuple[object, object]]:
        events = [each for each in server.audited() if each["viewer"] == "bob"]
        return [(each["what"], each["outcome"]) for each in events if "audited" in str(each)]

    until(lambda: noted() == [("query", "ok"), ("ingest", "ok")], "it is not noted")


class Secured(Guarded):
    def __init__(self, settings: str, authority: Authority) -> None:
        super().__init__(settings)
        self._authority = authority

    def _fill(self, folder: Path) -> None:
        super()._fill(folder)
        self._authority.server().write(folder, "server")
        (folder / "clients.crt").write_bytes(self._authority.certificate)

    @property
    def uri(self) -> str:
        return f"grpc+tls://{HOST}:{self.port}"


def answered(uri: str, authority: Authority, client: Pair | None = None) -> list[object]:
    """What pyarrow's client gets for a small question."""
    trusted: Mapping[str, bytes] = {"tls_root_certs": authority.certificate}
    if client is not None:
        trusted |= {"cert_chain": client.certificate, "private_key": client.key}
    asked = flight_pb2.FlightDescriptor.FromString(descriptor(query("SELECT 1 AS one")))
    with pa.flight.connect(uri, **trusted) as connection:
        info = connection.get_flight_info(pa.flight.FlightDescriptor.for_command(asked.cmd))
        found: list[object] = connection.do_get(info.endpoints[0].ticket).read_all()["one"].to_pylist()
    return found


def test_tls() -> None:
    ours, others = Authority("ours"), Authority("others")
    with Secured(f"native = 0\n{TLS}", ours) as server:
        assert server.native_uri.startswith("grpc+tls://")
        assert answered(server.native_uri, ours) == [1]
        with pytest.raises(pa.flight.FlightUnavailableError):
            answered(server.native_uri, others)


def test_clients_need_the_same_certificates() -> None:
    ours, others = Authority("ours"), Authority("others")
    with Secured(f"native = 0\n{MUTUAL}", ours) as server:
        assert answered(server.native_uri, ours, ours.client("anybody")) == [1]
        for client in (None, others.client("anybody")):
            with pytest.raises(pa.flight.FlightUnavailableError):
                answered(server.native_uri, ours, client)
