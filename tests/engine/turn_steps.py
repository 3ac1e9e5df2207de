"""A stream of a growing file's lines, and steps around it, for the tests of runs in turns.

A line is `number` or `number word`; what is neither is rejected. How far the file counts as read stands in a
file beside it.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from heddle.core.table import Table
from heddle.core.types import RowType, row_of_schema
from heddle.sdk import Plugin, Position, StepConfig, StepContext, Stream, Writer

plugin = Plugin(namespace="turns")

LINES = pa.schema([("number", pa.int64()), ("word", pa.string())])
LOOKS_EVERY_S = 0.005


class LinesConfig(StepConfig):
    path: str
    until: str | None = None
    commit_every: str | None = None
    fails: int = 0
    """So many reads fail when they have given their rows."""
    commit_fails: bool = False


def line_row(config: LinesConfig) -> RowType:
    return row_of_schema(LINES)


class Lines(Stream):
    def __init__(self, config: LinesConfig) -> None:
        self._file = Path(config.path)
        self._committed = self._file.with_suffix(".position")
        self._bounded = config.until is not None
        self._fails = config.fails
        self._commit_fails = config.commit_fails
        self._offset = json.loads(self._committed.read_text())["offset"] if self._committed.exists() else 0
        self._said("opened")

    def read(self, context: StepContext) -> Iterator[Table]:
        assert context.turn is not None
        ends_at = time.monotonic() + context.turn.max_wait_s
        taken = 0
        while taken < context.turn.max_rows and not context.cancelled:
            lines = self._waiting(context.turn.max_rows - taken)
            if lines:
                taken += len(lines)
                yield from self._tables(lines, context)
            elif self._bounded or time.monotonic() >= ends_at:
                break
            else:
                time.sleep(LOOKS_EVERY_S)
        failed = self._file.with_suffix(".failed")
        if taken and len(failed.read_text() if failed.exists() else "") < self._fails:
            failed.open("a").write("x")
            raise ConnectionError("the line was cut")

    def position(self) -> Position:
        return {"offset": self._offset}

    def commit(self, position: Position) -> None:
        if self._commit_fails:
            raise ConnectionError("nobody listens")
        new = self._committed.with_suffix(".new")
        new.write_text(json.dumps(position))
        os.replace(new, self._committed)

    @property
    def ended(self) -> bool:
        return self._bounded and not self._waiting(1, moving=False)

    def lag(self) -> int | None:
        return self._file.read_bytes()[self._offset :].count(b"\n")

    def close(self) -> None:
        self._said("closed")

    def _said(self, what: str) -> None:
        with self._file.with_suffix(".log").open("a") as log:
            log.write(f"{what}\n")

    def _waiting(self, count: int, *, moving: bool = True) -> list[bytes]:
        """Up to so many whole lines from where it stands."""
        with self._file.open("rb") as file:
            file.seek(self._offset)
            lines = [line for line in file.readlines() if line.endswith(b"\n")][:count]
        if moving:
            self._offset += sum(map(len, lines))
        return lines

    def _tables(self, lines: list[bytes], context: StepContext) -> Iterator[Table]:
        texts = [line.decode().strip() for line in lines]
        bad = [text for text in texts if not text.split(" ")[0].isdecimal()]
        good = [text.partition(" ") for text in texts if text not in bad]
        context.reject_records(pa.table({"line": bad}), "this is no number", error_type="BadLine")
        if good:
            columns = {
                "number": [int(number) for number, _, _ in good],
                "word": [word for _, _, word in good],
            }
            yield Table.from_arrow(pa.table(columns, LINES))


@plugin.stream(name="lines", infer=line_row)
def lines(config: LinesConfig, context: StepContext) -> Stream:
    return Lines(config)


class Numbered(Table):
    number: int
    word: str


@plugin.step(name="check", rows="map")
def check(input: Numbered) -> Numbered:
    """Fails for the word `boom`, ends its process for `crash`, and does not come back for `wait`."""
    words = input.to_arrow()["word"].to_pylist()
    if "wait" in words:
        (Path(__file__).parent / "waits").touch()
        threading.Event().wait()
    if "crash" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    if "boom" in words:
        raise ValueError("boom")
    return input


class OnceConfig(StepConfig):
    path: str


class Name(Table):
    number: int
    name: str


@plugin.step(name="names")
def names(config: OnceConfig) -> Name:
    """Notes each call in a file."""
    with Path(config.path).open("a") as log:
        log.write("called\n")
    return Name.from_arrow(pa.table({"number": [1, 2, 3], "name": ["one", "two", "three"]}))


class AppendConfig(StepConfig):
    path: str


@plugin.step(name="append", effect=True)
def append(config: AppendConfig, input: Numbered) -> None:
    with Path(config.path).open("a") as file:
        for row in input.to_arrow().to_pylist():
            file.write(f"{row['number']}\n")


class Store(Writer):
    """Appends a line `numbers…` for each commit; a write of the word `full` fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers: list[int] = []

    def write(self, table: Table, context: StepContext) -> None:
        rows = table.to_arrow()
        if "full" in rows["word"].to_pylist():
            raise OSError("the store is full")
        self._numbers += rows["number"].to_pylist()

    def commit(self) -> None:
        with self._path.open("a") as file:
            file.write(f"{' '.join(map(str, self._numbers))}\n")

    def abort(self) -> None:
        with self._path.open("a") as file:
            file.write("aborted\n")


@plugin.writer(name="store")
def store(config: AppendConfig, context: StepContext) -> Writer:
    return Store(Path(config.path))
