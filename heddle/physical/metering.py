"""Counting what flows through a stage, and reporting it as events a few times a second."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heddle.logical.plan import Op, label_of
from heddle.physical.batches import Batches
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import (
    StageFinished,
    StageProgress,
    StageStarted,
    StageStatus,
)
from heddle.physical.failures import StageFailed

PROGRESS_INTERVAL_S: Final = 0.2


class Meter:
    """The counters of one stage of a run; `watch` passes a stream through and counts it."""

    def __init__(self, op: Op, env: RunEnvironment) -> None:
        self._env = env
        self._stage = op.path
        self._label = label_of(op)
        self._started_at = env.clock.monotonic()
        self._reported_at = self._started_at
        self.rows = 0
        self.size_bytes = 0
        env.listener(StageStarted(env.run_id, self._stage, self._label, self._started_at))

    def count(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        # `nbytes` kills the process for a union without rows that was read from a stream (pyarrow 26).
        self.size_bytes += batch.nbytes if batch.num_rows else 0
        now = self._env.clock.monotonic()
        if now - self._reported_at >= PROGRESS_INTERVAL_S:
            self._reported_at = now
            self._env.listener(StageProgress(self._env.run_id, self._stage, self.rows, self.size_bytes, now))

    def finish(self, status: StageStatus, message: str | None = None) -> None:
        duration_s = self._env.clock.monotonic() - self._started_at
        self._env.listener(
            StageFinished(
                self._env.run_id,
                self._stage,
                status,
                self.rows,
                self.size_bytes,
                duration_s,
                message,
            )
        )

    def watch(self, batches: Batches) -> Batches:
        """The same batches; the stage is finished with them, however they end."""
        status: StageStatus = "cancelled"
        message: str | None = None
        try:
            for batch in batches:
                self.count(batch)
                yield batch
            status = "succeeded"
        except GeneratorExit:
            status = "cancelled" if self._env.cancel.cancelled else "succeeded"
            raise
        except StageFailed as failure:
            status, message = "failed", failure.error.message
            raise
        finally:
            batches.close()
            self.finish(status, message)
