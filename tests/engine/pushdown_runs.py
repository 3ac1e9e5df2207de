"""Programs over a database, run with their queries in it and with their queries here."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from heddle.engine import Engine, RunOptions
from heddle.physical.cancel import CancelToken
from heddle.physical.events import StatementAsked
from heddle.std.sinks import Streams
from tests.engine.databases import Database


@dataclass
class Ran:
    """What came out of each workflow, what the database was asked for it, and what the rule said of all."""

    outputs: dict[str, pa.Table]
    asked: dict[str, list[str]]
    pushed: int
    stayed: list[str]

    def rows(self, workflow: str) -> list[dict[str, object]]:
        return self.outputs[workflow].to_pylist()


def lay_out(database: Database, bodies: Mapping[str, str], folder: Path, *, header: str = "") -> Path:
    """A program with a workflow for each body, which ends with a stage; what it gives is `out`. The columns
    of its tables are in `heddle.lock`."""
    (folder / "heddle.toml").write_text("")
    path = folder / "program.he"
    workflows = [f"\nworkflow {name}{header} {{\n{body}\n    > out\n}}\n" for name, body in bodies.items()]
    path.write_text(database.head + "".join(workflows))
    with Engine.open(path, environ=os.environ) as engine:
        engine.refresh()
    return path


def run_program(path: Path, *, pushdown: bool = True, params: Mapping[str, str] | None = None) -> Ran:
    """What stays here runs on DataFusion, which decides what a program means."""
    asked: dict[str, list[str]] = {}
    streams = Streams(io.StringIO(), io.StringIO())

    def heard(event: object) -> None:
        if isinstance(event, StatementAsked):
            asked.setdefault(event.stage.split("/")[0], []).append(event.statement)

    with Engine.open(path, params=params, environ=os.environ) as engine:
        checked = engine.check()
        program = checked.program
        assert program is not None, [f"{d.code} {d.message}" for d in checked.diagnostics]
        files = {name: path.parent / f"{name}.{pushdown}.parquet" for name in program.workflows}
        options = RunOptions(
            outputs={f"{name}.out": str(file) for name, file in files.items()},
            pushdown=pushdown,
            inline=True,
            engine="datafusion",
        )
        notes = [n for n in engine.plan(program, options).notes if n.rule == "push_sources"]
        result = engine.run(program, options, heard, CancelToken(), streams)
        if result.error is not None:
            raise result.error
    outputs = {name: pq.read_table(file) for name, file in files.items()}
    pushed = sum(note.fired and "its statement is" in note.text for note in notes)
    return Ran(outputs, asked, pushed, [note.text for note in notes if not note.fired])
