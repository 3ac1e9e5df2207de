"""What a run did, stage by stage: a listener that keeps what `heddle explain --analyze` shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from threading import Lock

from heddle.logical.explain import Measured
from heddle.physical.events import (
    Event,
    Listener,
    PluginReady,
    RowsRejected,
    StageCallsMerged,
    StageFinished,
    StageMetric,
    StageTaken,
    StepRetried,
)
from heddle.sizes import size_text

_NUMBERS = (
    "rows",
    "batches",
    "size_bytes",
    "duration_s",
    "cpu_s",
    "bytes_scanned",
    "spilled_bytes",
    "calls",
    "input_rows",
)
"""The amounts of a `StageFinished`."""


class Measures:
    """Passes every event on to `then`. Thread-safe."""

    def __init__(self, then: Listener) -> None:
        self._then = then
        self._lock = Lock()
        self._ended: dict[str, StageFinished] = {}
        self._lines: dict[str, list[str]] = defaultdict(list)
        self._rejected: dict[str, int] = defaultdict(int)
        self._retries: dict[str, int] = defaultdict(int)
        self._metrics: dict[tuple[str, str, str], float] = defaultdict(float)

    def listener(self, event: Event) -> None:
        with self._lock:
            match event:
                case StageFinished(stage=stage):
                    self._ended[stage] = event
                case StageTaken(stage=stage, how=how, rows=rows, size_bytes=size_bytes):
                    self._lines[stage].insert(0, f"{rows:,} rows, {size_text(size_bytes)}, {how}")
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

    def by_stage(self) -> Mapping[str, Measured]:
        """What each stage did, by its path; the path "" stands for the whole run."""
        with self._lock:
            lines: dict[str, list[str]] = {stage: self._amounts(stage) for stage in self._ended}
            for stage, texts in self._lines.items():
                lines.setdefault(stage, []).extend(texts)
            for stage, rows in self._rejected.items():
                lines.setdefault(stage, []).append(f"{rows:,} rows rejected")
            for stage, retries in self._retries.items():
                lines.setdefault(stage, []).append(f"{retries} retries")
            for (stage, name, unit), value in self._metrics.items():
                lines.setdefault(stage, []).append(f"{name} = {value:g} {unit}".rstrip())
            return {stage: Measured(tuple(texts), self._numbers(stage)) for stage, texts in lines.items()}

    def _numbers(self, stage: str) -> Mapping[str, float]:
        ended = self._ended.get(stage)
        return {} if ended is None else {name: getattr(ended, name) for name in _NUMBERS}

    def _amounts(self, stage: str) -> list[str]:
        ended = self._ended[stage]
        if ended.status != "succeeded":
            return [ended.status]
        cpu = "CPU of the engine" if ended.calls else "CPU"
        lines = [
            f"{ended.rows:,} rows in {_counted(ended.batches, 'batch', 'batches')},"
            f" {size_text(ended.size_bytes)} in {ended.duration_s * 1e3:,.1f} ms,"
            f" {ended.cpu_s * 1e3:,.1f} ms {cpu}"
        ]
        if ended.input_rows:
            calls = _counted(ended.calls, "call", "calls")
            lines.append(f"{calls}, {ended.input_rows / ended.calls:,.0f} rows a call")
        if ended.bytes_scanned:
            lines.append(f"{size_text(ended.bytes_scanned)} read from files")
        if ended.spilled_bytes:
            lines.append(f"{size_text(ended.spilled_bytes)} spilled")
        return lines


def _counted(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"
