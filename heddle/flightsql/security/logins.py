"""Logins: tokens that a handshake gives, each bound to who has logged in, until it is not used for a while.

A token is random and is kept as a hash only, so what the process holds lets nobody in.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from time import time
from typing import Final

from heddle.core.record import record
from heddle.database.model import Viewer

LOGINS_MAX: Final = 10_000
TOKEN_BYTES: Final = 32

Renew = Callable[[], Viewer | None]


@record(slots=True, eq=False)
class _Login:
    renew: Renew
    used_s: float
    ends_s: float


class Logins:
    """Thread-safe. The oldest login ends when there are more than `LOGINS_MAX`."""

    def __init__(self, idle_s: float, clock: Callable[[], float] = time) -> None:
        """`idle_s`: a login that is not used for so long has ended."""
        self._idle_s = idle_s
        self._clock = clock
        self._lock = threading.Lock()
        self._logins: OrderedDict[bytes, _Login] = OrderedDict()

    def begin(self, renew: Renew, ends_s: float = inf) -> str:
        """A token. `renew` gives who it stands for each time that it is used, None when it does no longer;
        `ends_s`, which counts from 1970, is when it ends in any case."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._lock:
            self._logins[_digest(token)] = _Login(renew, self._clock(), ends_s)
            while len(self._logins) > LOGINS_MAX:
                self._logins.popitem(last=False)
        return token

    def viewer(self, token: str) -> Viewer | None:
        """Who has logged in with this token; None when nobody has, or the login has ended."""
        # Found by its hash, so the time it takes tells nothing of other tokens.
        key, now_s = _digest(token), self._clock()
        with self._lock:
            login = self._logins.get(key)
            if login is None:
                return None
            if login.ends_s <= now_s or now_s - login.used_s > self._idle_s:
                del self._logins[key]
                return None
            login.used_s = now_s
            self._logins.move_to_end(key)
        viewer = login.renew()
        if viewer is None:
            with self._lock:
                self._logins.pop(key, None)
        return viewer


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
