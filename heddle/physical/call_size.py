"""How many rows a call of a row-wise step, and of a writer, gets.

The way to a plugin and back costs about a millisecond of CPU time a call, so a step that is quicker than that
gets more rows at once.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
from heddle.logical.plan import Step

QUICK_CALL_S: Final = 0.004
GROWTH_MAX: Final = 4
"""Times the rows of a run's batches."""
GROWING_ROWS: Final = 65_536
"""A run that asks for smaller batches gets them."""
SMALL_CALL_BYTES: Final = 8 << 20
WRITE_BYTES: Final = 16 << 20
WRITE_GROWTH_MAX: Final = 8


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
        if (
            input.num_rows == self._rows
            and duration_s < QUICK_CALL_S
            and data_bytes(input) <= SMALL_CALL_BYTES
        ):
            self._rows = min(2 * self._rows, self._rows_max)


class WriteSize:
    """Of one writer in one run: as many rows as fit into `WRITE_BYTES`, up to `WRITE_GROWTH_MAX` times those
    of the run's batches. Between two writes a service waits for the next, or its writer for the service."""

    def __init__(self, op: Step, batch_rows: int) -> None:
        self._rows = self._rows_max = op.policy.batch_max_rows or batch_rows
        self._rows_min = self._rows
        if op.policy.batch_max_rows is None and batch_rows >= GROWING_ROWS:
            self._rows_max = batch_rows * WRITE_GROWTH_MAX

    def rows(self) -> int:
        return self._rows

    def wrote(self, table: pa.Table) -> None:
        row_bytes = max(1, data_bytes(table) // max(1, table.num_rows))
        self._rows = max(self._rows_min, min(self._rows_max, WRITE_BYTES // row_bytes))
