"""Sinks that are files: written beside their target under a hidden name, and renamed when committed.

A reader of the target sees the old file or the whole new one. With `partition_by` the target is a folder
of files, made in the same way.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.config import ConfigValue
from heddle.std.encoders import (
    Encoder,
    compressed,
    compression_of,
    csv_header,
    csv_texts,
    open_encoder,
)
from heddle.std.files import COMPRESSIONS, open_plain
from heddle.std.sinks import Sink, SinkError, WrittenTarget, write_errors
from heddle.std.stores import Address, Store, StoreMismatch, address_of, store_of

PARTITIONS_MAX: Final = 1_000
COPY_BYTES: Final = 1 << 20
_ENDINGS: Final = {"csv": ".csv", "json": ".jsonl", "parquet": ".parquet", "arrow": ".arrow"}

Config = Mapping[str, ConfigValue]


def open_file_sink(step: str, config: Config, base: Path, schema: pa.Schema) -> Sink:
    """Raises `SinkError` when the target cannot be written at all."""
    place = str(config.get("path") or "")
    if not place:
        raise SinkError(f"`io.{step}` needs a `path`", help='such as path: "out/orders.csv"')
    try:
        store = store_of(config, address := address_of(place))
    except StoreMismatch as mismatch:
        raise SinkError(f"`{place}` cannot be written: {mismatch}") from None
    if address is not None:
        return _object_sink(step, config, place, store, address, schema)
    target = Path(place).expanduser()
    target = Path(os.path.realpath(target if target.is_absolute() else base / target))
    keys = config.get("partition_by")
    mode = str(config.get("mode") or "overwrite")
    if target.exists() and mode == "error":
        raise SinkError(f"`{place}` is there already", help='`mode: "overwrite"` would replace it')
    with write_errors(place):
        target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(keys, list) and keys:
        return PartitionedSink(step, config, place, target, schema, [str(key) for key in keys])
    if target.exists() and not target.is_file():
        what = "a folder" if target.is_dir() else "not a regular file"
        raise SinkError(f"`{place}` is {what}", help="name a file")
    return FileSink(step, config, place, target, schema, append=mode == "append")


def _object_sink(
    step: str, config: Config, place: str, store: Store | None, address: Address, schema: pa.Schema
) -> Sink:
    if store is None:
        raise SinkError(f"`{place}` cannot be written: `{address.scheme}://` is unsupported")
    from heddle.std.object_sinks import ObjectSink

    return ObjectSink(step, config, place, store, address, schema)


class FileSink:
    """One file. `place` is the path as the program wrote it, `target` where that is.

    With `append` the hidden file holds the new rows as plain text until the commit, which writes what the
    target holds by then and the new rows as one stream. So several appends in a run add up.
    """

    def __init__(
        self, step: str, config: Config, place: str, target: Path, schema: pa.Schema, *, append: bool = False
    ) -> None:
        self._place = place
        self._target = target
        self._append = append
        self._schema = schema
        self._rows = 0
        self._delimiter = str(config.get("delimiter") or ",")
        self._header = step == "csv" and config.get("header") is not False
        text = step in ("csv", "json")
        self._compression = compression_of(config.get("compression"), target.name) if text else "none"
        self._hidden = hidden_beside(target)
        self._finished = False
        with write_errors(place):
            self._file: IO[bytes] = self._hidden.open("xb")
        try:
            with write_errors(place):
                self._stream = self._file if append else compressed(self._file, self._compression)
                header = self._header and not append
                self._encoder: Encoder = open_encoder(step, self._stream, schema, config, header=header)
        except SinkError:
            self.abort()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        with write_errors(self._place):
            self._encoder.write(batch)
        self._rows += batch.num_rows

    def prepare(self) -> None:
        if self._finished:
            return
        self._finished = True
        with write_errors(self._place):
            self._encoder.finish()
            if self._stream is not self._file:
                self._stream.close()
            sync_and_close(self._file)

    def commit(self) -> WrittenTarget:
        self.prepare()
        with write_errors(self._place):
            if self._append:
                self._join_to_old()
            if self._target.exists():
                shutil.copymode(self._target, self._hidden)
            os.replace(self._hidden, self._target)
            sync_folder(self._target.parent)
        return WrittenTarget(self._place, self._rows)

    def abort(self) -> None:
        if not self._finished:
            self._encoder.abandon()
        with suppress(OSError):
            self._file.close()
        self._hidden.unlink(missing_ok=True)

    def _join_to_old(self) -> None:
        joined = hidden_beside(self._target)
        try:
            with joined.open("xb") as file, self._hidden.open("rb") as new:
                out = compressed(file, self._compression)
                if self._target.exists() and self._target.stat().st_size:
                    self._copy_old(out)
                elif self._header:
                    out.write(csv_header(self._schema, self._delimiter))
                shutil.copyfileobj(new, out, COPY_BYTES)
                if out is not file:
                    out.close()
                file.flush()
                os.fsync(file.fileno())
            os.replace(joined, self._hidden)
        finally:
            joined.unlink(missing_ok=True)

    def _copy_old(self, out: IO[bytes]) -> None:
        with open_plain(self._target, COMPRESSIONS.get(self._compression, "")) as old:
            if self._header:
                self._check_header(old.readline())
                out.write(csv_header(self._schema, self._delimiter))
            last = b"\n"
            while part := old.read(COPY_BYTES):
                out.write(part)
                last = part[-1:]
            if last != b"\n":
                out.write(b"\n")

    def _check_header(self, found: bytes) -> None:
        if found.rstrip(b"\r\n") != csv_header(self._schema, self._delimiter).rstrip(b"\n"):
            raise SinkError(
                f"`{self._place}` has other columns than the rows to append, which have "
                f"{', '.join(self._schema.names)}",
                help="select the file's columns in its order, or write to another file",
            )


class PartitionedSink:
    """A folder with a folder `name=value` for each value of the partition columns."""

    def __init__(
        self, step: str, config: Config, place: str, target: Path, schema: pa.Schema, keys: list[str]
    ) -> None:
        missing = [key for key in keys if key not in schema.names]
        if missing:
            raise SinkError(
                f"`partition_by` names the column `{missing[0]}`, which the rows do not have",
                help=f"they have {', '.join(schema.names)}",
            )
        if config.get("mode") == "append":
            raise SinkError(
                '`partition_by` and `mode: "append"` do not go together', help="overwrite the folder"
            )
        if target.is_file():
            raise SinkError(f"`{place}` is a file, but `partition_by` needs a folder", help="name a folder")
        self._step = step
        self._config = config
        self._place = place
        self._target = target
        self._keys = keys
        self._columns = [name for name in schema.names if name not in keys]
        self._schema = pa.schema([schema.field(name) for name in self._columns])
        self._folder = hidden_beside(target)
        self._parts: dict[str, FileSink] = {}
        self._rows = 0
        with write_errors(place):
            self._folder.mkdir()

    def write(self, batch: pa.RecordBatch) -> None:
        paths = self._paths(batch).dictionary_encode()
        rest = batch.select(self._columns)
        for code, path in enumerate(paths.dictionary.to_pylist()):
            self._part(path).write(rest.filter(pc.equal(paths.indices, code)))
        self._rows += batch.num_rows

    def prepare(self) -> None:
        for part in self._parts.values():
            part.prepare()

    def commit(self) -> WrittenTarget:
        for part in self._parts.values():
            part.commit()
        with write_errors(self._place):
            replaced = hidden_beside(self._target)
            if self._target.exists():
                os.replace(self._target, replaced)
            os.replace(self._folder, self._target)
            sync_folder(self._target.parent)
            shutil.rmtree(replaced, ignore_errors=True)
        return WrittenTarget(self._place, self._rows)

    def abort(self) -> None:
        for part in self._parts.values():
            part.abort()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _paths(self, batch: pa.RecordBatch) -> pa.StringArray:
        """For each row the folder that it goes to, below the target."""
        parts: list[pa.Array | str] = []
        for key in self._keys:
            column = batch.column(key)
            if column.null_count:
                raise SinkError(
                    f"the partition column `{key}` of `{self._place}` holds a null",
                    help="filter the nulls out, or fill them",
                )
            texts = csv_texts(column).cast(pa.string())
            if pc.any(pc.match_substring_regex(texts, r"[/\x00]|^$|^\.+$"), min_count=0).as_py():
                raise SinkError(
                    f"the partition column `{key}` of `{self._place}` holds a value that is no folder name",
                    help="a value may not be empty or hold a slash",
                )
            parts += [f"{key}=", texts, "/"]
        return pc.binary_join_element_wise(*parts[:-1], "")

    def _part(self, path: str) -> FileSink:
        if path not in self._parts:
            if len(self._parts) >= PARTITIONS_MAX:
                raise SinkError(
                    f"`{self._place}` would get more than {PARTITIONS_MAX} partitions",
                    help="partition by a column with fewer values",
                )
            folder = self._folder / path
            with write_errors(self._place):
                folder.mkdir(parents=True)
            file = folder / f"part-0{_ENDINGS[self._step]}{self._suffix()}"
            self._parts[path] = FileSink(self._step, self._config, self._place, file, self._schema)
        return self._parts[path]

    def _suffix(self) -> str:
        compression = self._config.get("compression")
        named = self._step in ("csv", "json") and isinstance(compression, str)
        return f".{compression}" if named and compression not in ("auto", "none") else ""


def hidden_beside(target: Path) -> Path:
    """A name in the target's folder that readers and patterns pass over."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def sync_and_close(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
