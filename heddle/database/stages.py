"""The stages that a statement's run went through, for front doors that tell of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Final

from heddle.core.record import record
from heddle.physical.events import Event, StageFinished, StageStarted, StageStatus, StageTaken

STAGES_MAX: Final = 200
"""Of one statement; further ones are not kept."""


@record(frozen=True, slots=True)
class StageRun:
    """`path` is the stable one of the step or query, `label` is for people. `ended_ns` is since 1970. `taken`
    says where rows came from that were not computed."""

    path: str
    label: str
    status: StageStatus
    rows: int
    size_bytes: int
    cpu_s: float
    duration_s: float
    ended_ns: int
    taken: str | None = None


class StageRuns:
    """Listens to runs, from any thread; iterating gives the stages that have ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._labels: dict[tuple[str, str], str] = {}
        self._ended: list[StageRun] = []

    def __iter__(self) -> Iterator[StageRun]:
        with self._lock:
            return iter(tuple(self._ended))

    def __call__(self, event: Event) -> None:
        match event:
            case StageStarted(run_id, stage, label):
                with self._lock:
                    if len(self._labels) + len(self._ended) < STAGES_MAX:
                        self._labels[run_id, stage] = label
            case StageFinished(run_id, stage, status, rows, size_bytes, duration_s, cpu_s=cpu_s):
                with self._lock:
                    if (run_id, stage) not in self._labels:
                        return
                    label = self._labels.pop((run_id, stage))
                    sizes = (rows, size_bytes, cpu_s, duration_s)
                    self._ended.append(StageRun(stage, label, status, *sizes, time.time_ns()))
            case StageTaken(_, stage, label, how, rows, size_bytes):
                with self._lock:
                    if len(self._labels) + len(self._ended) < STAGES_MAX:
                        run = StageRun(
                            stage, label, "succeeded", rows, size_bytes, 0.0, 0.0, time.time_ns(), how
                        )
                        self._ended.append(run)
            case _:
                return
