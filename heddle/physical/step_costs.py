"""What steps take for a row, learned from their calls; `STEP_COSTS` is for all engines of the process."""

from __future__ import annotations

import math
import threading
from typing import Final, TypeAlias

from heddle.frontend.typed import StepCall
from heddle.logical.plan import Step

CALL_ROWS_MIN: Final = 1_000
"""Of a smaller call most is the way to the plugin and back."""
NEWEST_WEIGHT: Final = 0.3
STEPS_MAX: Final = 1_024

_Key: TypeAlias = tuple[str, str, str]


class StepCosts:
    """For each step an average in which newer calls count more. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._row_ns: dict[_Key, float] = {}

    def add(self, step: Step, rows: int, duration_s: float) -> None:
        """A call; one of several steps is shared out evenly among them."""
        if rows < CALL_ROWS_MIN:
            return
        row_ns = duration_s * 1e9 / rows / len(step.steps)
        with self._lock:
            for one in step.steps:
                known = self._row_ns.pop(_key(one.call), row_ns)
                self._row_ns[_key(one.call)] = known + NEWEST_WEIGHT * (row_ns - known)
            if len(self._row_ns) > STEPS_MAX:
                del self._row_ns[next(iter(self._row_ns))]

    def row_ns(self, call: StepCall) -> float | None:
        """Nanoseconds."""
        with self._lock:
            return self._row_ns.get(_key(call))

    def magnitude(self, call: StepCall) -> int | None:
        """The cost's power of two: what is planned anew when it changes."""
        row_ns = self.row_ns(call)
        return None if row_ns is None else round(math.log2(max(row_ns, 1.0)))


STEP_COSTS: Final = StepCosts()


def _key(call: StepCall) -> _Key:
    """A step is another one when its code changes."""
    return call.module.path, call.module.code_hash, call.signature.name
