"""Counting what flows through a stage and what it takes, and reporting it as events."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock
from typing import Final

import pyarrow as pa

from heddle.core.data_bytes import data_bytes
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


class Work:
    """What a stage takes besides time, added up by whoever does it. Thread-safe.

    `cpu_s` is what an engine says it took, for steps and sinks the CPU time of the calling threads of this
    process. `bytes_scanned` are read from files; what an engine reads back of what it spilled counts too
    where the engine does not tell it apart. `input_rows` went into the `calls` of a step.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.cpu_s = 0.0
        self.bytes_scanned = 0
        self.spilled_bytes = 0
        self.calls = 0
        self.input_rows = 0

    def add(
        self,
        *,
        cpu_s: float,
        bytes_scanned: int = 0,
        spilled_bytes: int = 0,
        calls: int = 0,
        input_rows: int = 0,
    ) -> None:
        with self._lock:
            self.cpu_s += cpu_s
            self.bytes_scanned += bytes_scanned
            self.spilled_bytes += spilled_bytes
            self.calls += calls
            self.input_rows += input_rows

    @contextmanager
    def here(self, *, calls: int = 0, input_rows: int = 0) -> Generator[None, None, None]:
        """Around work that this thread does, which may be calls of a step."""
        started_s = time.thread_time()
        try:
            yield
        finally:
            self.add(cpu_s=time.thread_time() - started_s, calls=calls, input_rows=input_rows)


class Meter:
    """The counters of one stage of a run; `watch` passes a stream through and counts it."""

    def __init__(self, op: Op, env: RunEnvironment, work: Work) -> None:
        self._env = env
        self._work = work
        self._stage = op.path
        self._label = label_of(op)
        self._started_at = env.clock.monotonic()
        self._reported_at = self._started_at
        self.rows = 0
        self.size_bytes = 0
        self.batches = 0
        env.listener(StageStarted(env.run_id, self._stage, self._label, self._started_at))

    def count(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self.batches += 1
        self.size_bytes += data_bytes(batch)
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
                batches=self.batches,
                cpu_s=self._work.cpu_s,
                bytes_scanned=self._work.bytes_scanned,
                spilled_bytes=self._work.spilled_bytes,
                calls=self._work.calls,
                input_rows=self._work.input_rows,
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
