"""A session: a connection, the settings that commands change, and the running of statements and scripts.

Statements and commands come as text; answers go to the output, failures to the console, and the exit code
tells a script's caller how it ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa

from heddle.core.record import record
from heddle.database.errors import PlacedError, QueryError, QueryErrorKind
from heddle.database.model import Language, SqlLanguage, TableInfo, TableName
from heddle.diagnostics import Source, Span
from heddle.errors import HeddleError, UsageError
from heddle.repl.connection import Connection, Statement
from heddle.repl.console import Console
from heddle.repl.execution import Cancel, Execution
from heddle.repl.formats import KeptRows, Rows
from heddle.repl.interrupts import Interrupts
from heddle.repl.output import Output
from heddle.repl.parameters import values_for
from heddle.repl.places import place_of
from heddle.repl.progress import Progress
from heddle.repl.statements import Piece, next_piece

T = TypeVar("T")

SCRIPT_DEPTH_MAX: Final = 32
"""How deep `\\i` may be nested: a script that includes itself has no end."""

_EXIT_CODES: Final[dict[QueryErrorKind, int]] = {
    "invalid": 2,
    "not_found": 2,
    "exists": 2,
    "unsupported": 2,
    "unavailable": 3,
    "cancelled": 130,
}


def exit_code(error: HeddleError) -> int:
    return _EXIT_CODES.get(error.kind, 1) if isinstance(error, QueryError) else error.exit_code


class Leave(Exception):
    """`\\q`."""


@record(frozen=True, slots=True)
class _Head:
    """What is known of an answer before its rows."""

    schema: pa.Schema
    rows_updated: int | None


class Session:
    def __init__(
        self,
        connection: Connection,
        console: Console,
        connect: Callable[[str], Connection],
        *,
        keep_going: bool = False,
    ) -> None:
        """`connect` opens another connection; it raises `HeddleError`."""
        self.connection = connection
        self.console = console
        self.output = Output(console)
        self.interrupts = Interrupts()
        self.language: Language = "sql"
        self.timing = False
        self.parameters: dict[str, str] = {}
        self.last: str | None = None
        """The last statement, for the commands that do something with it."""
        self.pending: str | None = None
        """Text that the next line of input begins with."""
        self.remember: Callable[[str], None] = lambda text: None
        """Puts what was not typed at the prompt into the history."""
        self._connect = connect
        self.keep_going = keep_going
        self._depth = 0
        self._tables: tuple[TableInfo, ...] | None = None

    def close(self) -> None:
        self.connection.close()

    def connect(self, target: str) -> None:
        """Go on with another program or endpoint. Raises `HeddleError`, and then this one stays."""
        connection = self._connect(target)
        self.connection.close()
        self.connection = connection
        self.forget_tables()

    def forget_tables(self) -> None:
        """They may have changed."""
        self._tables = None

    def tables(self, *, fresh: bool = False) -> tuple[TableInfo, ...]:
        """Raises `QueryError`."""
        tables = self._tables
        if fresh or tables is None:
            tables = self._tables = self.ask(self.connection.tables)
        return tables

    def describe(self, name: TableName, *, keys: bool = False) -> TableInfo:
        """What is known of a table, with its keys where they are asked for. Raises `QueryError`."""
        return self.ask(lambda: self.connection.describe(name, keys=keys))

    def ask(self, question: Callable[[], T]) -> T:
        """What the connection answers; ^C ends the waiting. Raises `QueryError`."""
        if threading.current_thread() is not threading.main_thread():
            return question()  # the main thread waits for this one already

        def asked(cancel: Cancel) -> Generator[T, None, None]:
            yield question()

        progress = self.console.progress()
        try:
            (answer,) = Execution(asked, self.interrupts, progress)
        finally:
            progress.clear()
        return answer

    def begin(self, text: str, name: str = "statement") -> int:
        """Run what a person has typed or a command line named: `run`, while ^C is heard."""
        with self.interrupts.heard():
            return self.run(text, name)

    def run(self, text: str, name: str = "statement") -> int:
        """Run a text's statements and commands in order; a failure is shown, and ends it unless the session
        keeps going. `name` is that of the script. The result is the exit code. Raises `Leave`."""
        code, start = 0, 0
        self._depth += 1
        try:
            while True:
                piece, start = next_piece(text, start, self.language)
                if piece is None:
                    return code
                failed = self._run_piece(piece, Source(name, text))
                if self.interrupts.count:
                    return failed or _EXIT_CODES["cancelled"]
                code = code or failed
                if failed and not self.keep_going:
                    return failed
        finally:
            self._depth -= 1

    def run_file(self, path: str) -> int:
        """Raises `UsageError` for a file that cannot be read."""
        if self._depth >= SCRIPT_DEPTH_MAX:
            raise UsageError(
                f"{path} is included more than {SCRIPT_DEPTH_MAX} deep", help="does it include itself?"
            )
        try:
            text = Path(path).expanduser().read_text("utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is no text in UTF-8") from error
        return self.run(text, path)

    def query(self, text: str) -> None:
        """Run one statement of the session's language. Raises `QueryError`."""
        self.last = text
        self.answer(lambda: self.connection.prepare(self.sql(text), self.dialect))

    def sql(self, text: str) -> str:
        """A statement of the session's language as SQL. Raises `QueryError`."""
        if self.language != "prql":
            return text
        from heddle.database.prql import to_sql

        return to_sql(text, self.tables(), lambda info: self.describe(info.name))

    @property
    def dialect(self) -> SqlLanguage:
        """That of `sql`."""
        return "duckdb" if self.language == "duckdb" else "sql"

    def explain(self, text: str) -> None:
        """Show the plan of a statement of the session's language. Raises `QueryError`."""
        plans: list[pa.RecordBatch] = []
        sql = f"EXPLAIN {self.sql(text)}"
        dialect = self.dialect
        self.answer(lambda: self.connection.prepare(sql, dialect), lambda schema: KeptRows(plans))
        lines: list[str] = []
        for batch in plans:
            for *kind, plan in zip(*(column.to_pylist() for column in batch.columns[-2:]), strict=True):
                lines += [*(f"{word}:" for word in kind), *(f"  {line}" for line in str(plan).splitlines())]
        self.console.show(lambda width: lines)

    def show_table(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Rows that the session itself knows, where answers go."""
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
        rows = self.output.rows(table.schema)
        for batch in table.to_batches():
            rows.write(batch)
        rows.finish()

    def answer(
        self, prepare: Callable[[], Statement], rows: Callable[[pa.Schema], Rows] | None = None
    ) -> int:
        """Run a statement and write its answer to the output, or to `rows`. The result is how many rows there
        were. Raises `QueryError`."""
        progress = self.console.progress()
        items = iter(Execution(lambda cancel: self._items(prepare, cancel), self.interrupts, progress))
        try:
            return self._write(items, progress, rows)
        finally:
            progress.clear()
            items.close()

    def _items(
        self, prepare: Callable[[], Statement], cancel: Cancel
    ) -> Generator[_Head | pa.RecordBatch, None, None]:
        cancel.by(self.connection.cancel)
        statement = prepare()
        with closing(statement.run(values_for(statement.parameters, self.parameters))) as answer:
            cancel.by(answer.cancel)
            yield _Head(answer.schema, answer.rows_updated)
            yield from answer.batches()

    def _write(
        self,
        items: Generator[_Head | pa.RecordBatch, None, None],
        progress: Progress,
        open_rows: Callable[[pa.Schema], Rows] | None,
    ) -> int:
        head = next(items)
        assert isinstance(head, _Head), "the head comes first"
        if not head.schema.names:
            for _ in items:
                pass
            self.forget_tables()
            self._done(
                "done" if head.rows_updated is None else f"{_rows(head.rows_updated)} changed", progress
            )
            return head.rows_updated or 0
        rows = open_rows(head.schema) if open_rows is not None else self.output.rows(head.schema)
        beside = open_rows is None and self.console.terminal and self.output.file is None
        try:
            for batch in items:
                assert isinstance(batch, pa.RecordBatch), "the head comes once"
                progress.rows += batch.num_rows
                if beside:
                    progress.clear()
                rows.write(batch)
            progress.end()
            rows.finish()
        except BaseException:
            rows.abandon()
            raise
        if open_rows is None:
            self._done(_rows(progress.rows), progress)
        return progress.rows

    def _done(self, what: str, progress: Progress) -> None:
        """Rows are counted for a person, and the time where it is wanted."""
        progress.end()
        said = [what] if self.console.interactive else []
        if self.timing:
            elapsed_s = progress.elapsed_s
            said.append(f"{elapsed_s * 1000:,.1f} ms" if elapsed_s < 10 else f"{elapsed_s:,.1f} s")
        if said:
            self.console.say(f"({', '.join(said)})")

    def _run_piece(self, piece: Piece, source: Source) -> int:
        try:
            if piece.kind == "command":
                from heddle.repl.commands import run_command

                return run_command(self, piece.text)
            self.query(piece.text)
        except HeddleError as error:
            self.console.failure(error, self._place(error, piece, source))
            return exit_code(error) or 1
        return 0

    def _place(self, error: HeddleError, piece: Piece, source: Source) -> tuple[Source, Span] | None:
        """In a script of several lines at least the statement's first one is told."""
        span = None
        if piece.kind == "statement" and isinstance(error, PlacedError):
            span = error.span
        elif piece.kind == "statement":
            span = place_of(f"{error.message}\n{error.help or ''}", piece.text, self.language)
        if span is not None:
            return source, Span(piece.start + span.start, piece.start + span.end)
        if "\n" not in source.text.strip():
            return None
        first_line = piece.text.split("\n", 1)[0]
        return source, Span(piece.start, piece.start + len(first_line.rstrip()))


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
