"""Which statements run and which wait: a number at a time over all viewers and for each of them.

Who waits is served in turns, one viewer after the other, so that one with many statements does not hold up
the others; each viewer's own statements go in their order. The queue and the waiting are bounded.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from time import monotonic
from typing import Final, TypeVar

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.model import Settings, Viewer
from heddle.serve_settings import EVERYONE, NO_LIMITS, Limits, ServeSettings

N = TypeVar("N", int, float)
LOOK_S: Final = 0.1
"""How often a waiting statement looks whether it was cancelled."""
VIEWERS_MAX: Final = 1_000
"""Whose limits are kept in mind."""


@record(frozen=True, slots=True)
class Load:
    """How many statements hold a place, and how many wait for one."""

    admitted: int = 0
    waiting: int = 0


@record(slots=True, eq=False)
class _Waiting:
    viewer: Viewer
    admitted: bool = False


class Admission:
    """Thread-safe."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._limits_of = lru_cache(VIEWERS_MAX)(partial(limits_of, settings))
        self._changed = threading.Condition()
        self._running: dict[str, int] = {}
        self._queues: dict[str, deque[_Waiting]] = {}
        """By viewer's name, in the order in which the viewers' turns come."""

    @contextmanager
    def admit(self, viewer: Viewer, cancelled: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Waits until the viewer may run one more statement; the statement runs inside. Raises `QueryError`
        when the queue is full, the waiting takes too long or `cancelled()` is true."""
        self._enter(viewer, cancelled)
        try:
            yield
        finally:
            with self._changed:
                self._running[viewer.name] -= 1
                if not self._running[viewer.name]:
                    del self._running[viewer.name]
                self._admit_waiting()

    def is_free(self, viewer: Viewer) -> bool:
        """Whether a statement of the viewer's would not have to wait."""
        with self._changed:
            return not self._queues and self._has_room(viewer)

    def load(self) -> Load:
        with self._changed:
            return Load(sum(self._running.values()), sum(map(len, self._queues.values())))

    def limited(self, viewer: Viewer, settings: Settings) -> Settings:
        """The settings with the viewer's limits where they are stricter."""
        limits = self._limits_of(viewer)
        if limits.timeout_s is limits.rows_max is limits.memory_bytes is None:
            return settings
        return replace(
            settings,
            timeout_s=_stricter(settings.timeout_s, limits.timeout_s),
            rows_max=_stricter(settings.rows_max, limits.rows_max),
            memory_bytes=_stricter(settings.memory_bytes, limits.memory_bytes),
        )

    def _enter(self, viewer: Viewer, cancelled: Callable[[], bool]) -> None:
        admission = self._settings.admission
        with self._changed:
            if not self._queues and self._has_room(viewer):
                self._take_place(viewer.name)
                return
            waiting = _Waiting(viewer)
            if sum(map(len, self._queues.values())) >= admission.waiting and not self._has_room(viewer):
                message = f"{admission.waiting} statements are waiting already; try again later"
                raise QueryError("exhausted", message)
            self._queues.setdefault(viewer.name, deque()).append(waiting)
            self._admit_waiting()
            until_s = monotonic() + admission.wait_s
            try:
                while not waiting.admitted:
                    if cancelled():
                        raise QueryError("cancelled", "the statement was cancelled while it waited")
                    left_s = until_s - monotonic()
                    if left_s <= 0:
                        raise self._waited(viewer)
                    self._changed.wait(min(left_s, LOOK_S))
            finally:
                if not waiting.admitted:
                    self._forget(waiting)

    def _waited(self, viewer: Viewer) -> QueryError:
        wait_s = self._settings.admission.wait_s
        own = self._limits_of(viewer).concurrency
        if own is not None and self._running.get(viewer.name, 0) >= own:
            cause = f"{viewer.name} may run {own} at a time"
        else:
            cause = f"the server runs {self._settings.admission.running} at a time"
        return QueryError("exhausted", f"the statement waited for {wait_s:g} s to begin: {cause}")

    def _admit_waiting(self) -> None:
        """Let in whoever may, one statement of each viewer in turn. The lock is held."""
        passed = 0
        while passed < len(self._queues):
            name = next(iter(self._queues))
            queue = self._queues.pop(name)
            if self._has_room(queue[0].viewer):
                first = queue.popleft()
                first.admitted = True
                self._take_place(name)
                passed = 0
            else:
                passed += 1
            if queue:
                self._queues[name] = queue
        self._changed.notify_all()

    def _take_place(self, name: str) -> None:
        self._running[name] = self._running.get(name, 0) + 1

    def _has_room(self, viewer: Viewer) -> bool:
        own = self._limits_of(viewer).concurrency
        if own is not None and self._running.get(viewer.name, 0) >= own:
            return False
        return sum(self._running.values()) < self._settings.admission.running

    def _forget(self, waiting: _Waiting) -> None:
        queue = self._queues[waiting.viewer.name]
        queue.remove(waiting)
        if not queue:
            del self._queues[waiting.viewer.name]


def limits_of(settings: ServeSettings, viewer: Viewer) -> Limits:
    """Each limit as the settings say it for the user; else the widest of the viewer's roles; else for all."""
    user = settings.users.get(viewer.name)
    own = user.limits if user is not None else NO_LIMITS
    roles = [settings.roles[name].limits for name in (*viewer.roles, EVERYONE) if name in settings.roles]
    return Limits(
        _first(own.concurrency, _widest([r.concurrency for r in roles]), settings.limits.concurrency),
        _first(own.memory_bytes, _widest([r.memory_bytes for r in roles]), settings.limits.memory_bytes),
        _first(own.timeout_s, _widest([r.timeout_s for r in roles]), settings.limits.timeout_s),
        _first(own.rows_max, _widest([r.rows_max for r in roles]), settings.limits.rows_max),
    )


def _first(*values: N | None) -> N | None:
    return next((value for value in values if value is not None), None)


def _widest(values: Sequence[N | None]) -> N | None:
    return max((value for value in values if value is not None), default=None)


def _stricter(asked: N | None, allowed: N | None) -> N | None:
    return min((value for value in (asked, allowed) if value is not None), default=None)
