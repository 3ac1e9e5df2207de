"""Where answers go and in which format: stdout, or the file that `\\o` names."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from heddle.database.errors import QueryError
from heddle.diagnostics import did_you_mean
from heddle.errors import UsageError
from heddle.repl.console import Console
from heddle.repl.formats import BINARY, FORMATS, EncodedRows, Format, MarkdownRows, Rows, TableRows, format_of
from heddle.std.sinks import Sink, SinkError

ROWS_SHOWN = 50
ROWS_PAGED = 1_000


class Output:
    """The settings that `\\format`, `\\x`, `\\rows` and `\\o` change. `format` is None until one is chosen:
    then a file's ending says it, and stdout gets tables."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.format: Format | None = None
        self.expanded = False
        self.rows_max: int | None = ROWS_PAGED if console.interactive and console.paging else ROWS_SHOWN
        self._file: Path | None = None
        self._answers = 0

    @property
    def shown_format(self) -> Format:
        return self.format or "table"

    @property
    def file(self) -> Path | None:
        return self._file

    def to(self, path: str | None) -> None:
        """The next answers go to a file, whose old content the first of them replaces; None: to stdout."""
        self._file = Path(path).expanduser() if path is not None else None
        self._answers = 0

    def rows(self, schema: pa.Schema) -> Rows:
        """For one answer. Raises `QueryError` when it cannot go there."""
        if self._file is None:
            return self._on_stdout(schema)
        format = self.format or format_of(str(self._file)) or "table"
        if format in BINARY and self._answers:
            raise QueryError(
                "invalid",
                f"{self._file} holds an answer already",
                help=f"{format} is one answer; name another file",
            )
        return _Noted(self.into(self._file, format, schema, append=self._answers > 0), self._note)

    def _note(self) -> None:
        self._answers += 1

    def into(self, path: Path, format: Format, schema: pa.Schema, *, append: bool = False) -> Rows:
        """A file's rows; the file is as it was until they are all there. Raises `QueryError`."""
        if format in ("table", "markdown"):
            return _TextFile(path, lambda file: self._text(file, format, schema), append=append)
        from heddle.std.file_sinks import open_file_sink

        config = {"path": str(path), "mode": "append" if append else "overwrite"}
        try:
            return _FileRows(open_file_sink(format, config, Path.cwd(), schema))
        except SinkError as error:
            raise _write_failed(error) from error

    def _on_stdout(self, schema: pa.Schema) -> Rows:
        console, format = self._console, self.shown_format
        match format:
            case "table":
                return TableRows(schema, console.show, rows_max=self.rows_max, expanded=self.expanded)
            case "markdown":
                return MarkdownRows(schema, console.lines)
            case "csv" | "json":
                return EncodedRows(format, console.bytes(), schema)
            case "arrow" | "parquet":
                if console.terminal:
                    raise QueryError(
                        "invalid",
                        f"{format} is not for a terminal",
                        help="`\\o FILE` or --output writes it to a file",
                    )
                if self._answers:
                    raise QueryError(
                        "invalid",
                        f"stdout holds an answer already, and {format} is one answer",
                        help="name a file",
                    )
                self._note()
                return EncodedRows(format, console.bytes(), schema)

    def _text(self, file: IO[str], format: Format, schema: pa.Schema) -> Rows:
        def write(lines: list[str]) -> None:
            file.write("".join(f"{line}\n" for line in lines))

        if format == "markdown":
            return MarkdownRows(schema, write)
        return TableRows(
            schema, lambda render: write(render(None)), rows_max=self.rows_max, expanded=self.expanded
        )


def chosen_rows(text: str) -> int | None:
    """`all` is None. Raises `UsageError`."""
    if text.lower() == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"`{text}` is no number of rows", help="it is a whole number from 1 on, or all")
    return int(text)


def chosen_format(text: str) -> Format:
    """Raises `UsageError`."""
    for format in FORMATS:
        if format == text.lower():
            return format
    near = did_you_mean(text.lower(), FORMATS)
    raise UsageError(
        f"there is no format `{text}`",
        help=f"did you mean `{near}`?" if near else f"the formats are {', '.join(FORMATS)}",
    )


class _Noted:
    """Tells when all rows are there."""

    def __init__(self, rows: Rows, finished: Callable[[], None]) -> None:
        self._rows = rows
        self._finished = finished

    def write(self, batch: pa.RecordBatch) -> None:
        self._rows.write(batch)

    def finish(self) -> None:
        self._rows.finish()
        self._finished()

    def abandon(self) -> None:
        self._rows.abandon()


class _FileRows:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, batch: pa.RecordBatch) -> None:
        try:
            self._sink.write(batch)
        except SinkError as error:
            raise _write_failed(error) from error

    def finish(self) -> None:
        try:
            self._sink.prepare()
            self._sink.commit()
        except SinkError as error:
            raise _write_failed(error) from error

    def abandon(self) -> None:
        self._sink.abort()


def _write_failed(error: SinkError) -> QueryError:
    return QueryError("failed", error.message, help=error.help)


class _TextFile:
    """The text of one answer, which goes to the file or its end when it is whole."""

    def __init__(self, path: Path, rows: Callable[[IO[str]], Rows], *, append: bool) -> None:
        self._path = path
        self._mode = "a" if append else "w"
        self._text = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - open until the end
        self._rows = rows(self._text)

    def write(self, batch: pa.RecordBatch) -> None:
        with _os_errors(self._path):
            self._rows.write(batch)

    def finish(self) -> None:
        with _os_errors(self._path), self._text:
            self._rows.finish()
            self._text.seek(0)
            with self._path.open(self._mode, encoding="utf-8") as file:
                shutil.copyfileobj(self._text, file)

    def abandon(self) -> None:
        self._text.close()


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise QueryError("failed", f"{path} cannot be written: {error.strerror or error}") from error
