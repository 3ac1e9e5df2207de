"""The engines of a run, each opened, and its library loaded, when the first fragment needs it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from heddle.logical.plan import Fragment, LogicalPlan, Scan, Step
from heddle.physical.batches import Batches
from heddle.physical.cancel import CancelToken
from heddle.physical.environment import RunEnvironment
from heddle.physical.inputs import FragmentInput
from heddle.physical.metering import Work

if TYPE_CHECKING:
    from heddle.physical.duck import DuckSession
    from heddle.physical.session import Session

DATAFUSION_SHARE: Final = 0.6
"""Of the memory budget, for a run on DataFusion alone. The rest is for frames and for batches under way."""
DUCKDB_SHARE: Final = 1.0
"""For a run on DuckDB alone, which keeps neither frames nor batches. Of a budget that is nearly enough,
the last tenth decides: with less, a chain of joins spills again and again."""
BOTH_SHARES: Final = (0.15, 0.5)
"""What DataFusion, which then mostly streams, and DuckDB get in a run that has both, or steps."""


class Engines:
    """Streams the fragments of a plan on the engine that was chosen for each. Thread-safe."""

    def __init__(self, env: RunEnvironment, plan: LogicalPlan, session: Session | None = None) -> None:
        """`session` is that of others as well, to be taken in place of an own one."""
        self._env = env
        datafusion, duckdb = _shares(plan)
        self._duckdb_bytes = int(env.memory_bytes * duckdb)
        self._datafusion_bytes = int(env.memory_bytes * datafusion)
        self._lock = threading.Lock()
        self._datafusion = session
        self._duckdb: DuckSession | None = None

    def stream(
        self,
        fragment: Fragment,
        inputs: Mapping[str, FragmentInput],
        stop: CancelToken,
        work: Work | None,
    ) -> Batches:
        """Batches of the fragment's result, at least one. `work`, if it is asked for, has what it took when
        the stream has ended. Raises `StageFailed` or `Cancelled`."""
        if fragment.engine == "datafusion":
            return self._on_datafusion(fragment, inputs, stop, work)
        from heddle.physical.duck_fragments import DuckFragment

        session = self._duck_session()
        return DuckFragment(
            fragment, inputs, session, self._on_datafusion, self._env, stop, work or Work()
        ).stream()

    def close(self) -> None:
        if self._duckdb is not None:
            self._duckdb.close()

    def _on_datafusion(
        self,
        fragment: Fragment,
        inputs: Mapping[str, FragmentInput],
        stop: CancelToken,
        work: Work | None,
    ) -> Batches:
        from heddle.physical.fragments import stream_on_datafusion
        from heddle.physical.session import Session

        with self._lock:
            if self._datafusion is None:
                env = self._env
                self._datafusion = Session(env.scratch, env.base, self._datafusion_bytes, env.cores)
        return stream_on_datafusion(fragment, inputs, self._datafusion, self._env, stop, work)

    def _duck_session(self) -> DuckSession:
        from heddle.physical.duck import DuckSession

        with self._lock:
            if self._duckdb is None:
                self._duckdb = DuckSession(self._env.scratch, self._duckdb_bytes, self._env.cores)
            return self._duckdb


def _shares(plan: LogicalPlan) -> tuple[float, float]:
    """Of the memory budget: DataFusion's part and DuckDB's."""
    engines = {op.engine for op in plan.ops.values() if isinstance(op, Fragment)}
    steps = any(isinstance(op, Step) for op in plan.ops.values())
    if "duckdb" not in engines:
        return DATAFUSION_SHARE, 0.0
    fed = any(isinstance(op, Scan) and op.step != "parquet" for op in plan.ops.values())
    alone = engines == {"duckdb"} and not steps and not plan.spooled and not fed
    return (BOTH_SHARES[0], DUCKDB_SHARE) if alone else BOTH_SHARES
