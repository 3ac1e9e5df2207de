"""Servers in this process, with spans or metrics, and the programs that they serve."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from heddle.flightsql.serving import ServeOptions, Serving, serving
from tests.flightsql.clients import shop

STEPS = """\
from heddle.sdk import Table

class Key(Table):
    k: int

def same(rows: Key) -> Key:
    return rows
"""
STEPS_PROGRAM = """\
import "./steps.py" steps

workflow Steps {
  io.arrow { path: "numbers.arrow" }
    | (take 20)
    | steps.same
    > kept
}
"""
OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
"""Milliseconds until spans are sent."""


def write(folder: Path, settings: str) -> None:
    shop.write(folder)
    (folder / "steps.py").write_text(STEPS)
    (folder / "steps.he").write_text(STEPS_PROGRAM)
    (folder / "heddle.toml").write_text(f'[project]\nname = "shop"\n{settings}')


@contextmanager
def served(
    folder: Path,
    settings: str,
    said: list[str] | None = None,
    environ: dict[str, str] | None = None,
    native_port: int | None = None,
) -> Iterator[Serving]:
    """`said` gets the lines that an operator sees."""
    write(folder, settings)
    lines = said if said is not None else []
    with (
        mock.patch.dict(os.environ, OFTEN | (environ or {})),
        serving(ServeOptions((folder,), "127.0.0.1", 0, native_port=native_port), lines.append) as running,
    ):
        yield running


def spans_to(url: str, *more: str) -> str:
    """`[serve.telemetry]` for a collector."""
    return "\n".join(["[serve.telemetry]", f'endpoint = "{url}"', *more, ""])
