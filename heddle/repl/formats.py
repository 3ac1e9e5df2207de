"""An answer's rows -> a format. A `Rows` takes the batches of one answer and writes as they come where the
format allows; tables keep the first and the last rows and their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final, Literal, Protocol, TypeAlias, get_args

import pyarrow as pa

from heddle.database.errors import QueryError
from heddle.repl.tables import HeadTail, expanded_lines, headed_lines
from heddle.std.printing import markdown_lines

Format: TypeAlias = Literal["table", "csv", "json", "markdown", "arrow", "parquet"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
BINARY: Final[frozenset[Format]] = frozenset({"arrow", "parquet"})
_ENDINGS: Final[dict[str, Format]] = {
    "csv": "csv",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "md": "markdown",
    "markdown": "markdown",
    "arrow": "arrow",
    "feather": "arrow",
    "parquet": "parquet",
    "txt": "table",
}
_COMPRESSIONS: Final = frozenset({"gz", "bz2", "xz", "zst"})

Lines: TypeAlias = Callable[[list[str]], None]
Rendered: TypeAlias = Callable[[int | None], list[str]]
"""A table's lines for a width in columns of a terminal; None: as long as they are."""


def format_of(path: str) -> Format | None:
    """By the ending of a file's name; `.csv.gz` is csv."""
    *_, name = path.rsplit("/", 1)
    endings = name.lower().split(".")[1:]
    if endings and endings[-1] in _COMPRESSIONS:
        endings.pop()
    return _ENDINGS.get(endings[-1]) if endings else None


class Rows(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def finish(self) -> None:
        """All rows were there."""
        ...

    def abandon(self) -> None:
        """The answer failed; what can be taken back is."""
        ...


class TableRows:
    def __init__(
        self, schema: pa.Schema, show: Callable[[Rendered], None], *, rows_max: int | None, expanded: bool
    ) -> None:
        self._kept = HeadTail(schema, rows_max)
        self._show = show
        self._render = expanded_lines if expanded else headed_lines

    def write(self, batch: pa.RecordBatch) -> None:
        self._kept.add(batch)

    def finish(self) -> None:
        self._show(lambda width: self._render(self._kept, width))

    def abandon(self) -> None:
        """Nothing was shown."""


class MarkdownRows:
    def __init__(self, schema: pa.Schema, lines: Lines) -> None:
        self._schema = schema
        self._lines = lines
        self._begun = False

    def write(self, batch: pa.RecordBatch) -> None:
        shown = markdown_lines(pa.Table.from_batches([batch], schema=self._schema))
        self._lines(shown[2:] if self._begun else shown)
        self._begun = True

    def finish(self) -> None:
        if not self._begun:
            self._lines(markdown_lines(self._schema.empty_table()))

    def abandon(self) -> None:
        """What was written stays."""


class EncodedRows:
    """csv, json, arrow or parquet into an open stream, which stays open. Raises `QueryError` for rows that
    the format cannot hold."""

    def __init__(self, format: Format, stream: IO[bytes], schema: pa.Schema) -> None:
        from heddle.std.encoders import open_encoder

        self._format = format
        self._stream = stream
        with self._told():
            self._encoder = open_encoder(format, stream, schema, {}, header=True)

    def write(self, batch: pa.RecordBatch) -> None:
        with self._told():
            self._encoder.write(batch)

    def finish(self) -> None:
        with self._told():
            self._encoder.finish()
        self._stream.flush()

    def abandon(self) -> None:
        self._encoder.abandon()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise QueryError(
                "unsupported",
                f"{self._format} cannot hold these rows: {error}",
                help="leave the column out, cast it, or choose another format",
            ) from error


class KeptRows:
    """Few rows, for the session itself."""

    def __init__(self, batches: list[pa.RecordBatch]) -> None:
        self._batches = batches

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)

    def finish(self) -> None:
        """All are there."""

    def abandon(self) -> None:
        """The caller sees the failure."""
