"""Sinks that are text: rows shown on stdout or stderr, as a table, CSV, JSON lines or Markdown.

Rows are kept until the commit: of a table the first `limit` and their number, of csv and json the encoded
text, in memory up to a limit and then in a temporary file.
"""

from __future__ import annotations

import shutil
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TextIO

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.std.sinks import WrittenTarget, write_errors

if TYPE_CHECKING:
    from heddle.std.encoders import Encoder

ROWS_SHOWN: Final = 50
TEXT_BYTES_MAX: Final = 16 << 20
CELL_WIDTH_MIN: Final = 8
GAP: Final = "  "


class PrintSink:
    """`target` is the stream's name for messages. With `continued` in `config` it goes on with what earlier
    turns have printed: CSV has no second header, and no rows are nothing at all."""

    def __init__(
        self, target: str, stream: TextIO, config: Mapping[str, ConfigValue], schema: pa.Schema
    ) -> None:
        self._target = target
        self._stream = stream
        self._schema = schema
        self._format = str(config.get("format") or "table")
        title = config.get("title")
        self._title = title if isinstance(title, str) else None
        width = config.get("width")
        self._width = width if isinstance(width, int) else None
        limit = config.get("limit")
        tabular = self._format in ("table", "markdown")
        self._limit = limit if isinstance(limit, int) and limit >= 0 else ROWS_SHOWN if tabular else None
        self._continued = config.get("continued") is True
        self._rows = 0
        self._kept: list[pa.RecordBatch] = []
        self._text = None if tabular else tempfile.SpooledTemporaryFile(TEXT_BYTES_MAX)  # noqa: SIM115
        self._encoder: Encoder | None = None
        if self._text is not None:
            from heddle.std.encoders import open_encoder

            self._encoder = open_encoder(self._format, self._text, schema, {}, header=not self._continued)

    def write(self, batch: pa.RecordBatch) -> None:
        shown = batch
        if self._limit is not None:
            shown = batch.slice(0, max(0, self._limit - self._rows))
        self._rows += batch.num_rows
        if not shown.num_rows:
            return
        if self._encoder is None:
            self._kept.append(shown)
        else:
            with write_errors(self._target):
                self._encoder.write(shown)

    def prepare(self) -> None:
        if self._encoder is not None:
            with write_errors(self._target):
                self._encoder.finish()
            self._encoder = None

    def commit(self) -> WrittenTarget:
        self.prepare()
        with write_errors(self._target):
            if self._text is None:
                self._stream.write(self._tabular())
            else:
                self._text.seek(0)
                while part := self._text.read(TEXT_BYTES_MAX):
                    self._stream.write(part.decode("utf-8", errors="surrogatepass"))
            self._stream.flush()
        self.abort()
        return WrittenTarget(self._target, self._rows)

    def abort(self) -> None:
        self._kept = []
        if self._text is not None:
            self._text.close()

    def _tabular(self) -> str:
        if self._continued and not self._rows:
            return ""
        table = pa.Table.from_batches(self._kept, schema=self._schema)
        if self._format == "markdown":
            lines = markdown_lines(table)
        else:
            width = self._width or (shutil.get_terminal_size().columns if self._stream.isatty() else None)
            lines = table_lines(table, width)
        hidden = self._rows - table.num_rows
        if hidden:
            lines.append(f"… {hidden:,} more row{'s' if hidden > 1 else ''}")
        elif not self._rows:
            lines.append("(no rows)")
        if self._title is not None:
            lines.insert(0, self._title)
        return "".join(f"{line}\n" for line in lines)


def table_lines(table: pa.Table, width: int | None) -> list[str]:
    """The rows as aligned text: numbers to the right, nothing wider than `width`."""
    names = list(table.column_names)
    columns = [[_shown(name), *cells(column)] for name, column in zip(names, table.columns, strict=True)]
    widths = [max(map(text_width, column)) for column in columns]
    kept = _fit(widths, width)
    right = [_is_number(f.type) for f in table.schema]
    lines = []
    for row in zip(*columns[:kept], strict=True):
        parts = [_padded(_cut(text, widths[i]), widths[i], right[i]) for i, text in enumerate(row)]
        lines.append(GAP.join(parts).rstrip())
    lines.insert(1, GAP.join("-" * widths[i] for i in range(kept)))
    if kept < len(names):
        lines.append(f"… {len(names) - kept} more columns: {', '.join(names[kept:])}")
    return lines if names else []


def markdown_lines(table: pa.Table) -> list[str]:
    names = [_shown(name).replace("|", "\\|") for name in table.column_names]
    columns = [[text.replace("|", "\\|") for text in cells(column)] for column in table.columns]
    rules = ["---:" if _is_number(f.type) else "---" for f in table.schema]
    rows = [names, rules, *(list(row) for row in zip(*columns, strict=True))]
    return [f"| {' | '.join(row)} |" for row in rows] if names else []


def cells(column: pa.ChunkedArray) -> list[str]:
    """The values as people read them, each on one line."""
    if _is_plain(column.type):
        return ["null" if value is None else _plain_text(value) for value in column.to_pylist()]
    from heddle.std.encoders import csv_texts

    texts = [csv_texts(chunk).cast(pa.string()) for chunk in column.chunks]
    return ["null" if text is None else _shown(text) for chunk in texts for text in chunk.to_pylist()]


def _is_plain(type_: pa.DataType) -> bool:
    """Types whose Python values print as they should, without Arrow's kernels, which are slow to import."""
    t = pa.types
    return bool(t.is_integer(type_) or t.is_floating(type_) or t.is_boolean(type_) or t.is_string(type_))


def _plain_text(value: bool | int | float | str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _shown(value)
        case _:
            return str(value)


def text_width(text: str) -> int:
    """Columns of a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(ch) in "WF" for ch in text)
    return len(text) + wide - sum(unicodedata.combining(ch) > 0 for ch in text)


def _shown(text: str) -> str:
    """Text without line breaks and control characters, which would break the table or the terminal."""
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() else _ESCAPES.get(ch, f"\\x{ord(ch):02x}") for ch in text)


_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _fit(widths: list[int], width: int | None) -> int:
    """Narrow the widest columns until the line fits; the result is how many columns are shown."""
    if width is None:
        return len(widths)
    while (excess := _line_width(widths) - width) > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        second = max((w for i, w in enumerate(widths) if i != widest), default=CELL_WIDTH_MIN)
        narrowest = max(CELL_WIDTH_MIN, min(second, widths[widest] - 1))
        if widths[widest] <= CELL_WIDTH_MIN:
            break
        widths[widest] = max(narrowest, widths[widest] - excess)
    kept = len(widths)
    while kept > 1 and _line_width(widths[:kept]) > width:
        kept -= 1
    return kept


def _line_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _cut(text: str, width: int) -> str:
    if text_width(text) <= width:
        return text
    cut = text[: width - 1]
    while text_width(cut) > width - 1:
        cut = cut[:-1]
    return cut + "…"


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - text_width(text))
    return space + text if right else text + space


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))
