"""What every SDK must do (tests/conformance/README.md), with the Python SDK."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import asdict, dataclass
from typing import Literal, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from heddle.sdk import Plugin, Resource, ResourceConfig, RowText, Secret, StepConfig, StepContext, Table

plugin = Plugin(
    namespace="conformance",
    version="1.2.3",
    doc="What every SDK must do.",
    environment=["CONFORMANCE_REGION"],
)


class CounterBroken(Exception):
    transient = True


class CounterConfig(ResourceConfig):
    start: int = 0
    fail: bool = False
    token: Secret[str] = ""


class Counter(Resource):
    def __init__(self, start: int) -> None:
        self.number = start
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.number += count

    def health(self) -> str | None:
        return "the counter is negative" if self.number < 0 else None

    def close(self) -> None:
        sys.stderr.write(f"counter closed at {self.number}\n")


@plugin.resource(name="counter")
def counter(config: CounterConfig) -> Counter:
    if config.fail:
        raise CounterBroken("the counter is broken")
    return Counter(config.start)


class X(Table, open=True):
    x: int


class XAndY(Table, open=True):
    x: int
    y: int


class OnlyX(Table):
    x: int


class Total(Table):
    total: int


class Number(Table):
    n: int


class Count(Table):
    count: int


class Json(Table):
    json: str


class Value(Table):
    value: str | None


class Call(Table):
    run_id: str
    workflow: str
    step: str
    attempt: int
    idempotency_key: str | None
    deadline: float | None


@plugin.step(name="identity", rows="map", deterministic=True)
def identity(input: Table) -> Table:
    return input


@plugin.step(name="rebuild", rows="map", deterministic=True)
def rebuild(input: Table) -> Table:
    sink = pa.BufferOutputStream()
    rows = input.to_arrow()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return Table.from_arrow(pa.ipc.open_stream(sink.getvalue()).read_all())


class AddConfig(StepConfig):
    amount: int


@plugin.step(name="add", rows="map", passthrough=True, deterministic=True)
def add(input: X, config: AddConfig) -> XAndY:
    rows = input.to_arrow()
    y = pc.add_checked(rows["x"], config.amount)
    return XAndY(rows.append_column(pa.field("y", pa.int64(), nullable=False), y))


@plugin.step(name="reject_negative", rows="map", passthrough=True, deterministic=True)
def reject_negative(input: X, context: StepContext) -> X:
    context.reject(pc.less(input["x"], 0), "x is negative", error_type="Negative")
    return input


@plugin.step(name="keep_even", rows="filter", passthrough=True, deterministic=True)
def keep_even(input: X) -> X:
    even = pc.equal(pc.bit_wise_and(input["x"], 1), 0)
    return X(input.to_arrow().filter(even))


class RepeatConfig(StepConfig):
    times: int = 2


@plugin.step(name="repeat", rows="flat", passthrough=True, deterministic=True)
def repeat(input: X, config: RepeatConfig) -> X:
    numbers = [row for row in range(input.num_rows) for _ in range(config.times)]
    return X(input.to_arrow().take(pa.array(numbers, pa.int64())))


@plugin.step(name="total", deterministic=True)
def total(input: OnlyX) -> Total:
    return Total.from_pylist([{"total": pc.sum(input["x"], min_count=0).as_py()}])


class NumbersConfig(StepConfig):
    count: int
    batch_rows: int = 1000


@plugin.step(name="numbers", deterministic=True)
def numbers(config: NumbersConfig) -> Iterator[Number]:
    for start in range(0, config.count, config.batch_rows):
        end = min(start + config.batch_rows, config.count)
        yield Number(pa.table({"n": pa.array(range(start, end), pa.int64())}))


@plugin.step(name="sink", resource="counter", effect=True)
def sink(input: Table, config: StepConfig[CounterConfig]) -> None:
    config.resource.add(input.num_rows)


@plugin.step(name="count", resource="counter")
def count(config: StepConfig[CounterConfig]) -> Count:
    return Count.from_pylist([{"count": config.resource.number}])


@dataclass
class Place:
    city: str
    zip: str = ""


class SettingsConfig(StepConfig):
    flag: bool
    count: int
    ratio: float = 0.5
    name: str
    level: Literal["low", "high"] = "low"
    tags: list[str] = []  # noqa: RUF012  # each instance gets its own copy
    weights: dict[str, float] = {}  # noqa: RUF012
    limit: int | None = None
    place: Place | None = None


@plugin.step(name="settings", deterministic=True)
def settings(config: SettingsConfig) -> Json:
    values = {name: getattr(config, name) for name in config.setting_annotations()}
    values["place"] = asdict(config.place) if config.place is not None else None
    return Json.from_pylist([{"json": json.dumps(values, sort_keys=True, separators=(",", ":"))}])


class ConformanceError(Exception):
    def __init__(self, message: str, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class FailConfig(StepConfig):
    message: str
    transient: bool = False


@plugin.step(name="fail")
def fail(input: Table, config: FailConfig) -> Table:
    raise ConformanceError(config.message, config.transient)


@plugin.step(name="crash")
def crash(input: Table) -> Table:
    os._exit(3)


class SleepConfig(StepConfig):
    seconds: float


@plugin.step(name="sleep", rows="map", deterministic=True)
def sleep(input: Table, config: SleepConfig, context: StepContext) -> Table:
    end = time.monotonic() + config.seconds
    while time.monotonic() < end:
        if context.cancelled:
            raise CancelledError
        time.sleep(0.01)
    return input


@plugin.step(name="hang", rows="map")
def hang(input: Table) -> Table:
    _hang()


def _hang() -> NoReturn:
    while True:
        time.sleep(3600)


class LogConfig(StepConfig):
    message: str


@plugin.step(name="log", rows="map")
def log(input: Table, config: LogConfig, context: StepContext) -> Table:
    rows = input.num_rows
    fields = {"rows": rows, "step": context.step, "key": context.idempotency_key or ""}
    context.log.info(config.message, extra=fields)
    sys.stdout.write(f"out: {config.message}\n")
    sys.stderr.write(f"err: {config.message}\n")
    context.progress(rows, rows)
    context.metric("seen", rows, "rows")
    return input


@plugin.step(name="context")
def call_context(context: StepContext) -> Call:
    return Call.from_pylist(
        [
            {
                "run_id": context.run_id,
                "workflow": context.workflow,
                "step": context.step,
                "attempt": context.attempt,
                "idempotency_key": context.idempotency_key,
                "deadline": context.deadline,
            }
        ]
    )


class SchemaConfig(StepConfig):
    columns: RowText


@plugin.step(name="schema_of", infer=lambda config: config.columns)
def schema_of(config: SchemaConfig) -> Table:
    from heddle.core.types import parse_type

    fields = [(name, *parse_type(text)) for name, text in config.columns.items()]
    return Table.from_arrow(
        pa.schema([pa.field(name, type_, nullable) for name, type_, nullable in fields]).empty_table()
    )


class GrowConfig(StepConfig):
    mebibytes: int


@plugin.step(name="grow")
def grow(input: Table, config: GrowConfig) -> Table:
    taken = bytearray(config.mebibytes << 20)
    taken[:: 4 << 10] = b"\1" * len(taken[:: 4 << 10])
    return input


class EnvironmentConfig(StepConfig):
    name: str


@plugin.step(name="environment")
def environment(config: EnvironmentConfig) -> Value:
    return Value.from_pylist([{"value": os.environ.get(config.name)}])


plugin.declare("declared")


if __name__ == "__main__":
    plugin.serve()
