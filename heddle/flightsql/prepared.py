"""Prepared statements that clients hold handles for: each belongs to its owner, and has the values that were
bound to it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.model import Viewer

if TYPE_CHECKING:
    from heddle.database.statement import Statement

IDLE_S: Final = 3600.0
PREPARED_MAX: Final = 20_000
PREPARED_MAX_PER_VIEWER: Final = 5_000
"""Beyond, the one that was used longest ago is closed."""
SETS_MAX: Final = 1_000_000
"""Rows of parameters that are bound at a time."""
HANDLE_BYTES: Final = 16


@record(slots=True, eq=False)
class Prepared:
    """`sets` are the values for one execution each; None until some are bound. `owner` is who prepared it,
    with the roles that it was planned for."""

    handle: bytes
    owner: Viewer
    session: str
    statement: Statement
    transaction: str | None
    used_s: float
    sets: Sequence[Sequence[object]] | None = None


class PreparedStatements:
    """Thread-safe. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_handle: dict[bytes, Prepared] = {}
        """In the order of their last use."""
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_handle)

    def add(self, viewer: Viewer, session: str, statement: Statement, transaction: str | None) -> Prepared:
        handle = secrets.token_bytes(HANDLE_BYTES)
        prepared = Prepared(handle, viewer, session, statement, transaction, self._clock())
        with self._lock:
            if self._counts.get(viewer.name, 0) >= PREPARED_MAX_PER_VIEWER:
                self._drop(next(p for p in self._by_handle.values() if p.owner.name == viewer.name))
            elif len(self._by_handle) >= PREPARED_MAX:
                self._drop(next(iter(self._by_handle.values())))
            self._by_handle[handle] = prepared
            self._counts[viewer.name] = self._counts.get(viewer.name, 0) + 1
        return prepared

    def find(self, handle: bytes, viewer: Viewer) -> Prepared:
        """Raises `QueryError` when it is closed, another's, or of a viewer whose roles have changed, which
        look the same."""
        with self._lock:
            prepared = self._by_handle.pop(handle, None)
            if prepared is None or prepared.owner != viewer:
                if prepared is not None:
                    self._by_handle[handle] = prepared
                raise QueryError(
                    "not_found",
                    "the prepared statement is not known, or was closed",
                    help="prepare it again",
                )
            self._by_handle[handle] = prepared
            prepared.used_s = self._clock()
            return prepared

    def close(self, handle: bytes, viewer: Viewer) -> None:
        """Raises `QueryError`."""
        prepared = self.find(handle, viewer)
        with self._lock:
            self._drop(prepared)

    def close_all(self, session: str) -> None:
        with self._lock:
            for prepared in [p for p in self._by_handle.values() if p.session == session]:
                self._drop(prepared)

    def evict_idle(self) -> None:
        oldest_s = self._clock() - IDLE_S
        with self._lock:
            for prepared in [p for p in self._by_handle.values() if p.used_s < oldest_s]:
                self._drop(prepared)

    def _drop(self, prepared: Prepared) -> None:
        if self._by_handle.pop(prepared.handle, None) is None:
            return
        name = prepared.owner.name
        self._counts[name] -= 1
        if not self._counts[name]:
            del self._counts[name]


def parameter_sets(batches: Sequence[pa.RecordBatch], count: int) -> list[tuple[object, ...]]:
    """Each row as the values of `count` parameters: Arrow scalars, so that a type is kept as it came. Without
    parameters some drivers bind a row without columns, and some lose that row. Raises `QueryError`."""
    if not count and not any(batch.num_columns for batch in batches):
        return [()] * max(1, sum(batch.num_rows for batch in batches))
    if sum(batch.num_rows for batch in batches) > SETS_MAX:
        raise QueryError(
            "exhausted", f"more than {SETS_MAX:,} rows of parameters", help="bind fewer at a time"
        )
    sets: list[tuple[object, ...]] = []
    for batch in batches:
        if batch.num_columns != count:
            raise QueryError(
                "invalid", f"the statement has {count} parameters, and {batch.num_columns} were bound"
            )
        columns: list[Sequence[Any]] = [list(column) for column in batch.columns]
        sets += zip(*columns, strict=True) if columns else [()] * batch.num_rows
    return sets
