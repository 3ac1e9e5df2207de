"""What a table of a statement stands for: a node of a view's program, files of a kept table, rows of a system
table. A `Source` is enough to type a statement; `bound` gives what the plan reads, and holds it that long.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from heddle.core.planning import quoted
from heddle.core.record import record
from heddle.core.types import row_of_schema
from heddle.database.model import TableInfo, Viewer
from heddle.logical.asked import AskedFiles, AskedTable
from heddle.std.mapped import FILES_SETTING, PASSING_SETTING

if TYPE_CHECKING:
    from heddle.database.reading import Reading
    from heddle.database.views import View


@record(frozen=True, slots=True)
class Source:
    """`relation` is the table's name in the plan, `sql` reads it, with what a policy says. A table
    that is not `lasting` may be another one the next time."""

    relation: str
    schema: pa.Schema
    sql: str
    bound: Callable[[ExitStack], AskedTable]
    view: View | None = None
    lasting: bool = False


@record(frozen=True, slots=True)
class AskedPlace:
    """Who asks for a table, and how. `relation` is a name that nothing else of the plan has; `rules` are a
    policy's query, with `{relation}` in it."""

    relation: str
    rules: str | None
    viewer: Viewer
    transaction: str | None


class Table(Protocol):
    """What the catalog holds. `source` raises `QueryError` where the table cannot be asked."""

    @property
    def info(self) -> TableInfo: ...

    def source(self, place: AskedPlace) -> Source: ...


def reading_sql(relation: str, rules: str | None) -> str:
    own = quoted(relation)
    return f"SELECT * FROM {own}" if rules is None else rules.replace("{relation}", own)


class KeptSource:
    """A kept table. `read` begins a reading of it, in a transaction or in none."""

    def __init__(self, info: TableInfo, read: Callable[[str | None], Reading]) -> None:
        self.info = info
        self._read = read

    def source(self, place: AskedPlace) -> Source:
        row = row_of_schema(self.info.schema)

        def bound(held: ExitStack) -> AskedTable:
            reading = held.enter_context(self._read(place.transaction))
            return AskedFiles(reading.step, dict(reading.config), row)  # type: ignore[arg-type]

        return Source(place.relation, self.info.schema, reading_sql(place.relation, place.rules), bound)


class Rows(Protocol):
    """Rows while they come."""

    @property
    def schema(self) -> pa.Schema: ...

    def batches(self) -> Iterator[pa.RecordBatch]: ...


def files_of(rows: Rows, held: ExitStack) -> AskedTable:
    """The rows in a file that is held."""
    named = tempfile.NamedTemporaryFile(prefix="heddle-rows-", suffix=".arrow")  # noqa: SIM115  # it is held
    file = held.enter_context(named)
    with pa.ipc.new_file(file, rows.schema) as writer:
        for batch in rows.batches():
            writer.write_batch(batch)
    file.flush()
    path = Path(file.name)
    config = {"path": str(path.parent), FILES_SETTING: [path.name], PASSING_SETTING: True}
    return AskedFiles("arrow", config, row_of_schema(rows.schema))  # type: ignore[arg-type]


class SystemSource:
    """Rows that the process has in memory."""

    def __init__(self, info: TableInfo, rows: Callable[[Viewer], pa.Table]) -> None:
        self.info = info
        self._rows = rows

    def source(self, place: AskedPlace) -> Source:
        def bound(held: ExitStack) -> AskedTable:
            return files_of(_Held(self._rows(place.viewer).cast(self.info.schema)), held)

        return Source(place.relation, self.info.schema, reading_sql(place.relation, place.rules), bound)


@record(frozen=True, slots=True)
class _Held:
    table: pa.Table

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        return iter(self.table.to_batches())
