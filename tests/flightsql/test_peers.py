"""Which clients are connected, and what that means for sessions."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from heddle.database.model import LOCAL
from heddle.flightsql.peers import connected_peers, peer_of
from heddle.flightsql.security import Refused
from heddle.flightsql.sessions import IDLE_S, Connection, Sessions, set_cookie
from tests.waiting import until

ADDRESSES = {
    "ipv4:127.0.0.1:1234": ("127.0.0.1", 1234),
    "ipv6:%5B::1%5D:1234": ("::1", 1234),
    "ipv6:[::ffff:10.0.0.1]:1": ("10.0.0.1", 1),
}


@pytest.mark.parametrize(("address", "place"), ADDRESSES.items(), ids=ADDRESSES)
def test_an_address(address: str, place: tuple[str, int]) -> None:
    assert peer_of(address) == (ip_address(place[0]), place[1])


@pytest.mark.parametrize("address", ["", "unix:/tmp/x", "ipv4:127.0.0.1", "ipv4:somewhere:1"])
def test_no_address(address: str) -> None:
    assert peer_of(address) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_are_seen_until_they_end(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        if connected_peers(port) is None:
            pytest.skip("this system does not tell")
        with socket.create_connection((host, port)) as client:
            peer = (ip_address(host), client.getsockname()[1])
            accepted, _ = server.accept()
            assert connected_peers(port) == {peer}
        accepted.close()
        until(lambda: connected_peers(port) == frozenset(), "the connection is still seen")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def connection(sessions: Sessions, port: int, cookie: str | None = None) -> Connection:
    headers = {"cookie": cookie} if cookie is not None else {}
    return sessions.connection(headers, f"ipv4:127.0.0.1:{port}")


def test_who_gets_a_port_next_has_a_session_of_their_own() -> None:
    sessions = Sessions(Clock())
    first = sessions.open(connection(sessions, 1), LOCAL.name)
    other = sessions.open(connection(sessions, 2), LOCAL.name)
    peer = peer_of("ipv4:127.0.0.1:2")
    assert peer is not None
    sessions.forget_connections(frozenset({peer}))
    assert sessions.find(connection(sessions, 1), LOCAL.name) is None
    assert sessions.find(connection(sessions, 2), LOCAL.name) is other
    cookie = set_cookie(first).partition(";")[0]
    assert sessions.find(connection(sessions, 9, cookie), LOCAL.name) is first


def test_a_session_belongs_to_its_owner() -> None:
    sessions = Sessions(Clock())
    session = sessions.open(connection(sessions, 1), "ada")
    assert sessions.find(connection(sessions, 1), "grace") is None
    cookie = set_cookie(session).partition(";")[0]
    with pytest.raises(Refused):
        sessions.find(connection(sessions, 1, cookie), "grace")


def test_idle_sessions_end() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    sessions.open(connection(sessions, 1), "ada")
    clock.now_s = IDLE_S - 1
    used = sessions.open(connection(sessions, 2), "ada")
    clock.now_s = IDLE_S + 1
    sessions.evict_idle()
    assert sessions.all() == [used]
