"""How many rows a call of a row-wise step gets.

The way to a plugin and back costs about a millisecond of CPU time a call, so a step that is quicker than that
gets more rows at once.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heddle.logical.plan import Step

QUICK_CALL_S: Final = 0.004
GROWTH_MAX: Final = 4
"""Times the rows of a run's batches."""
GROWING_ROWS: Final = 65_536
"""A run that asks for smaller batches gets them."""
SMALL_CALL_BYTES: Final = 8 << 20


class CallSize:
    """Of one step in one run. What has effects, what is called several times at once and lookups keep the
    run's batches: there a call is what is retried, what is done side by side, what one statement takes."""

    def __init__(self, op: Step, batch_rows: int) -> None:
        signature = op.call.signature
        self._rows = op.policy.batch_max_rows or batch_rows
        grows = op.policy.batch_max_rows is None and batch_rows >= GROWING_ROWS
        grows = grows and (op.policy.concurrency or 1) == 1
        grows = grows and op.lookup is None and signature.step_class in {"pure", "recorded"}
        self._rows_max = self._rows * (GROWTH_MAX if grows else 1)

    def rows(self) -> int:
        return self._rows

    def took(self, input: pa.Table, duration_s: float) -> None:
        """A call that was full, quick and small makes the next ones larger."""
        if input.num_rows == self._rows and duration_s < QUICK_CALL_S and input.nbytes <= SMALL_CALL_BYTES:
            self._rows = min(2 * self._rows, self._rows_max)
