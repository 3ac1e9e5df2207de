"""Calls of pyarrow's server as they come and go: how many there may be, and which clients have gone away.

The server has a thread for each call, as many as there are, and says that a client has gone only when it is
asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from pyarrow import flight

from heddle.flightsql.native_status import Unauthenticated, Unavailable

STREAMS_MAX: Final = 512
REQUESTS_MAX: Final = 128
LOOK_S: Final = 0.05
"""How often it is asked whether clients have gone."""
IDLE_S: Final = 1.0
"""Without calls it is looked on for so long, so that not each call wakes a thread."""
MIDDLEWARE: Final = "heddle"

_STREAMS: Final = frozenset({flight.FlightMethod.DO_GET, flight.FlightMethod.DO_PUT})
IsGone: TypeAlias = Callable[[], bool]


class Arrival(flight.ServerMiddleware):  # type: ignore[misc]
    """One call: the headers that it came with."""

    def __init__(self, headers: Mapping[str, str], ended: Callable[[], None]) -> None:
        self.headers = headers
        self._ended = ended

    def call_completed(self, error: Exception | None) -> None:
        self._ended()


class Arrivals(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Lets calls in, up to so many; further ones are refused at once. Thread-safe."""

    def __init__(self, login_url: str) -> None:
        """`login_url` is where clients log in."""
        self._login_url = login_url
        self._lock = threading.Lock()
        self._refuses = False
        self._streams = 0
        self._requests = 0

    def start_call(self, info: flight.CallInfo, headers: Mapping[str, Sequence[str | bytes]]) -> Arrival:
        if info.method == flight.FlightMethod.HANDSHAKE:
            raise Unauthenticated(
                f"this port has no handshake\nlog in at {self._login_url}, or send `authorization` each time"
            )
        if self._refuses:
            raise Unavailable("the server is ending\nconnect to another, or try later")
        is_stream = info.method in _STREAMS
        with self._lock:
            if is_stream:
                if self._streams >= STREAMS_MAX:
                    raise Unavailable("the server has too many streams\ntry again later")
                self._streams += 1
            else:
                if self._requests >= REQUESTS_MAX:
                    raise Unavailable("the server has too many requests\ntry again later")
                self._requests += 1
        texts = {name: values[-1] for name, values in headers.items() if isinstance(values[-1], str)}
        return Arrival(texts, self._stream_ended if is_stream else self._request_ended)

    def refuse(self) -> None:
        """Let no more calls in."""
        self._refuses = True

    def _stream_ended(self) -> None:
        with self._lock:
            self._streams -= 1

    def _request_ended(self) -> None:
        with self._lock:
            self._requests -= 1


class Departures:
    """Tells calls that their clients have gone. Thread-safe. A call is not asked after `forget`: what it
    would answer with is not there any more."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: dict[IsGone, list[Callable[[], None]]] = {}
        self._sleeps = False
        self._closed = False
        self._thread = threading.Thread(target=self._look, name="flightsql-departures", daemon=True)
        self._thread.start()

    def watch(self, is_gone: IsGone, callback: Callable[[], None]) -> None:
        """`callback` is called once, in another thread, when `is_gone` says so."""
        with self._changed:
            self._calls.setdefault(is_gone, []).append(callback)
            if self._sleeps:
                self._changed.notify()

    def forget(self, is_gone: IsGone) -> None:
        with self._changed:
            self._calls.pop(is_gone, None)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _look(self) -> None:
        busy_until_s = 0.0
        while True:
            callbacks: list[Callable[[], None]] = []
            with self._changed:
                if self._calls:
                    busy_until_s = time.monotonic() + IDLE_S
                elif time.monotonic() >= busy_until_s:
                    self._sleeps = True
                    self._changed.wait_for(lambda: self._calls or self._closed)
                    self._sleeps = False
                self._changed.wait_for(lambda: self._closed, LOOK_S)
                if self._closed:
                    return
                for is_gone in [each for each in self._calls if each()]:
                    callbacks += self._calls.pop(is_gone)
            for callback in callbacks:
                callback()
