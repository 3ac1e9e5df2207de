"""A thousand runs of one engine leave no process, descriptor, thread or memory behind."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import psutil

from heddle.engine import Engine, RunOptions
from heddle.physical.cancel import CancelToken
from heddle.std.sinks import Streams
from tests.waiting import until

RUNS = 1_000
WARM_RUNS = 200
MEMORY_SLACK_BYTES = 48 << 20

PROGRAM = """\
import "./steps" steps

workflow W {
  [
    { x: 1 }
    { x: -2 }
    { x: 3 }
  ]
    | steps.double
    | (from input | filter y > 0 | select {y})
    | io.print
}
"""

STEPS = """\
import pyarrow.compute as pc

from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="steps")


class Row(Table):
    x: int


class Doubled(Table):
    y: int


@plugin.step(name="double", rows="map", passthrough=True, deterministic=True)
def double(input: Row) -> Doubled:
    table = input.to_arrow()
    return Doubled(table.append_column("y", pc.multiply(table["x"], 2)))
"""


def test_nothing_grows(tmp_path: Path) -> None:
    program = tmp_path / "program.he"
    program.write_text(PROGRAM)
    (tmp_path / "steps.py").write_text(STEPS)
    with Engine.open(program) as engine:
        checked = engine.check().program
        assert checked is not None

        def runs(count: int) -> None:
            for _ in range(count):
                streams = Streams(io.StringIO(), io.StringIO())
                result = engine.run(checked, RunOptions(), lambda event: None, CancelToken(), streams)
                assert result.status == "succeeded", result.error

        runs(WARM_RUNS)
        us = psutil.Process()
        (plugin,) = _plugins_of(us)
        before = [_held(p) for p in (us, plugin)]
        runs(RUNS)
        for process, (descriptors, threads, memory) in zip((us, plugin), before, strict=True):
            until(lambda p=process, n=descriptors: p.num_fds() <= n + 2, "files stay open")  # type: ignore[misc]
            until(lambda p=process, n=threads: p.num_threads() <= n + 2, "threads stay behind")  # type: ignore[misc]
            assert process.memory_info().rss < memory + MEMORY_SLACK_BYTES
        assert [p.pid for p in _plugins_of(us)] == [plugin.pid]
    assert not plugin.is_running()


def _plugins_of(process: psutil.Process) -> list[psutil.Process]:
    """Among the children may be some of other tests, which have ended."""
    found: list[psutil.Process] = []
    for child in process.children():
        with suppress(psutil.Error):
            if "heddle.sdk.host" in child.cmdline():
                found.append(child)
    return found


def _held(process: psutil.Process) -> tuple[int, int, int]:
    return process.num_fds(), process.num_threads(), process.memory_info().rss
