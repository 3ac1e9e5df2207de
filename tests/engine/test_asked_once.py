"""A run that has to ask a service for its columns goes on with the connection that it asked by."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEDDLE = str(Path(sys.executable).with_name("heddle"))

PLUGIN = """\
from pathlib import Path

from heddle.core import Table
from heddle.sdk import Plugin, Resource, ResourceConfig, Statement, StepConfig

plugin = Plugin(namespace="store")


class StoreConfig(ResourceConfig):
    log: str


class Store(Resource):
    def __init__(self, config: StoreConfig) -> None:
        self._log = config.base / config.log
        self.say("opened")

    def say(self, word: str) -> None:
        with self._log.open("a") as log:
            log.write(f"{word}\\n")

    def close(self) -> None:
        self.say("closed")


@plugin.resource(name="store")
def store(config: StoreConfig) -> Store:
    return Store(config)


class ReadConfig(StepConfig[StoreConfig]):
    query: Statement


def columns(config: ReadConfig) -> dict[str, str]:
    config.resource.say("asked")
    return {"n": "int"}


@plugin.step(name="read", resource="store", rows="flat", effect=False, infer=columns)
def read(config: ReadConfig) -> Table:
    config.resource.say("read")
    return Table.from_pylist([{"n": 7}])
"""
PROGRAM = """\
import "store" store

resource db = store.store { log: "log" }

workflow W {
  <store=db> store.read { query: "SELECT n" }
    | io.print
}
"""


def test_a_service_that_was_asked_stays_open_for_the_run(tmp_path: Path) -> None:
    (tmp_path / "heddle.toml").write_text('[plugins]\n"store" = "store.py"\n')
    (tmp_path / "store.py").write_text(PLUGIN)
    (tmp_path / "p.he").write_text(PROGRAM)
    done = subprocess.run(
        [HEDDLE, "run", "p.he"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["n", "-", "7"]
    assert (tmp_path / "log").read_text().split() == ["opened", "asked", "read", "closed"]
