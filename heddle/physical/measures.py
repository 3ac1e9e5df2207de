"""What a run did, stage by stage: a listener that keeps the events which `heddle explain --analyze` shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from threading import Lock

from heddle.physical.events import (
    Event,
    Listener,
    PluginReady,
    RowsRejected,
    StageCallsMerged,
    StageFinished,
    StageMetric,
    StepRetried,
)
from heddle.sizes import size_text


class Measures:
    """Passes every event on to `then`. Thread-safe."""

    def __init__(self, then: Listener) -> None:
        self._then = then
        self._lock = Lock()
        self._lines: dict[str, list[str]] = defaultdict(list)
        self._rejected: dict[str, int] = defaultdict(int)
        self._retries: dict[str, int] = defaultdict(int)
        self._metrics: dict[tuple[str, str, str], float] = defaultdict(float)

    def listener(self, event: Event) -> None:
        with self._lock:
            match event:
                case StageFinished(stage=stage, rows=rows, size_bytes=size_bytes, duration_s=duration_s):
                    amount = f"{rows:,} rows, {size_text(size_bytes)} in {duration_s * 1e3:,.1f} ms"
                    self._lines[stage].insert(0, amount if event.status == "succeeded" else event.status)
                case RowsRejected(stage=stage, rows=rows):
                    self._rejected[stage] += rows
                case StepRetried(stage=stage):
                    self._retries[stage] += 1
                case StageMetric(stage=stage, name=name, value=value, unit=unit):
                    self._metrics[stage, name, unit] += value
                case StageCallsMerged(stage=stage, calls=calls, shared=shared):
                    self._lines[stage].append(f"{shared} of {calls} calls merged with those of others")
                case PluginReady(plugin=plugin, duration_s=duration_s):
                    self._lines[""].append(f"plugin {plugin} ready in {duration_s * 1e3:,.0f} ms")
                case _:
                    pass
        self._then(event)

    def by_stage(self) -> Mapping[str, tuple[str, ...]]:
        """Lines for each stage's path; those of the path "" are about the whole run."""
        with self._lock:
            lines = {stage: list(texts) for stage, texts in self._lines.items()}
            for stage, rows in self._rejected.items():
                lines.setdefault(stage, []).append(f"{rows:,} rows rejected")
            for stage, retries in self._retries.items():
                lines.setdefault(stage, []).append(f"{retries} retries")
            for (stage, name, unit), value in self._metrics.items():
                lines.setdefault(stage, []).append(f"{name} = {value:g} {unit}".rstrip())
        return {stage: tuple(texts) for stage, texts in lines.items()}
