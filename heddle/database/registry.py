"""Every statement that runs or ran: who asked what, how it goes on, and how to end it.

A statement enters with `begin` and leaves with `finish`. What is over is kept up to a number of statements,
the oldest go first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, Literal, Self, TypeAlias, get_args

from heddle.core.record import record
from heddle.database.errors import QueryError, QueryErrorKind
from heddle.database.model import Viewer
from heddle.database.timeouts import Timeouts

HISTORY_MAX: Final = 1_000
TEXT_CHARS_MAX: Final = 10_000
"""Longer texts are cut in the history."""

CachedPart: TypeAlias = Literal["answer", "steps"]
"""What of a query came from the result cache: all of its rows, or the results of steps below them."""
CACHED_PARTS: Final[tuple[CachedPart, ...]] = get_args(CachedPart)
QueryState: TypeAlias = Literal["running", "finished", "failed", "cancelled"]
Cancel: TypeAlias = Callable[[QueryError], None]
"""Ends a statement; its reader gets the error."""


@record(frozen=True, slots=True)
class QueryEntry:
    """`started_at` is in seconds since 1970. `rows` and `size_bytes` are of the rows that were given out, or
    `rows` is how many were changed. `cached` is what came from the result cache."""

    id: str
    viewer: str
    session: str | None
    text: str
    state: QueryState
    started_at: float
    duration_s: float
    rows: int
    size_bytes: int
    error: QueryErrorKind | None
    cached: CachedPart | None


class RunningQuery:
    """One statement on its way. `count` and `finish` come from the thread that reads its rows."""

    def __init__(
        self,
        id: str,
        text: str,
        viewer: Viewer,
        session: str | None,
        cancel: Cancel,
        done: Callable[[RunningQuery], None],
    ) -> None:
        """`Queries.begin` makes it."""
        self.id = id
        self.viewer = viewer
        self.session = session
        self.cancel = cancel
        self._text = text[:TEXT_CHARS_MAX]
        self._done = done
        self._state: QueryState = "running"
        self._error: QueryErrorKind | None = None
        self._started_at = time.time()
        self._started = time.monotonic()
        self._duration_s = 0.0
        self._rows = 0
        self._size_bytes = 0
        self._cached: CachedPart | None = None

    @property
    def cached(self) -> CachedPart | None:
        return self._cached

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.finish(error)

    def count(self, rows: int, size_bytes: int = 0) -> None:
        self._rows += rows
        self._size_bytes += size_bytes

    def took(self, part: CachedPart) -> None:
        """Something came from the result cache."""
        self._cached = part

    def finish(self, error: BaseException | None = None) -> None:
        """It is over, because of the error if there is one. Only the first call counts."""
        if self._state != "running":
            return
        self._duration_s = time.monotonic() - self._started
        self._error = _kind(error)
        self.cancel = _is_over
        self._state = "finished" if error is None else "cancelled" if self._error == "cancelled" else "failed"
        self._done(self)

    def entry(self) -> QueryEntry:
        running = self._state == "running"
        return QueryEntry(
            self.id,
            self.viewer.name,
            self.session,
            self._text,
            self._state,
            self._started_at,
            time.monotonic() - self._started if running else self._duration_s,
            self._rows,
            self._size_bytes,
            self._error,
            self._cached,
        )


class Queries:
    """The statements of a server. Safe for threads."""

    def __init__(self, *, history_max: int = HISTORY_MAX) -> None:
        self._history_max = history_max
        self._lock = threading.Lock()
        self._running: dict[str, RunningQuery] = {}
        self._over: OrderedDict[str, RunningQuery] = OrderedDict()
        self._timeouts = Timeouts()
        self._cached: dict[CachedPart, int] = dict.fromkeys(CACHED_PARTS, 0)

    def begin(
        self,
        id: str,
        text: str,
        viewer: Viewer,
        cancel: Cancel,
        *,
        session: str | None = None,
        timeout_s: float | None = None,
    ) -> RunningQuery:
        """A statement starts. `cancel` may be called from any thread, also when the time is over."""
        query = RunningQuery(id, text, viewer, session, cancel, self._finished)
        with self._lock:
            self._running[id] = query
        if timeout_s is not None:
            self._timeouts.after(timeout_s, id, lambda: cancel(_timed_out(timeout_s)))
        return query

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._running)

    @property
    def cached(self) -> Mapping[CachedPart, int]:
        """How many that are over had something from the result cache."""
        return dict(self._cached)

    def list(self, viewer: Viewer) -> tuple[QueryEntry, ...]:
        """The last ones first. Those of others, whose rows and errors tell what is hidden, are for admins."""
        with self._lock:
            queries = [*self._over.values(), *self._running.values()]
        entries = [q.entry() for q in queries if viewer.admin or q.viewer.name == viewer.name]
        return tuple(sorted(entries, key=lambda entry: entry.started_at, reverse=True))

    def cancel(self, id: str, viewer: Viewer) -> None:
        """End a statement: one's own, or as an admin anybody's. Raises `QueryError`."""
        with self._lock:
            query = self._running.get(id)
            known = query or self._over.get(id)
        if known is None or not (viewer.admin or known.viewer.name == viewer.name):
            raise QueryError("not_found", f"there is no query `{id}`", help="system.queries lists them")
        if query is None:
            raise QueryError("not_found", f"the query `{id}` has ended")
        query.cancel(QueryError("cancelled", "the query was cancelled"))

    def close(self) -> None:
        """End all that run; more than once does no harm."""
        with self._lock:
            queries = list(self._running.values())
        for query in queries:
            query.cancel(QueryError("unavailable", "the server is ending"))
        self._timeouts.close()

    def _finished(self, query: RunningQuery) -> None:
        self._timeouts.forget(query.id)
        with self._lock:
            self._running.pop(query.id, None)
            self._over[query.id] = query
            if query.cached is not None:
                self._cached[query.cached] += 1
            while len(self._over) > self._history_max:
                self._over.popitem(last=False)


def _timed_out(timeout_s: float) -> QueryError:
    return QueryError(
        "timeout",
        f"the query took longer than {timeout_s:g} s",
        help="ask for less, or raise the limit where you may",
    )


def _is_over(_: QueryError) -> None:
    """The end of a statement that has ended: what it ran with is let go."""


def _kind(error: BaseException | None) -> QueryErrorKind | None:
    """What ended it; a reader that went away has cancelled it."""
    if error is None:
        return None
    if isinstance(error, QueryError):
        return error.kind
    return "cancelled" if isinstance(error, GeneratorExit) else "failed"
