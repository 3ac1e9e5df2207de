"""Code that changes while runs are going: old runs end on the old code, new ones use the new."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from heddle.physical.events import Event, PluginReady
from heddle.udf_bridge.plugins import Plugins
from tests.engine.harness import Ran, run
from tests.waiting import PATIENCE_S, until

PROGRAM = """\
import "./work" work

workflow W {
  [
    { id: 1 }
    { id: 2 }
    { id: 3 }
  ]
    | work.label { folder: "FOLDER" } ! { batch: { max_rows: 1 } }
    > labels
}
"""

MODULE = """\
import time
from pathlib import Path

from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="work")


class FolderConfig(StepConfig):
    folder: str


class Row(Table):
    id: int


class Labelled(Table):
    label: str


@plugin.step(name="label", rows="map", passthrough=True, deterministic=True)
def label(config: FolderConfig, input: Row) -> Labelled:
    folder = Path(config.folder)
    (folder / "begun-VERSION").touch()
    while not (folder / "go-VERSION").exists():
        time.sleep(0.01)
    table = input.to_arrow()
    return Labelled(table.append_column("label", [["VERSION"] * table.num_rows]))
"""


class Project:
    """A program and its module, which waits for a file before it goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "program.he"
        self.program.write_text(PROGRAM.replace("FOLDER", str(folder)))
        self.plugins = Plugins((folder,))

    def edit(self, version: str) -> None:
        (self.folder / "work.py").write_text(MODULE.replace("VERSION", version))

    def let_go(self, version: str) -> None:
        (self.folder / f"go-{version}").touch()

    def begun(self, version: str) -> bool:
        return (self.folder / f"begun-{version}").exists()

    def run(self) -> Ran:
        return run(self.program, ["labels"], plugins=self.plugins)


class Running(threading.Thread):
    def __init__(self, project: Project) -> None:
        super().__init__()
        self._project = project
        self.ran: Ran | None = None
        self.start()

    def run(self) -> None:
        self.ran = self._project.run()

    def labels(self) -> list[object]:
        self.join(PATIENCE_S)
        assert self.ran is not None
        assert self.ran.result.status == "succeeded", self.ran.result.error
        return [row["label"] for row in self.ran.rows("labels")]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    made.plugins.close()


def wait_begun(project: Project, version: str) -> None:
    until(lambda: project.begun(version), f"the step of {version} was not called")


def test_an_edit_reaches_the_next_run_only(project: Project) -> None:
    project.edit("old")
    first = Running(project)
    wait_begun(project, "old")
    project.edit("new")
    second = Running(project)
    wait_begun(project, "new")
    project.let_go("new")
    assert second.labels() == ["new"] * 3
    project.let_go("old")
    assert first.labels() == ["old"] * 3


def test_old_code_ends_with_its_last_run(project: Project) -> None:
    project.edit("old")
    project.let_go("old")
    project.let_go("new")
    first = project.run()
    project.edit("new")
    second = project.run()
    assert [row["label"] for row in second.rows("labels")] == ["new"] * 3
    old, new = _pid(first.events), _pid(second.events)
    assert old != new
    until(lambda: not psutil.pid_exists(old), "the old code's process is left")
    assert psutil.pid_exists(new)


def test_a_run_that_lost_its_process_goes_on_with_its_own_code(project: Project) -> None:
    """The file has changed meanwhile, but the run was planned with what it held before."""
    project.edit("old")
    project.let_go("old")
    policy = 'batch: { max_rows: 1 }, retry: { attempts: 3, backoff: "fixed 10ms" }'
    project.program.write_text(project.program.read_text().replace("batch: { max_rows: 1 }", policy))
    first = project.run()
    pid = _pid(first.events)
    (project.folder / "go-old").unlink()
    (project.folder / "begun-old").unlink()
    second = Running(project)
    wait_begun(project, "old")
    project.edit("new")
    os.kill(pid, signal.SIGKILL)
    project.let_go("old")
    assert second.labels() == ["old"] * 3


def _pid(events: list[Event]) -> int:
    return next(e.pid for e in events if isinstance(e, PluginReady))
