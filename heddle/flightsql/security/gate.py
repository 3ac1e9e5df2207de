"""Who asks: names and passwords, tokens of the users file, tokens of an identity provider, and certificates
of clients, each as far as the settings have it.

A handshake gives a login, whose token later requests bring; the other ways work for each request too. What
was checked lately is remembered, so that a request looks up and does not compute.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from math import inf
from time import time
from typing import Final

from heddle.core.record import record
from heddle.database.model import Viewer
from heddle.database.policy import viewer_of
from heddle.errors import UsageError
from heddle.flightsql.security import Headers, Refused
from heddle.flightsql.security.attempts import Attempts, address_of
from heddle.flightsql.security.certificates import name_in_certificate
from heddle.flightsql.security.jwt_tokens import JwtTokens
from heddle.flightsql.security.logins import Logins
from heddle.flightsql.security.passwords import fits
from heddle.flightsql.security.tokens import TOKEN_START, token_id
from heddle.flightsql.security.users_file import TokenEntry, UserEntry, Users, UsersFile
from heddle.serve_settings import ServeSettings

CHECKED_MAX: Final = 1024
CHECKED_S: Final = 300.0
"""How long a password or a provider's token that was checked is taken without checking it again."""

_UNKNOWN: Final = "the login is not known, or it has ended"
_WRONG: Final = "the name or the password is wrong"


@record(frozen=True, slots=True)
class _Checked:
    """`renew` gives the viewer while what was checked still holds, `ends_s` is when it ends in any case."""

    renew: Callable[[], Viewer | None]
    ends_s: float = inf


class Gate:
    """An `Authenticator`. Thread-safe."""

    def __init__(
        self,
        settings: ServeSettings,
        *,
        users: UsersFile | None = None,
        jwt: JwtTokens | None = None,
        attempts: Attempts | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self._settings = settings
        self._users = users
        self._jwt = jwt
        self._attempts = attempts or Attempts()
        self._clock = clock
        self._logins = Logins(settings.login_s, clock)
        self._lock = threading.Lock()
        self._checked: OrderedDict[bytes, tuple[float, _Checked]] = OrderedDict()
        self._key = secrets.token_bytes(32)

    def handshake(self, header: str | None, peer_certificate: bytes | None = None, peer: str = "") -> str:
        found = self._of_header(header, peer) if header else self._of_certificate(peer_certificate)
        return self._logins.begin(found.renew, found.ends_s)

    def authenticate(self, headers: Headers, peer_certificate: bytes | None, peer: str = "") -> Viewer:
        header = headers.get("authorization")
        if header is None:
            found = self._of_certificate(peer_certificate)
        else:
            scheme, value = _parts(header)
            if scheme == "bearer" and (viewer := self._logins.viewer(value)) is not None:
                return viewer
            found = self._of_header(header, peer)
        viewer = found.renew()
        if viewer is None:
            raise Refused("unauthenticated", _UNKNOWN, help=self._help())
        return viewer

    def _of_header(self, header: str, peer: str) -> _Checked:
        key = hmac.digest(self._key, header.encode("utf-8", "surrogatepass"), "sha256")
        with self._lock:
            until_s, known = self._checked.get(key, (0.0, None))
        if known is not None and until_s > self._clock() and known.renew() is not None:
            return known
        scheme, value = _parts(header)
        match scheme:
            case "basic":
                found = self._of_password(value, peer)
            case "bearer" if value.startswith(TOKEN_START):
                return self._of_token(value)
            case "bearer" if self._jwt is not None and value.count(".") == 2:
                found = self._of_jwt(self._jwt, value)
            case _:
                raise Refused("unauthenticated", _UNKNOWN, help=self._help())
        with self._lock:
            self._checked[key] = min(found.ends_s, self._clock() + CHECKED_S), found
            while len(self._checked) > CHECKED_MAX:
                self._checked.popitem(last=False)
        return found

    def _of_password(self, value: str, peer: str) -> _Checked:
        if self._users is None:
            raise Refused("unauthenticated", "this server takes no passwords", help=self._help())
        name, password = _name_and_password(value)
        address = address_of(peer)
        wait_s = self._attempts.wait_s(address, name)
        if wait_s > 0:
            message = f"too many logins have failed; try again in {wait_s:.0f} s"
            raise Refused("exhausted", message, claimed=name)
        user = self._current(self._users).get(name)
        if not fits(password, user.password if user is not None else None):
            self._attempts.failed(address, name)
            raise Refused("unauthenticated", _WRONG, claimed=name)
        assert user is not None, "nobody's password fits"
        self._attempts.succeeded(address, name)
        return _Checked(self._renewing(self._users, name, lambda now: now.password == user.password))

    def _of_token(self, token: str) -> _Checked:
        """A token of the users file: random, so that its hash needs no salt and takes no time."""
        users = self._users
        if users is None:
            raise Refused("unauthenticated", _UNKNOWN, help=self._help())
        digest, id = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest(), token_id(token)
        entries = [
            (user.name, e) for user in self._current(users).values() for e in user.tokens if e.id == id
        ]
        for name, entry in entries:
            ends_s = float(entry.expires_s) if entry.expires_s is not None else inf
            if hmac.compare_digest(entry.digest.encode(), digest.encode()) and ends_s > self._clock():
                holds = partial(_has_token, entry)
                return _Checked(self._renewing(users, name, holds), ends_s)
        raise Refused("unauthenticated", "the token is not known, or it has expired")

    def _of_jwt(self, tokens: JwtTokens, token: str) -> _Checked:
        identity = tokens.identity(token)
        viewer = viewer_of(self._settings, identity.name, identity.roles)
        return _Checked(lambda: viewer if identity.ends_s > self._clock() else None, identity.ends_s)

    def _of_certificate(self, pem: bytes | None) -> _Checked:
        tls = self._settings.tls
        if tls is None or tls.client_authority is None or tls.client_name == "none" or pem is None:
            raise Refused("unauthenticated", "this server asks who you are", help=self._help())
        name = name_in_certificate(pem, tls.client_name)
        if name is None:
            message = f"the client's certificate has no single name of the kind `{tls.client_name}`"
            raise Refused("unauthenticated", message)
        viewer = viewer_of(self._settings, name, self._file_roles(name))
        return _Checked(lambda: viewer)

    def _file_roles(self, name: str) -> tuple[str, ...]:
        user = self._current(self._users).get(name) if self._users is not None else None
        return user.roles if user is not None else ()

    def _renewing(
        self, file: UsersFile, name: str, holds: Callable[[UserEntry], bool]
    ) -> Callable[[], Viewer | None]:
        """Who has logged in, as long as the file has the user with what was checked; roles are the file's."""
        last: tuple[Users, Viewer | None] | None = None

        def renew() -> Viewer | None:
            nonlocal last
            users = self._current(file)
            if last is None or last[0] is not users:
                user = users.get(name)
                fit = user is not None and holds(user)
                last = (
                    users,
                    viewer_of(self._settings, name, user.roles) if user is not None and fit else None,
                )
            return last[1]

        return renew

    def _current(self, file: UsersFile) -> Users:
        try:
            return file.current()
        except UsageError as error:
            raise Refused("unavailable", "logins cannot be checked at the moment") from error

    def _help(self) -> str:
        ways = ["log in with a name and a password, or send a token"] if self._users is not None else []
        ways += ["send a token of the identity provider"] if self._jwt is not None else []
        return "; or ".join(ways) or "use a client's certificate"


def _has_token(token: TokenEntry, user: UserEntry) -> bool:
    return token in user.tokens


def _parts(header: str) -> tuple[str, str]:
    scheme, _, value = header.strip().partition(" ")
    return scheme.lower(), value.strip()


def _name_and_password(value: str) -> tuple[str, str]:
    """Of a `Basic` header; some clients leave its padding out."""
    try:
        text = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise Refused("unauthenticated", "the header `authorization` cannot be read") from error
    name, colon, password = text.partition(":")
    if not colon or not name:
        raise Refused("unauthenticated", "a name and a password are needed")
    return name, password
