"""Tables without rows, over which fragments are planned to learn what they read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from datafusion import SessionContext

from heddle.core.planning import define, quoted
from heddle.core.types import RowType


@contextmanager
def empty_tables(rows: Sequence[tuple[str, RowType]]) -> Iterator[SessionContext]:
    """A context in which the named relations are tables of these rows, all of them complete. It is shared,
    because making one costs more than a plan, so nobody else plans meanwhile."""
    context, lock = _shared()
    with lock:
        try:
            for relation, row in rows:
                define(context, relation, row.arrow())
            yield context
        finally:
            for relation, _ in rows:
                context.deregister_table(quoted(relation))


@cache
def _shared() -> tuple[SessionContext, threading.Lock]:
    return SessionContext(), threading.Lock()
