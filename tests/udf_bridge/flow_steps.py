"""A writer, a stream and a step that estimates, for the tests of what is asked of steps beside rows."""

from collections.abc import Iterator

import pyarrow as pa

from heddle.core.table import Table
from heddle.sdk import Plugin, Position, Resource, ResourceConfig, StepConfig, StepContext, Stream, Writer

plugin = Plugin(namespace="flows")


class FolderConfig(ResourceConfig):
    path: str


class Folder(Resource):
    def __init__(self, config: FolderConfig) -> None:
        self.path = config.base / config.path

    def say(self, line: str) -> None:
        with (self.path / "log").open("a") as log:
            log.write(f"{line}\n")

    def close(self) -> None:
        self.say("closed")


@plugin.resource(name="folder")
def folder(config: FolderConfig) -> Folder:
    return Folder(config)


class Lines(Writer):
    def __init__(self, folder: Folder, run: str) -> None:
        self._folder, self._run = folder, run
        self._rows = 0
        folder.say(f"{run} opened")

    def write(self, table: Table, context: StepContext) -> None:
        rows = table.to_arrow()
        if "bad" in rows.column_names:
            raise ValueError("a bad column")
        self._rows += rows.num_rows

    def commit(self) -> None:
        if self._rows > 100:
            raise RuntimeError("too many rows")
        self._folder.say(f"{self._run} committed {self._rows}")

    def abort(self) -> None:
        self._folder.say(f"{self._run} aborted {self._rows}")


@plugin.writer(name="lines", resource="folder")
def lines(config: StepConfig[FolderConfig], context: StepContext) -> Writer:
    return Lines(config.resource, context.run_id)


class CountConfig(StepConfig[FolderConfig]):
    until: int = 10


class Count(Stream):
    def __init__(self, config: CountConfig) -> None:
        self._folder, self._until = config.resource, config.until
        self._next = 0

    def read(self, context: StepContext) -> Iterator[Table]:
        assert context.turn is not None
        end = min(self._until, self._next + context.turn.max_rows)
        numbers = [n for n in range(self._next, end) if n % 5 != 3]
        bad = pa.table({"offset": [n for n in range(self._next, end) if n % 5 == 3]})
        self._next = end
        context.reject_records(bad, "three", error_type="Three")
        if numbers:
            names = context.columns.names if context.columns is not None else ["n"]
            yield Table.from_arrow(pa.table({name: numbers for name in names}))

    def position(self) -> Position:
        return {"next": self._next}

    def commit(self, position: Position) -> None:
        self._folder.say(f"position {position['next']}")

    @property
    def ended(self) -> bool:
        return self._next == self._until

    def lag(self) -> int | None:
        return self._until - self._next

    def close(self) -> None:
        self._folder.say("stream closed")


@plugin.stream(name="count", resource="folder")
def count(config: CountConfig) -> Stream:
    return Count(config)


def about(config: CountConfig) -> int | None:
    return config.until


@plugin.step(name="known", resource="folder", rows="flat", effect=False, estimate=about)
def known(config: CountConfig, context: StepContext) -> Table:
    return Table.from_pylist([{"day": context.parameters["day"]}])
