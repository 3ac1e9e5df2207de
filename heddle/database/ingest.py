"""Rows on their way into a kept table: written as they come, there when they are committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Final, Literal, Self, TypeAlias

import pyarrow as pa

from heddle.database.errors import QueryError
from heddle.database.fitting import Fitting
from heddle.database.kept_manifest import KeptTable, Part
from heddle.database.kept_names import exists
from heddle.database.kept_parts import PartWriter
from heddle.database.reading import Reading
from heddle.database.table_locks import conflict
from heddle.std.mapped import mapped_batches
from heddle.std.reader_errors import ReaderError

SMALL_PART_BYTES: Final = 4 << 20
SMALL_PARTS_MAX: Final = 32
"""When a table ends with so many small parts, they become one."""

Change: TypeAlias = Callable[[Mapping[str, KeptTable]], Mapping[str, KeptTable | None]]
Apply: TypeAlias = Callable[[Change], None]


class Ingest:
    """Used by one thread at a time. A context manager that aborts what was not committed."""

    def __init__(
        self,
        name: str,
        mode: Literal["create", "append", "replace"],
        fitting: Fitting,
        new_writer: Callable[[], PartWriter],
        apply: Apply,
        in_transaction: AbstractContextManager[None],
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """`KeptTables` makes it."""
        self.rows = 0
        self._name = name
        self._mode = mode
        self._fitting = fitting
        self._new_writer = new_writer
        self._apply = apply
        self._notes = notes
        self._open = ExitStack()
        self._open.enter_context(in_transaction)
        self._writer = self._writer_until_end()

    @property
    def schema(self) -> pa.Schema:
        """The table's columns."""
        return self._fitting.schema

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def write(self, batch: pa.RecordBatch, *, compact: bool = False) -> None:
        """`compact`: the batch keeps little memory beside its own rows'. Raises `QueryError`; then it can
        only be aborted."""
        fitted = self._fitting.fit(batch)
        self._writer.write(fitted, compact=compact and fitted is batch)
        self.rows += batch.num_rows

    def commit(self) -> int:
        """The number of rows that were put in. Raises `QueryError`, and then none are there."""
        try:
            parts = self._writer.finish()
            self._apply(lambda seen: {self._name: self._changed(seen, parts)})
        finally:
            self._open.close()
        return self.rows

    def abort(self) -> None:
        """More than once does no harm, and none after a commit."""
        self._open.close()

    def _changed(self, seen: Mapping[str, KeptTable], parts: tuple[Part, ...]) -> KeptTable:
        there = seen.get(self._name)
        notes = self._notes or {}
        match self._mode:
            case "create":
                if there is not None:
                    raise exists(self._name)
            case "append":
                if there is None or not there.schema.equals(self.schema, check_metadata=True):
                    raise conflict(f"`{self._name}` was replaced while rows were put into it")
                parts = self._without_small_ones((*there.parts, *parts))
                notes = there.notes if self._notes is None else notes
            case "replace":
                pass
        return KeptTable(self._name, self.schema, parts, time.time(), dict(notes))

    def _without_small_ones(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """The parts with rows, if there are any, with the small ones at the end as one."""
        filled = tuple(part for part in parts if part.rows) or parts[:1]
        count = len(filled)
        while count and filled[count - 1].size_bytes < SMALL_PART_BYTES:
            count -= 1
        if len(filled) - count < SMALL_PARTS_MAX:
            return filled
        writer = self._writer_until_end()
        try:
            for batch in mapped_batches(writer.files(filled[count:]))[1]:
                writer.write(batch)
        except ReaderError as error:
            raise QueryError("failed", f"the rows of `{self._name}` cannot be read") from error
        return (*filled[:count], *writer.finish())

    def _writer_until_end(self) -> PartWriter:
        """What it has written is let go at the end; then the table holds it, or nothing does."""
        writer = self._new_writer()
        self._open.callback(writer.discard)
        return writer


class Rewriting:
    """All rows of a table are replaced by others, which are made of those that `reading` gives. A context
    manager that leaves the table as it is when it was not committed."""

    def __init__(self, reading: Reading, ingest: Ingest, held: ExitStack) -> None:
        """`KeptTables` makes it. With `held` others may change the table again."""
        self.reading = reading
        self._ingest = ingest
        self._marked = 0
        self._marks = False
        self._held = held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Rows with the table's columns in order. One column more, of booleans, tells which were changed.
        Raises `QueryError`."""
        columns = len(self._ingest.schema)
        if batch.num_columns > columns:
            self._marks = True
            self._marked += batch.column(columns).true_count
            batch = batch.select(list(range(columns)))
        self._ingest.write(batch)

    def commit(self) -> int:
        """The number of rows that were changed, or without marks removed. Raises `QueryError`."""
        kept = self._ingest.commit()
        return self._marked if self._marks else self.reading.table.rows - kept

    def close(self) -> None:
        """More than once does no harm."""
        self._held.close()
