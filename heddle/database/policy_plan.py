"""That a statement reads restricted tables through their policies, and in no other way.

Which tables a text names is found by another parser than the one that plans it. Where the two differ, a text
could name a relation below a policy. So a statement over restricted tables is planned once more, over
relations with names that nobody can know: a text that names one by itself finds none.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import pyarrow as pa

from heddle.core.deep_stack import on_deep_stack
from heddle.core.planning import PlanFailure, TypePlanner
from heddle.database.errors import QueryError

K = TypeVar("K")
NAME_BYTES: Final = 16


class PolicyGuard:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planner: TypePlanner | None = None

    def require(self, sql: Callable[[Mapping[K, str]], str], schemas: Mapping[K, pa.Schema]) -> None:
        """`sql` gives the statement with these names of relations; `schemas` are those of its tables. Raises
        `QueryError`."""
        names = {table: f"r{secrets.token_hex(NAME_BYTES)}" for table in schemas}
        text = sql(names)

        def plan() -> None:
            with self._lock:
                self._planner = self._planner or TypePlanner()
                with self._planner.defined({names[table]: schema for table, schema in schemas.items()}):
                    self._planner.analysed(text)

        try:
            on_deep_stack(plan)
        except PlanFailure as failure:
            message = "the statement reads a restricted output in a way that is not understood"
            raise QueryError("denied", message, help="write it in plain SQL") from failure
