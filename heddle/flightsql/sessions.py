"""Sessions: the options of one client's connection.

A session is found by its cookie, by the token of a login, or by the TCP connection that the request came on,
for as long as that is there. One begins when a client first sets an option; until then the defaults hold and
nothing is kept.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Final

from heddle.core.record import record
from heddle.flightsql.options import DEFAULT_OPTIONS, Options
from heddle.flightsql.peers import Peer, peer_of
from heddle.flightsql.security import Headers, Refused

COOKIE: Final = "heddle_session"
SESSIONS_MAX: Final = 10_000
LOGINS_MAX: Final = 10_000
IDLE_S: Final = 3600.0
NAME_CHARS: Final = 12


@record(slots=True, eq=False)
class Session:
    """`id` is the cookie's value. `owner` is the viewer's name."""

    id: str
    owner: str
    connection: str
    peer: str
    options: Options
    used_s: float


@record(frozen=True, slots=True)
class Connection:
    """How a request's session is found. `cookie` is None when the client sent none. `id` tells connections
    apart: it is made of the login's token, or of the peer's address and what came as `authorization`."""

    id: str
    cookie: str | None
    peer: str
    """Of a connection that is known by where it comes from; else empty."""


class Sessions:
    """Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_id: dict[str, Session] = {}
        self._by_connection: dict[str, Session] = {}
        self._logins: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def log_in(self, token: str) -> None:
        """A login's token stands for one connection, from wherever its requests come."""
        with self._lock:
            self._logins[_digest(token)] = None
            while len(self._logins) > LOGINS_MAX:
                self._logins.pop(next(iter(self._logins)))

    def connection(self, headers: Headers, peer: str, transport: str = "grpc") -> Connection:
        """A client may come from one port to both transports' at a time: these are two connections."""
        right = headers.get("authorization", "")
        token = _digest(right.partition(" ")[2])
        cookie = _cookie(headers.get("cookie", ""))
        if token in self._logins:
            return Connection(token, cookie, "")
        return Connection(_digest(f"{transport} {peer} {right}"), cookie, peer)

    def find(self, connection: Connection, owner: str) -> Session | None:
        """None when the client has set no option. Raises `Refused` for a session that has ended."""
        with self._lock:
            if connection.cookie is not None:
                session = self._by_id.get(connection.cookie)
                if session is None or session.owner != owner:
                    raise Refused("unauthenticated", "the session has ended", help="connect again")
            else:
                session = self._by_connection.get(connection.id)
                if session is None or session.owner != owner:
                    return None
            session.used_s = self._clock()
            return session

    def open(self, connection: Connection, owner: str) -> Session:
        """The session, begun if there is none. Raises `Refused`."""
        found = self.find(connection, owner)
        if found is not None:
            return found
        with self._lock:
            if len(self._by_id) >= SESSIONS_MAX:
                self._drop(min(self._by_id.values(), key=lambda session: session.used_s))
            id = secrets.token_urlsafe(18)
            session = Session(id, owner, connection.id, connection.peer, DEFAULT_OPTIONS, self._clock())
            self._by_id[id] = self._by_connection[connection.id] = session
            return session

    def close(self, session: Session) -> None:
        with self._lock:
            self._drop(session)

    def all(self) -> list[Session]:
        with self._lock:
            return list(self._by_id.values())

    def evict_idle(self) -> None:
        oldest_s = self._clock() - IDLE_S
        with self._lock:
            for session in [each for each in self._by_id.values() if each.used_s < oldest_s]:
                self._drop(session)

    def forget_connections(self, connected: frozenset[Peer]) -> None:
        """Those that have ended: who gets their port next is somebody else. Cookies still find sessions."""
        with self._lock:
            for session in list(self._by_connection.values()):
                peer = peer_of(session.peer)
                if peer is not None and peer not in connected:
                    del self._by_connection[session.connection]

    def _drop(self, session: Session) -> None:
        self._by_id.pop(session.id, None)
        if self._by_connection.get(session.connection) is session:
            del self._by_connection[session.connection]


def session_name(connection: str) -> str:
    """What users see of a connection's id."""
    return connection[:NAME_CHARS]


def set_cookie(session: Session) -> str:
    """The header `set-cookie` that gives a client its session."""
    return f"{COOKIE}={session.id}; HttpOnly"


def end_cookie() -> str:
    return f"{COOKIE}=; Max-Age=0; HttpOnly"


def _cookie(header: str) -> str | None:
    if COOKIE not in header:
        return None
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None and found.value else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
