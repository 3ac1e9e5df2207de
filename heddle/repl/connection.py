"""What the REPL asks of where statements run: a database in this process and a remote endpoint answer
alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from heddle.database.model import IngestMode, SqlLanguage, TableInfo, TableName


class Answer(Protocol):
    """One execution, read once by one thread."""

    @property
    def schema(self) -> pa.Schema:
        """Without fields for an update."""
        ...

    @property
    def rows_updated(self) -> int | None:
        """None for a query, and where it is not known."""
        ...

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Raises `QueryError`."""
        ...

    def cancel(self) -> None:
        """Ends it where it runs, from any thread; `batches` then raises `QueryError("cancelled")`."""
        ...

    def close(self) -> None:
        """More than once does no harm."""
        ...


class Statement(Protocol):
    @property
    def parameters(self) -> pa.Schema:
        """A field for each parameter in order, of type null where nothing is known of it."""
        ...

    def run(self, values: Sequence[object] = ()) -> Answer:
        """Raises `QueryError`."""
        ...


class Connection(Protocol):
    """Raises `QueryError` at every call."""

    label: str
    """Where statements go, for the user: the program, the address."""
    catalog: str | None
    """The default catalog, where it is known."""

    def tables(self) -> tuple[TableInfo, ...]:
        """With the names of their columns; the types may be null."""
        ...

    def describe(self, name: TableName, *, keys: bool = False) -> TableInfo:
        """What is known of one of `tables`; with `keys` all, for which an endpoint is asked once more."""
        ...

    def prepare(self, text: str, language: SqlLanguage = "sql") -> Statement:
        """A statement in SQL, of DataFusion's dialect or of DuckDB's."""
        ...

    def ingest(self, target: TableName, rows: pa.RecordBatchReader, mode: IngestMode) -> int | None:
        """How many rows were put in, where it is known. All or none."""
        ...

    def cancel(self) -> None:
        """Ends an `ingest` or a `prepare` under way, from any thread, where that can be."""
        ...

    def close(self) -> None: ...
