"""Running a program in this process through the engine's own door, and reading what it wrote."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from heddle.diagnostics import Diagnostic
from heddle.engine import Engine, RunOptions, RunResult
from heddle.physical.cancel import CancelToken, EndSwitch
from heddle.physical.events import Event, Listener
from heddle.std.sinks import Streams
from heddle.udf_bridge.plugins import Plugins


@dataclass
class Ran:
    """A finished run: what it printed, the events it sent, and its `--output` files."""

    result: RunResult
    out: str
    err: str
    events: list[Event]
    outputs: dict[str, pa.Table] = field(default_factory=dict)

    def rows(self, name: str) -> list[dict[str, object]]:
        return self.outputs[name].to_pylist()


def check(path: Path) -> tuple[Diagnostic, ...]:
    return Engine.open(path, environ=os.environ).check().diagnostics


def run(
    path: Path,
    outputs: Sequence[str] = (),
    *,
    params: Mapping[str, str] | None = None,
    profile: str | None = None,
    cancel: CancelToken | None = None,
    ending: EndSwitch | None = None,
    listener: Listener = lambda event: None,
    plugins: Plugins | None = None,
    **options: object,
) -> Ran:
    """Check and run; `outputs` are the named outputs to read back, `plugins` those of other runs. `listener`
    is told of each event too."""
    files = {name: path.parent / f"out-{name}.parquet" for name in outputs}
    streams = Streams(io.StringIO(), io.StringIO())
    events: list[Event] = []

    def heard(event: Event) -> None:
        events.append(event)
        listener(event)

    with Engine.open(path, profile=profile, params=params, environ=os.environ, plugins=plugins) as engine:
        checked = engine.check(ask=True)
        assert checked.program is not None, [f"{d.code} {d.message}" for d in checked.diagnostics]
        wanted = RunOptions(outputs={name: str(file) for name, file in files.items()}, **options)  # type: ignore[arg-type]
        result = engine.run(checked.program, wanted, heard, cancel or CancelToken(), streams, ending)
    ran = Ran(result, streams.stdout.getvalue(), streams.stderr.getvalue(), events)  # type: ignore[attr-defined]
    for name, file in files.items():
        if file.exists():
            ran.outputs[name] = pq.read_table(file)
            file.unlink()
    return ran
