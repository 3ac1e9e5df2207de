"""`\\copy`: an answer or a table into a file, and a file's rows into a table."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from heddle.core.record import record
from heddle.database.errors import QueryError
from heddle.database.model import SCRATCH_SCHEMA, TableName
from heddle.errors import UsageError
from heddle.repl.commands import arguments
from heddle.repl.execution import Cancel, Execution
from heddle.repl.formats import format_of
from heddle.repl.lexer import Token, tokens
from heddle.repl.names import name_parts, written

if TYPE_CHECKING:
    from heddle.repl.session import Session

USAGE: Final = "\\copy (QUERY)|TABLE to FILE, or \\copy TABLE from FILE"


@record(frozen=True, slots=True)
class _Request:
    """`subject` is a query or a table's name."""

    subject: str
    query: bool
    to: bool
    file: Path


def copy(session: Session, text: str) -> None:
    """Raises `HeddleError`."""
    request = _read(session, text)
    if request.to:
        _copy_to(session, request)
    else:
        _copy_from(session, request)


def _read(session: Session, text: str) -> _Request:
    said = [token for token in tokens(text, session.language) if token.kind not in ("space", "comment")]
    end = _subject_end(said)
    if end == 0 or end >= len(said) or said[end].word not in ("TO", "FROM"):
        raise UsageError("it is not said what is copied where", help=f"it is {USAGE}")
    file = arguments(text[said[end].end :].strip(), USAGE, at_least=1)[0]
    to, query = said[end].word == "TO", said[0].text == "("
    if query and not to:
        raise UsageError("rows go into a table, not into a query", help=f"it is {USAGE}")
    subject = text[said[0].end : said[end - 1].start] if query else text[said[0].start : said[end - 1].end]
    return _Request(subject.strip(), query, to, Path(file).expanduser())


def _subject_end(said: list[Token]) -> int:
    """How many tokens the query in parentheses or the table's name has."""
    depth = 0
    for index, token in enumerate(said):
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if depth == 0 and (said[0].text == "(" or (index and token.word in ("TO", "FROM"))):
            return index + 1 if said[0].text == "(" else index
    return 0


def _copy_to(session: Session, request: _Request) -> None:
    format = format_of(request.file.name)
    if format is None:
        if session.output.format is None:
            raise UsageError(
                f"the ending of {request.file} names no format",
                help="end it with .csv, .json, .parquet or .arrow",
            )
        format = session.output.format
    if request.query:
        sql, dialect = session.sql(request.subject), session.dialect
    else:
        dialect = "sql"
        sql = f"SELECT * FROM {'.'.join(map(written, name_parts(request.subject)))}"
    rows = session.answer(
        lambda: session.connection.prepare(sql, dialect),
        lambda schema: session.output.into(request.file, format, schema),
    )
    session.console.say(f"{rows:,} row{'' if rows == 1 else 's'} in {request.file}")


def _copy_from(session: Session, request: _Request) -> None:
    target = _target(session, request.subject)
    progress = session.console.progress()

    def put(cancel: Cancel) -> Generator[int | None, None, None]:
        cancel.by(session.connection.cancel)
        schema, batches = _rows_of(request.file)

        def counted() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                if cancel.asked:
                    raise QueryError("cancelled", "cancelled; no row was put in")
                progress.rows += batch.num_rows
                yield batch

        rows = pa.RecordBatchReader.from_batches(schema, counted())
        yield session.connection.ingest(target, rows, "create_append")

    try:
        (count,) = Execution(put, session.interrupts, progress)
    finally:
        progress.clear()
    session.forget_tables()
    count = progress.rows if count is None else count
    session.console.say(f"{count:,} row{'' if count == 1 else 's'} put into {target.schema}.{target.name}")


def _target(session: Session, text: str) -> TableName:
    """A table that is there, or the one to be made: without a schema in that of clients' own tables."""
    parts = name_parts(text)
    tables = session.tables(fresh=True)
    for info in tables:
        full = (info.name.catalog, info.name.schema, info.name.name)
        if info.writable and full[-len(parts) :] == parts:
            return info.name
    catalog = session.connection.catalog or next((info.name.catalog for info in tables), "")
    match parts:
        case (name,):
            return TableName(catalog, SCRATCH_SCHEMA, name)
        case (schema, name):
            return TableName(catalog, schema, name)
        case (named, schema, name):
            return TableName(named, schema, name)
        case _:
            raise UsageError(f"`{text}` is no table's name", help=f"it is {USAGE}")


def _rows_of(file: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The rows of a file, in the format that its ending says. Raises `UsageError` and `QueryError`."""
    format = format_of(file.name)
    try:
        match format:
            case "csv":
                from pyarrow import csv

                reader = csv.open_csv(file)
                return reader.schema, _read_errors(file, reader)
            case "json":
                from pyarrow import json

                table = json.read_json(file)
                return table.schema, iter(table.to_batches())
            case "parquet":
                import pyarrow.parquet as pq

                parquet = pq.ParquetFile(file)
                return parquet.schema_arrow, _read_errors(file, parquet.iter_batches())
            case "arrow":
                source = pa.memory_map(str(file))
                arrow = pa.ipc.open_file(source)
                batches = (arrow.get_batch(index) for index in range(arrow.num_record_batches))
                return arrow.schema, _read_errors(file, batches)
            case _:
                raise UsageError(
                    f"the ending of {file} names no format to read",
                    help="it is .csv, .json, .parquet or .arrow",
                )
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error


def _read_errors(file: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError | pa.ArrowException) -> QueryError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return QueryError("failed", f"{file} cannot be read: {reason}")
