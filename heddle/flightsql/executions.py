"""Executions that clients hold tickets for: each belongs to its owner, expires, and can be cancelled."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.model import Viewer
from heddle.flightsql.calls import OnGone
from heddle.flightsql.results import Result

TICKET_S: Final = 300.0
"""How long a ticket lives after it was made, renewed or last used."""
UNREAD_S: Final = 10.0
"""A stream that nobody has begun to read is stopped after so long, and runs again when it is asked for."""
STALLED_S: Final = 600.0
"""A client that takes nothing for so long loses its stream."""
ANSWERED_S: Final = 1.0
"""A client that has just been given a ticket will come with it."""
EXECUTIONS_MAX: Final = 10_000
CLOSE_S: Final = 5.0
RUNNING_MAX: Final = 256
"""How many answers are read at a time; further ones wait."""
KEPT_BYTES_MAX: Final = 256 << 20
"""Of answers that are there as a whole; those that were used longest ago are forgotten first."""
HANDLE_BYTES: Final = 16

T = TypeVar("T")


@record(slots=True, eq=False)
class Execution:
    """`restart` makes another result of the same statement; None for what must run once, and for an answer
    that is there as a whole, which has `kept_bytes` then. `endpoints` are the streams that share its rows,
    `repeatable` says whether these can be had again. `session` is the connection that asked for it."""

    handle: bytes
    owner: str
    session: str
    result: Result
    restart: Callable[[], Result] | None
    endpoints: int
    is_update: bool
    repeatable: bool
    used_s: float
    taken: frozenset[int] = frozenset()
    reading: int = 0
    kept_bytes: int = 0


class Executions:
    """Thread-safe. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float], *, kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._clock = clock
        self._kept_bytes_max = kept_bytes_max
        self._lock = threading.Lock()
        self._by_handle: OrderedDict[bytes, Execution] = OrderedDict()
        """In the order in which they were used last."""
        self._kept_bytes = 0
        self._pool = ThreadPoolExecutor(RUNNING_MAX, thread_name_prefix="flightsql-answer")

    def start(
        self,
        viewer: Viewer,
        session: str,
        make: Callable[[], Result],
        *,
        is_update: bool,
        once: bool,
        endpoints: int,
        at_once: bool,
    ) -> Execution:
        """Begin to run; what is done `at_once` has ended then, and may give one piece only: nobody reads yet.
        `once`: its rows cannot be made anew. Raises `QueryError` when the server holds too many."""
        result = make()
        handle = secrets.token_bytes(HANDLE_BYTES)
        endpoints = 1 if is_update else endpoints
        repeatable = not (once or is_update or endpoints > 1)
        execution = Execution(
            handle,
            viewer.name,
            session,
            result,
            make if repeatable else None,
            endpoints,
            is_update,
            repeatable,
            self._clock(),
        )
        with self._lock:
            while len(self._by_handle) >= EXECUTIONS_MAX:
                self._forget(self._oldest())
            self._by_handle[handle] = execution
        if at_once:
            self._run(execution)
        else:
            self._pool.submit(self._run, execution)
        return execution

    def _run(self, execution: Execution) -> None:
        result = execution.result
        result.produce()
        with self._lock:
            if result.is_small and execution.handle in self._by_handle:
                # What it was made with would take many times the memory of its rows.
                execution.restart = None
                execution.kept_bytes = result.size_bytes
                self._kept_bytes += execution.kept_bytes
                self._forget_too_much()

    def divided(self, execution: Execution) -> int:
        """Into how many endpoints, as their tickets are made: an answer that is there as a whole is one."""
        with self._lock:
            if execution.result.is_small:
                execution.endpoints = 1
            return execution.endpoints

    def find(self, handle: bytes, viewer: Viewer) -> Execution:
        """Raises `QueryError` when it has expired or is another's, which look the same."""
        with self._lock:
            execution = self._by_handle.get(handle)
            if execution is None or (execution.owner != viewer.name and not viewer.admin):
                raise _gone()
            self._use(execution)
            return execution

    def read(
        self,
        execution: Execution,
        endpoint: int,
        on_gone: OnGone,
        read: Callable[[Result, bool], Iterator[T]],
    ) -> Iterator[T]:
        """The stream of one of its endpoints, which `read` takes from a result that is shared or not. What is
        not kept runs again when it is asked for again, and is cancelled when its only reader goes away."""
        with self._lock:
            again = endpoint in execution.taken
            execution.taken |= {endpoint}
            execution.reading += 1
        shared = execution.endpoints > 1
        result = execution.result
        try:
            if again and (shared or not result.is_small):
                if execution.restart is None:
                    raise QueryError("failed", "the stream was read before", help="run the statement again")
                result = execution.restart()
                self._pool.submit(result.produce)
            if not shared and not on_gone(result.leave):
                result.leave()
            try:
                yield from read(result, shared)
            finally:
                if not shared:
                    result.leave()
        finally:
            with self._lock:
                execution.reading -= 1
                self._use(execution)

    def cancel(self, execution: Execution) -> bool:
        """Whether it was still running or unread. Its ticket is worth nothing afterwards."""
        with self._lock:
            known = self._drop(execution)
        execution.result.cancel()
        return known

    def cancel_all(self, session: str | None = None) -> None:
        """Those of a session, or all."""
        with self._lock:
            found = [e for e in self._by_handle.values() if session is None or e.session == session]
            for execution in found:
                self._forget(execution)

    def held(self) -> tuple[int, int]:
        """How many there are, and the bytes of their rows that are held."""
        with self._lock:
            results = [execution.result for execution in self._by_handle.values()]
        return len(results), sum(result.held_bytes for result in results)

    @property
    def under_way(self) -> int:
        """How many are being computed or read, or were just answered with a ticket."""
        now_s = self._clock()
        with self._lock:
            return sum(
                not e.result.finished or e.reading > 0 or (not e.taken and now_s - e.used_s < ANSWERED_S)
                for e in self._by_handle.values()
            )

    def evict(self) -> None:
        """Forget what has expired, and what stalls."""
        now_s = self._clock()
        with self._lock:
            for execution in list(self._by_handle.values()):
                result = execution.result
                if execution.reading:
                    if result.is_stalled and now_s - result.taken_s > STALLED_S:
                        result.cancel()
                elif now_s - execution.used_s > TICKET_S:
                    self._forget(execution)
                elif execution.restart and result.is_stalled and now_s - execution.used_s > UNREAD_S:
                    result.cancel()
                    execution.taken = frozenset({0})

    def close(self) -> None:
        """Ends all, and waits for them, but not for ever: not everything in an engine can be cancelled."""
        with self._lock:
            results = [execution.result for execution in self._by_handle.values()]
        self.cancel_all()
        self._pool.shutdown(wait=False, cancel_futures=True)
        until_s = time.monotonic() + CLOSE_S
        pause = threading.Event()
        while time.monotonic() < until_s and any(result.is_running for result in results):
            pause.wait(0.01)

    def _forget_too_much(self) -> None:
        too_much = self._kept_bytes - self._kept_bytes_max
        forgotten: list[Execution] = []
        for execution in self._by_handle.values() if too_much > 0 else ():
            if execution.kept_bytes:
                forgotten.append(execution)
                too_much -= execution.kept_bytes
            if too_much <= 0:
                break
        for execution in forgotten:
            self._forget(execution)

    def _oldest(self) -> Execution:
        oldest = next((e for e in self._by_handle.values() if not e.reading), None)
        if oldest is None:
            raise QueryError("exhausted", "the server holds too many answers", help="try again later")
        return oldest

    def _use(self, execution: Execution) -> None:
        execution.used_s = self._clock()
        if execution.handle in self._by_handle:
            self._by_handle.move_to_end(execution.handle)

    def _forget(self, execution: Execution) -> None:
        self._drop(execution)
        execution.result.cancel()

    def _drop(self, execution: Execution) -> bool:
        """Whether it was there."""
        if self._by_handle.pop(execution.handle, None) is None:
            return False
        self._kept_bytes -= execution.kept_bytes
        return True


def _gone() -> QueryError:
    return QueryError("not_found", "the ticket is not known, or has expired", help="run the statement again")
