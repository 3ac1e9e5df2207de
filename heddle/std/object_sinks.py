"""Sinks that are objects of a store: written to a private folder of this host, and uploaded when committed.

An object appears whole, or is replaced as a whole, which is what the store does by itself.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.private_folder import PrivateFolder
from heddle.std.file_sinks import FileSink
from heddle.std.sinks import SinkError, WrittenTarget, write_errors
from heddle.std.stores import Address, Store

COPY_BYTES: Final = 8 << 20

Config = Mapping[str, ConfigValue]


class ObjectSink:
    """One object. `place` is the path as the program wrote it. Raises `SinkError`."""

    def __init__(
        self, step: str, config: Config, place: str, store: Store, address: Address, schema: pa.Schema
    ) -> None:
        self._place = place
        self._key = f"{address.host}/{address.key}"
        _check_settings(config, place, store, address)
        with write_errors(place):
            self._files = store.s3_files()
        self._check_target(config, address)
        with write_errors(place):
            self._folder = PrivateFolder(f"object-{secrets.token_hex(8)}", Path(tempfile.gettempdir()))
        self._local = self._folder.path / address.key.rpartition("/")[2]
        try:
            self._sink = FileSink(step, {**config, "mode": "overwrite"}, place, self._local, schema)
        except SinkError:
            self._folder.remove()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        self._sink.write(batch)

    def prepare(self) -> None:
        self._sink.prepare()

    def commit(self) -> WrittenTarget:
        written = self._sink.commit()
        try:
            with (
                write_errors(self._place),
                self._local.open("rb") as file,
                self._files.open_output_stream(self._key) as out,
            ):
                shutil.copyfileobj(file, out, COPY_BYTES)
        finally:
            self._folder.remove()
        return written

    def abort(self) -> None:
        self._sink.abort()
        self._folder.remove()

    def _check_target(self, config: Config, address: Address) -> None:
        from pyarrow.fs import FileType

        with write_errors(self._place):
            bucket, target = self._files.get_file_info([address.host, self._key])
        if bucket.type is FileType.NotFound:
            raise SinkError(f"`{self._place}` cannot be written: there is no bucket `{address.host}`")
        if config.get("mode") == "error" and target.type is FileType.File:
            raise SinkError(f"`{self._place}` is there already", help='`mode: "overwrite"` would replace it')


def _check_settings(config: Config, place: str, store: Store, address: Address) -> None:
    if store.kind != "s3":
        raise SinkError(
            f"`{place}` cannot be written: writing to {store.kind}:// is unsupported",
            help="write to s3://, or to a file",
        )
    if address.key.rpartition("/")[2] in ("", ".", ".."):
        raise SinkError(f"`{place}` names no object", help="write s3://bucket/name.parquet")
    if config.get("mode") == "append":
        raise SinkError(f"`{place}` cannot be appended to, as it is an object", help="overwrite it")
    if config.get("partition_by"):
        raise SinkError(
            f"`{place}` cannot be partitioned: a store has no folders that are replaced as a whole",
            help="write one object, or partition into a folder of this host",
        )
