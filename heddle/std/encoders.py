"""Record batches -> bytes of a file format. An encoder writes to an open stream and never closes it."""

from __future__ import annotations

import csv
import io
import lzma
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final, Protocol

import pyarrow as pa
from pyarrow import ipc

from heddle.core import kernels as pc
from heddle.core.casting import plain_schema, plain_table
from heddle.core.config import ConfigValue
from heddle.core.data_bytes import data_bytes
from heddle.core.json_text import float_texts, json_texts, to_json, value_texts

if TYPE_CHECKING:
    from typing_extensions import Buffer

ROW_GROUP_BYTES_MAX: Final = 128 << 20
"""A row group is written when it has this many bytes, however few its rows, to bound memory."""

_t = pa.types


class Encoder(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def finish(self) -> None:
        """Write what is left; the stream stays open."""
        ...

    def abandon(self) -> None:
        """Let go of the stream, which is closed next; what was written is thrown away."""
        ...


def open_encoder(
    step: str, stream: IO[bytes], schema: pa.Schema, config: Mapping[str, ConfigValue], *, header: bool
) -> Encoder:
    """`header` is about csv's first line."""
    match step:
        case "csv":
            return CsvEncoder(stream, schema, str(config.get("delimiter") or ","), header=header)
        case "json":
            return JsonEncoder(stream)
        case "parquet":
            rows = config.get("row_group_rows")
            return ParquetEncoder(
                stream,
                schema,
                str(config.get("compression") or "zstd"),
                rows if isinstance(rows, int) and rows > 0 else 1_000_000,
            )
        case _:
            return ArrowEncoder(stream, schema, str(config.get("compression") or "none"))


def compressed(stream: IO[bytes], compression: str) -> IO[bytes]:
    """A stream that compresses into `stream`; closing it leaves `stream` open."""
    if compression == "none":
        return stream
    if compression == "xz":
        return lzma.LZMAFile(stream, "wb")
    codec = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}[compression]
    into = pa.PythonFile(_Unclosed(stream), mode="w")
    result: IO[bytes] = pa.CompressedOutputStream(into, codec)
    return result


def compression_of(setting: ConfigValue, name: str) -> str:
    """`auto` goes by the ending of the file's name."""
    if isinstance(setting, str) and setting != "auto":
        return setting
    ending = name.rpartition(".")[2].lower()
    return ending if ending in ("gz", "bz2", "xz", "zst") else "none"


def csv_header(schema: pa.Schema, delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(schema.names)
    return text.getvalue().encode()


class CsvEncoder:
    """Nulls are empty, empty strings `""`; nested values are JSON; points in time are ISO 8601."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema, delimiter: str, *, header: bool) -> None:
        self._stream = stream
        self._delimiter = delimiter
        self._special = '^$|["\\n\\r' + re.escape(delimiter) + "]"
        if header:
            stream.write(csv_header(schema, delimiter))

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_columns:
            self._stream.write(b"\n" * batch.num_rows)
            return
        columns = [self._quoted(csv_texts(column)) for column in batch.columns]
        if len(columns) == 1:
            # Readers skip an empty line, so a null that stands alone is written as `""`.
            columns = [pc.if_else(pc.equal(columns[0], ""), '""', columns[0])]
        _write_lines(self._stream, pc.binary_join_element_wise(*columns, self._delimiter))

    def finish(self) -> None:
        """Every line is written already."""

    def abandon(self) -> None:
        """It holds nothing."""

    def _quoted(self, texts: pa.Array) -> pa.StringArray:
        if not pa.types.is_string(texts.type):
            return pc.fill_null(texts.cast(pa.string()), "")
        special = pc.match_substring_regex(texts, self._special)
        if pc.any(special, min_count=0).as_py():
            escaped = pc.replace_substring(texts, '"', '""')
            texts = pc.if_else(special, pc.binary_join_element_wise('"', escaped, '"', ""), texts)
        return pc.fill_null(texts, "")


class JsonEncoder:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, batch: pa.RecordBatch) -> None:
        _write_lines(self._stream, to_json(batch))

    def finish(self) -> None:
        """Every line is written already."""

    def abandon(self) -> None:
        """It holds nothing."""


class ParquetEncoder:
    """Gathers batches into row groups.

    Columns of floats get no statistics: NaN is not in a column's least and greatest value, by which readers
    leave parts of a file out, and for queries NaN is greater than all numbers.
    """

    def __init__(self, stream: IO[bytes], schema: pa.Schema, compression: str, group_rows: int) -> None:
        import pyarrow.parquet as pq

        self._schema = plain_schema(schema)
        comparable = [f.name for f in self._schema if not (_t.is_floating(f.type) or _t.is_nested(f.type))]
        self._writer = pq.ParquetWriter(
            stream, self._schema, compression=compression, write_statistics=comparable
        )
        self._group_rows = group_rows
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += data_bytes(batch)
        if self._rows >= self._group_rows or self._bytes >= ROW_GROUP_BYTES_MAX:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """The writer would otherwise close itself some time later, on the closed stream."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = plain_table(pa.Table.from_batches(self._waiting)).cast(self._schema)
            self._writer.write_table(table, row_group_size=self._group_rows)
        self._waiting, self._rows, self._bytes = [], 0, 0


class ArrowEncoder:
    def __init__(self, stream: IO[bytes], schema: pa.Schema, compression: str) -> None:
        self._schema = plain_schema(schema)
        codec = None if compression == "none" else compression
        self._writer = ipc.new_file(stream, self._schema, options=ipc.IpcWriteOptions(compression=codec))

    def write(self, batch: pa.RecordBatch) -> None:
        for plain in plain_table(pa.Table.from_batches([batch])).cast(self._schema).to_batches():
            self._writer.write_batch(plain)

    def finish(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        with suppress(OSError, pa.ArrowException):
            self._writer.close()


def _write_lines(stream: IO[bytes], texts: pa.StringArray) -> None:
    """Each text and a line break. The data buffer of a string column is the text itself."""
    if not len(texts):
        return
    lines = pc.binary_join_element_wise(texts, "\n", "")
    offsets = memoryview(lines.buffers()[1]).cast("i")
    start, end = offsets[lines.offset], offsets[lines.offset + len(lines)]
    stream.write(memoryview(lines.buffers()[2])[start:end])


def csv_texts(column: pa.Array) -> pa.Array:
    """The column as it stands in a CSV file: itself where Arrow writes it so, else texts."""
    type_ = column.type
    if _t.is_dictionary(type_):
        return csv_texts(column.dictionary_decode())
    if _t.is_integer(type_) or _t.is_boolean(type_):
        return column
    if _t.is_string(type_) or _t.is_large_string(type_) or _t.is_string_view(type_) or _t.is_decimal(type_):
        return column.cast(pa.string())
    if _t.is_null(type_):
        return pa.nulls(len(column), pa.string())
    if _t.is_floating(type_):
        return float_texts(column)
    if _t.is_nested(type_):
        return pc.if_else(column.is_valid(), json_texts(column), pa.scalar(None, pa.string()))
    return value_texts(column)


class _Unclosed(io.RawIOBase):
    """Passes bytes on to a stream, and leaves it open when it is closed itself."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        if self._stream.closed:
            # Only a file that was given up is closed below its compressor, which then flushes what it held.
            return memoryview(data).nbytes
        return self._stream.write(data)
