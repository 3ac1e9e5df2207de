"""A plugin that looks at the process it runs in."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from heddle.core.types import RowType
from heddle.sdk import Plugin, Resource, ResourceConfig, StepConfig, StepContext, Table

plugin = Plugin(namespace="probe", environment=["PROBE_NAME"])
KEPT: list[object] = []
AFTER = threading.Event()


class Where(Table):
    address: int
    shared: bool


class Text(Table):
    text: str


class DoorConfig(ResourceConfig):
    name: str = "door"
    sick: bool = False
    stuck: bool = False
    endless: bool = False


class Door(Resource):
    def __init__(self, config: DoorConfig) -> None:
        self.config = config

    def health(self) -> str | None:
        if self.config.sick:
            raise OSError("no pulse")
        return None

    def close(self) -> None:
        sys.stderr.write(f"closed {self.config.name}\n")
        if self.config.stuck:
            raise RuntimeError("it is stuck")
        if self.config.endless:
            threading.Event().wait()


@plugin.resource(name="door")
def door(config: DoorConfig) -> Door:
    return Door(config)


@plugin.step(name="where")
def where(input: Table) -> Where:
    """Where the buffers of the first column are, and whether that is shared memory."""
    maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:" in line]
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps]
    rows = []
    for buffer in input.to_arrow().column(0).chunk(0).buffers():
        if buffer is not None:
            shared = any(start <= buffer.address < end for start, end in ranges)
            rows.append({"address": buffer.address, "shared": shared})
    return Where.from_pylist(rows)


@plugin.step(name="keep")
def keep(input: Table) -> None:
    KEPT.append(input)


@plugin.step(name="drop")
def drop() -> Text:
    KEPT.clear()
    return Text.from_pylist([])


@plugin.step(name="fail_deep")
def fail_deep(input: Table) -> Table:
    """An exception that holds the table in its frames, in a cycle with itself."""
    try:
        return _fail(input)
    except ValueError as error:
        held = error
        raise KeyError(f"after {held}") from error


def _fail(rows: Table) -> Table:
    try:
        raise ValueError("deep")
    except ValueError as error:
        cycle = error
        raise cycle from None


@plugin.step(name="endless")
def endless(context: StepContext) -> Iterator[Text]:
    try:
        while True:
            yield Text.from_pylist([{"text": "more"}])
    finally:
        sys.stderr.write("endless was closed\n")


@plugin.step(name="several", rows="flat")
def several(input: Table) -> Iterator[Table]:
    for _ in range(3):
        yield input


@plugin.step(name="slow_log")
def slow_log(context: StepContext) -> Text:
    """Logs from other loggers, from a thread, and after the call."""
    logging.getLogger("library").warning("from a library", extra={"n": 1})
    logging.getLogger("library").info("not shown by default")
    thread = threading.Thread(target=context.log.error, args=("from a thread",))
    thread.start()
    thread.join()
    try:
        raise ValueError("inside")
    except ValueError:
        context.log.exception("it failed")
    context.log.debug("bad arguments %d", "x")
    threading.Thread(target=_log_later, args=(context,), daemon=True).start()
    return Text.from_pylist([])


def _log_later(context: StepContext) -> None:
    AFTER.wait()
    context.log.warning("after the end", extra={"late": True})


@plugin.step(name="let_log")
def let_log() -> Text:
    AFTER.set()
    return Text.from_pylist([])


@plugin.step(name="reject_many", rows="map")
def reject_many(input: Table, context: StepContext) -> Table:
    context.reject(pc.is_valid(input.to_arrow().column(0)), "many")
    context.reject([0], "again", error_type="Twice")
    return input


@plugin.step(name="stdin")
def stdin() -> Text:
    return Text.from_pylist([{"text": repr(sys.stdin.read())}])


@plugin.step(name="base")
def base(context: StepContext) -> Text:
    return Text.from_pylist([{"text": str(context.base / "a.csv")}])


@plugin.step(name="exit")
def exit_step() -> Text:
    sys.exit(4)


@plugin.step(name="use", resource={"front": "door", "back": "door"})
def use(config: StepConfig[DoorConfig]) -> Text:
    doors = config.resources
    return Text.from_pylist([{"text": f"{doors['front'].config.name}+{doors['back'].config.name}"}])


class ColumnsConfig(StepConfig):
    name: str
    kind: str = "int"


def columns_of(config: ColumnsConfig, input: RowType) -> dict[str, str]:
    named = {c.name: "string" for c in input.columns}
    return {**named, config.name: config.kind}


@plugin.step(name="columns", infer=columns_of)
def columns(config: ColumnsConfig, input: Table) -> Table:
    return input


@plugin.step(name="schema", infer=lambda config: pa.schema([pa.field(config.name, pa.int8(), False)]))
def schema(config: ColumnsConfig) -> Table:
    raise NotImplementedError


@plugin.step(name="no_columns", infer=lambda config: 3)
def no_columns(config: ColumnsConfig) -> Table:
    raise NotImplementedError


@plugin.step(name="blob")
def blob() -> Table:
    """20 MB of bytes in one row, and 20 MB in many."""
    return Table.from_arrow(pa.table({"b": [b"x" * (20 << 20)]}))


@plugin.step(name="rows_of_bytes")
def rows_of_bytes() -> Table:
    return Table.from_arrow(pa.table({"b": [bytes([i]) * (1 << 20) for i in range(40)]}))


@plugin.step(name="pid")
def pid() -> Text:
    return Text.from_pylist([{"text": str(os.getpid())}])


if __name__ == "__main__":
    plugin.serve()
