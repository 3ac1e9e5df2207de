"""Rows of a SELECT as tables, while the server sends them.

A thread reads and decodes; the caller's converts and hands on. When the call is cancelled or left early,
the server is told to stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from typing import Final

import pyarrow as pa

from fhub.postgresql.columns import Column, as_declared, converted
from fhub.postgresql.connection import Connection
from fhub.postgresql.describing import Description, described, warn_of
from fhub.postgresql.failures import PostgresqlError
from fhub.postgresql.parameters import with_settings
from fhub.postgresql.session import WATCH_S, Session
from fhub.postgresql.statements import wrapped
from heddle.core.types import parse_type
from heddle.sdk import StepContext, Table

BATCHES_AHEAD: Final = 4
"""How many batches are decoded before the engine has taken the first."""

Opened = Callable[[Session], str]
"""Makes a session ready and gives the statement to run on it."""


def read(
    connection: Connection, text: str, schema: pa.Schema | None, context: StepContext
) -> Iterator[Table]:
    """The rows of a statement. `schema` is what the program declares of them."""
    description = described(connection, text)
    warn_of(description, connection, context)
    body = wrapped(description.statement, description.columns)

    def opened(session: Session) -> str:
        return with_settings(description, context.parameters, session, body)

    with connection.reading() as session:
        yield from streamed([(session, opened)], description, schema, context)


def streamed(
    parts: list[tuple[Session, Opened]],
    description: Description,
    schema: pa.Schema | None,
    context: StepContext,
) -> Iterator[Table]:
    """The rows of statements that run side by side, each on its session; without order between them."""
    wanted = expected(schema, context)
    stream = _Stream(parts)
    empty = True
    done = 0
    try:
        for batch in stream.batches(context):
            table = _table(batch, description.columns, wanted)
            empty = False
            done += table.num_rows
            yield table
            context.progress(done)
    finally:
        stream.close()
    if empty:
        names = wanted if wanted is not None else description.schema()
        yield Table.from_arrow(names.empty_table())


def expected(schema: pa.Schema | None, context: StepContext) -> pa.Schema | None:
    """What the program declares of the rows, else what it expects; None when anything will do. Where it
    expects no column at all, rows are counted, for which they need one."""
    if schema is not None:
        return schema
    return context.columns if context.columns is not None and context.columns.names else None


def declared(schema: dict[str, str] | None) -> pa.Schema | None:
    """The Arrow schema of a `schema:` setting."""
    if schema is None:
        return None
    fields = []
    for name, text in schema.items():
        type_, nullable = parse_type(text)
        fields.append(pa.field(name, type_, nullable=nullable))
    return pa.schema(fields)


def _table(batch: pa.RecordBatch, columns: tuple[Column, ...], wanted: pa.Schema | None) -> Table:
    made = converted(batch, columns)
    if wanted is not None:
        made = as_declared(made, wanted)
    return Table.from_arrow(made)


class _Stream:
    """Batches from several sessions through one bounded queue."""

    def __init__(self, parts: list[tuple[Session, Opened]]) -> None:
        self._sessions = [session for session, _ in parts]
        self._queue: Queue[pa.RecordBatch | BaseException | None] = Queue(BATCHES_AHEAD)
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._produce, args=part, name="heddle-postgresql-read", daemon=True)
            for part in parts
        ]

    def batches(self, context: StepContext) -> Iterator[pa.RecordBatch]:
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        while running:
            try:
                taken = self._queue.get(timeout=WATCH_S)
            except Empty:
                if context.cancelled:
                    raise PostgresqlError("the call was cancelled") from None
                continue
            if isinstance(taken, BaseException):
                raise taken
            if taken is None:
                running -= 1
            else:
                yield taken

    def close(self) -> None:
        """Ends what still runs; the sessions are free then."""
        self._stopped.set()
        for session, thread in zip(self._sessions, self._threads, strict=True):
            while thread.is_alive():
                session.cancel()
                thread.join(WATCH_S)

    def _produce(self, session: Session, opened: Opened) -> None:
        try:
            for batch in session.batches(opened(session)):
                if not self._put(batch):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error.with_traceback(None))

    def _put(self, item: pa.RecordBatch | BaseException | None) -> bool:
        """Whether there is still somebody who takes it."""
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=WATCH_S)
            except Full:
                continue
            return True
        return False
