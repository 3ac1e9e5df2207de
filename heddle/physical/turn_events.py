"""A run in turns tells of its stages once: they start with the first turn and finish with the run.

What a stage did is added up over the turns; a failure that goes to a handler is told at once.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import Final

from heddle.core.record import record
from heddle.physical.events import Event, Listener, StageFinished, StageProgress, StageStarted

PROGRESS_INTERVAL_S: Final = 0.2


@record(slots=True, eq=False)
class _Stage:
    """`sum` is what its turns did together, None before the first has ended. `told_rows` were told last."""

    started: StageStarted
    sum: StageFinished | None = None
    told_rows: int = 0
    told_at: float = 0.0


class StageSums:
    """A listener in front of a run's own. Thread-safe."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._lock = Lock()
        self._stages: dict[str, _Stage] = {}

    def listener(self, event: Event) -> None:
        told: Event | None = event
        with self._lock:
            match event:
                case StageStarted():
                    told = self._started(event)
                case StageProgress():
                    told = self._progress(event)
                case StageFinished():
                    told = self._finished(event)
                case _:
                    pass
        if told is not None:
            self._listener(told)

    def finish(self, *, cancelled: bool) -> None:
        """The run is over. A read that was cut off because the run should end has done what it should."""
        with self._lock:
            stages, self._stages = list(self._stages.values()), {}
        for total in (stage.sum for stage in stages):
            if total is not None:
                ended = total.status == "cancelled" and not cancelled
                self._listener(replace(total, status="succeeded") if ended else total)

    def _started(self, event: StageStarted) -> Event | None:
        stage = self._stages.get(event.stage)
        if stage is not None:
            stage.started = event
            return None
        self._stages[event.stage] = _Stage(event, told_at=event.at)
        return event

    def _progress(self, event: StageProgress) -> Event | None:
        stage = self._stages.get(event.stage)
        return None if stage is None else self._told(stage, event.rows, event.size_bytes, event.at)

    def _finished(self, event: StageFinished) -> Event | None:
        stage = self._stages.get(event.stage)
        if stage is None:  # it was skipped
            return event
        ended_at = stage.started.at + event.duration_s
        total = event if stage.sum is None else _added(stage.sum, event)
        if event.status == "failed":
            del self._stages[event.stage]
            return total
        stage.sum = total
        return self._told(stage, 0, 0, ended_at)

    def _told(self, stage: _Stage, rows: int, size_bytes: int, at: float) -> Event | None:
        """How far the stage is, unless that was told a moment ago, or is what was told last."""
        if stage.sum is not None:
            rows, size_bytes = rows + stage.sum.rows, size_bytes + stage.sum.size_bytes
        if rows == stage.told_rows or at - stage.told_at < PROGRESS_INTERVAL_S:
            return None
        stage.told_rows, stage.told_at = rows, at
        return StageProgress(stage.started.run_id, stage.started.stage, rows, size_bytes, at)


def _added(before: StageFinished, last: StageFinished) -> StageFinished:
    return replace(
        last,
        rows=before.rows + last.rows,
        size_bytes=before.size_bytes + last.size_bytes,
        duration_s=before.duration_s + last.duration_s,
        batches=before.batches + last.batches,
        cpu_s=before.cpu_s + last.cpu_s,
        bytes_scanned=before.bytes_scanned + last.bytes_scanned,
        spilled_bytes=max(before.spilled_bytes, last.spilled_bytes),
        calls=before.calls + last.calls,
        input_rows=before.input_rows + last.input_rows,
    )
