"""A step that no run uses any more stays bound in its plugin's process, for the next run that wants it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from heddle.engine import Engine, RunOptions, RunResult
from heddle.physical.cancel import CancelToken
from heddle.std.sinks import Streams

STEPS = """\
from pathlib import Path

import pyarrow as pa

from heddle.core.resource import Resource, ResourceConfig
from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="steps")


class Number(Table):
    n: int


class Settings(StepConfig):
    {setting}: int = 0

    def __init__(self, **values):
        super().__init__(**values)
        with open({log!r}, "a") as log:
            log.write(f"{{self.{setting}}}\\n")


@plugin.step(name="keep", rows="map", deterministic=True)
def keep(input: Number, config: Settings) -> Number:
    if config.{setting} < 0:
        raise ValueError("below zero")
    return input


@plugin.step(name="again", rows="map", deterministic=True)
def again(input: Number, config: Settings) -> Number:
    return input
"""

PROGRAM = """\
import "./steps" steps

workflow W {{
  [{{ n: 1 }}]
    | steps.keep {{ {setting}: {value} }}{more}
    > kept
}}
"""


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "bound.txt"
        self.steps()

    def steps(self, setting: str = "least") -> None:
        (self.path / "steps.py").write_text(STEPS.format(setting=setting, log=str(self.log)))

    def program(self, value: int, setting: str = "least", more: str = "") -> Path:
        path = self.path / "program.he"
        path.write_text(PROGRAM.format(setting=setting, value=value, more=more))
        return path

    @property
    def bound(self) -> list[str]:
        """What was bound in the plugin's process, by the setting."""
        return self.log.read_text().split()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def first(folder: Folder) -> Iterator[Engine]:
    """Its plugins are shared by `run`."""
    with Engine.open(folder.program(1), environ=os.environ) as engine:
        yield engine


def result(first: Engine, path: Path) -> RunResult:
    engine = Engine.open(path, environ=os.environ, plugins=first.plugins)
    checked = engine.check()
    assert checked.program is not None, [d.message for d in checked.diagnostics]
    streams = Streams(io.StringIO(), io.StringIO())
    return engine.run(checked.program, RunOptions(), lambda event: None, CancelToken(), streams)


def run(first: Engine, path: Path) -> str:
    return result(first, path).status


def test_runs_bind_a_step_once(first: Engine, folder: Folder) -> None:
    for _ in range(3):
        assert run(first, folder.program(1)) == "succeeded"
    assert folder.bound == ["1"]


def test_other_settings_are_another_binding(first: Engine, folder: Folder) -> None:
    for value in (1, 2, 1, 2):
        assert run(first, folder.program(value)) == "succeeded"
    assert folder.bound == ["1", "2"]


def test_steps_in_one_call_are_kept_too(first: Engine, folder: Folder) -> None:
    for _ in range(2):
        assert run(first, folder.program(1, more="\n    | steps.again { least: 5 }")) == "succeeded"
    assert sorted(folder.bound) == ["1", "5"]


def test_after_a_failure_it_is_bound_anew(first: Engine, folder: Folder) -> None:
    for _ in range(2):
        assert run(first, folder.program(-1)) == "failed"
    assert folder.bound == ["-1", "-1"]


def test_changed_code_is_bound_anew(first: Engine, folder: Folder) -> None:
    assert run(first, folder.program(1)) == "succeeded"
    folder.steps("lowest")
    assert run(first, folder.program(1, "lowest")) == "succeeded"
    assert folder.bound == ["1", "1"]


def test_a_run_never_calls_what_another_just_released(first: Engine, folder: Folder) -> None:
    failing = folder.program(-1)  # what has failed is released with the run

    def error_type(_: int) -> str:
        error = result(first, failing).error
        return error.error_type if error is not None else "none"

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(error_type, range(100))) == {"ValueError"}
