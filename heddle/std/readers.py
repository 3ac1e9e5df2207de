"""Readers of `std/io`: files as native DataFusion tables, so that filters, projections, limits and
statistics work inside the scan.

`describe` gives a reader's columns from footers and first rows, `register` the table. Both go through the
same inference, so that what is checked is what is read.
"""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pyarrow as pa

from heddle.core.casting import plain_type
from heddle.core.config import ConfigValue
from heddle.core.planning import FOOTER_SETTING
from heddle.core.types import TIMESTAMP, parse_type
from heddle.diagnostics import did_you_mean
from heddle.std.files import FileSet, find_files, open_plain, shown
from heddle.std.locate import locate
from heddle.std.mapped import mapped_files, register_mapped
from heddle.std.reader_errors import ReaderError, explain_error, reader_error
from heddle.std.stores import Store, StoreMismatch, address_of, store_of

if TYPE_CHECKING:
    from datafusion import CsvReadOptions, SessionContext

__all__ = ["ReaderError", "describe", "explain_error", "locate", "plain_parquet", "register"]

Config = Mapping[str, ConfigValue]
HEADER_BYTES: Final = 1 << 20


def describe(step_name: str, config: Config, base: Path) -> pa.Schema:
    """The columns of a reader, without views, all nullable. Raises `ReaderError`."""
    from datafusion import SessionConfig, SessionContext

    context = SessionContext(SessionConfig().set(*FOOTER_SETTING))
    register(context, "described", step_name, config, base)
    schema = context.table("described").schema()
    return pa.schema([pa.field(f.name, plain_type(f.type)) for f in schema])


def register(context: SessionContext, table_name: str, step_name: str, config: Config, base: Path) -> None:
    """Make the reader's files a table of the context. Raises `ReaderError`."""
    mapped = mapped_files(config) if step_name == "arrow" else None
    if mapped is not None:
        register_mapped(context, table_name, mapped)
        return
    path = _text(config, "path")
    store = _store(config, path)
    files = find_files(
        step_name, path, base, str(config.get("compression") or "auto"), _row(config, "partitions")
    )
    try:
        files = _in_store(context, files, store)
        _Reader(context, step_name, config, files).register(table_name)
    except ReaderError:
        raise
    except Exception as error:
        raise reader_error(path, str(error)) from error


def largest_file_bytes(step_name: str, config: Config, base: Path) -> int | None:
    """None for files of an object store, which are not looked at. Raises `ReaderError`."""
    if mapped_files(config) is not None:
        return 0
    path, partitions = _text(config, "path"), _row(config, "partitions")
    files = find_files(step_name, path, base, str(config.get("compression") or "auto"), partitions)
    return max((file.stat().st_size for file in files.files), default=None)


def plain_parquet(step_name: str, config: Config, base: Path) -> tuple[Path, ...] | None:
    """The files of a reader that any engine reads alike: Parquet on this host, with the columns that the
    files themselves have. None for other readers. Raises `ReaderError`."""
    if step_name != "parquet" or config.get("schema") or config.get("partitions"):
        return None
    files = find_files(step_name, _text(config, "path"), base, "auto", None)
    return files.files if files.store is None and not files.partitions else None


class _Reader:
    """One registration: DataFusion infers the columns, the config's `schema` is laid over them."""

    def __init__(self, context: SessionContext, step: str, config: Config, files: FileSet) -> None:
        self.context = context
        self.step = step
        self.config = config
        self.files = files

    def register(self, name: str) -> None:
        if self.step == "csv":
            self._check_header()
        schema = self._schema_of_nothing() if self._nothing else self._schema()
        if self.files.listing is not None:
            self._table(name, self.files, schema)
            return
        from datafusion import lit

        frame = None
        for single in self.files.single:
            part = f"{name}_{uuid4().hex}"
            self._table(part, single, schema)
            rows = self.context.table(part)
            for column, type_, text in single.constants:
                rows = rows.with_column(column, lit(text).cast(type_))
            frame = rows if frame is None else frame.union(rows)
        assert frame is not None, "a file set has files"
        self.context.register_view(name, frame)

    @property
    def _nothing(self) -> bool:
        files = self.files.files
        return bool(files) and all(file.stat().st_size == 0 for file in files)

    def _schema_of_nothing(self) -> pa.Schema:
        """Files without a byte say nothing of their columns: JSON lines with no line, a cut-off copy."""
        wanted = _row(self.config, "schema")
        if wanted is None or self.step not in ("csv", "json"):
            raise ReaderError(
                "empty",
                self.files.place,
                f"the file {shown(self.files.files[0])} is empty",
                "name its columns in `schema`"
                if self.step in ("csv", "json")
                else "check that it was copied whole",
            )
        return wanted

    def _schema(self) -> pa.Schema | None:
        """The columns to read; None leaves them to DataFusion, which keeps its faster string views."""
        wanted = _row(self.config, "schema")
        if self.step in ("parquet", "arrow") and wanted is None and self.files.listing is not None:
            return None
        inferred = self._inferred()
        names = {name for name, _ in self.files.partitions}
        fields = [_readable(f) for f in inferred if f.name not in names]
        if wanted is None:
            return pa.schema(fields)
        if self.config.get("header") is False:
            return self._named_in_order(fields, wanted)
        types = {f.name: f.type for f in wanted}
        for name in types:
            if name not in inferred.names:
                near = did_you_mean(name, inferred.names)
                raise ReaderError(
                    "config",
                    self.files.place,
                    f"`schema` names the column `{name}`, which is not there",
                    f"did you mean `{near}`?" if near else f"it has {', '.join(inferred.names)}",
                )
        return pa.schema([pa.field(f.name, types.get(f.name, f.type)) for f in fields])

    def _named_in_order(self, fields: list[pa.Field], wanted: pa.Schema) -> pa.Schema:
        if len(fields) != len(wanted):
            raise ReaderError(
                "config",
                self.files.place,
                f"without a header `schema` names all columns in order: it has {len(wanted)}, the file "
                f"{len(fields)}",
            )
        return wanted

    def _inferred(self) -> pa.Schema:
        """The columns of all files together, as DataFusion sees them."""
        merged: dict[str, pa.Field] = {}
        sets = [self.files] if self.files.listing is not None else list(self.files.single)
        for part in sets:
            name = f"inferred_{uuid4().hex}"
            self._table(name, part, None)
            for field in self.context.table(name).schema():
                merged.setdefault(field.name, field)
            self.context.deregister_table(name)
        return pa.schema(list(merged.values()))

    def _table(self, name: str, files: FileSet, schema: pa.Schema | None) -> None:
        assert files.listing is not None, "a table is one listing"
        partitions: list[tuple[str, str | pa.DataType]] = list(files.partitions)
        match self.step:
            case "csv":
                self.context.register_csv(name, files.listing, options=self._csv_options(files, schema))
            case "json":
                self.context.register_json(
                    name,
                    files.listing,
                    schema=schema,
                    schema_infer_max_records=self._infer_rows,
                    file_extension=files.ending,
                    table_partition_cols=partitions,
                    file_compression_type=files.compression or None,
                )
            case "parquet":
                self.context.register_parquet(
                    name, files.listing, partitions, file_extension=files.ending, schema=schema
                )
            case _:
                self.context.register_arrow(
                    name,
                    files.listing,
                    schema=schema,
                    file_extension=files.ending,
                    table_partition_cols=partitions,
                )

    def _csv_options(self, files: FileSet, schema: pa.Schema | None) -> CsvReadOptions:
        from datafusion import CsvReadOptions

        return CsvReadOptions(
            has_header=self.config.get("header") is not False,
            delimiter=self._character("delimiter") or ",",
            quote=self._character("quote") or '"',
            escape=self._character("escape"),
            comment=self._character("comment"),
            newlines_in_values=self.config.get("multiline") is True,
            schema=schema,
            schema_infer_max_records=self._infer_rows,
            file_extension=files.ending,
            table_partition_cols=list(files.partitions),
            file_compression_type=files.compression,
        )

    @property
    def _infer_rows(self) -> int:
        rows = self.config.get("infer_rows")
        return rows if isinstance(rows, int) and rows > 0 else 1_000

    def _character(self, key: str) -> str | None:
        value = self.config.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) != 1 or not value.isascii():
            raise ReaderError("config", self.files.place, f'`{key}` is one ASCII character, such as ";"')
        return value

    def _check_header(self) -> None:
        """A name that stands twice in a header would hide a column."""
        if self.config.get("header") is False or not self.files.files:
            return
        file = self.files.files[0]
        try:
            with open_plain(file, self.files.compression) as stream:
                text = stream.read(HEADER_BYTES).decode("utf-8-sig", errors="replace")
        except (OSError, EOFError, lzma.LZMAError):
            return  # DataFusion meets the same and says more
        lines = io.StringIO(text)
        reader = csv.reader(
            lines, delimiter=self._character("delimiter") or ",", quotechar=self._character("quote")
        )
        comment = self._character("comment")
        names = next((row for row in reader if not (comment and row and row[0].startswith(comment))), [])
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise ReaderError(
                "invalid",
                self.files.place,
                f"two columns of its header are called `{twice}`",
                "rename one in the file, or read it with `header: false` and a `schema`",
            )


def _readable(field: pa.Field) -> pa.Field:
    """A type that says more than DataFusion's first guess: points in time are UTC, empty columns text."""
    return pa.field(field.name, _refined(field.type))


def _refined(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_null(type_):
        return pa.string()
    if pa.types.is_timestamp(type_) and type_.tz is None and type_.unit in ("s", "ms"):
        return TIMESTAMP
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(f.name, _refined(f.type)) for f in type_])
    if pa.types.is_list(type_):
        return pa.list_(pa.field("item", _refined(type_.value_type)))
    return type_


def _row(config: Config, key: str) -> pa.Schema | None:
    value = config.get(key)
    if not isinstance(value, dict) or not value:
        return None
    return pa.schema([pa.field(name, parse_type(str(text))[0]) for name, text in value.items()])


def _text(config: Config, key: str) -> str:
    value = config.get(key)
    if not isinstance(value, str) or not value:
        raise ReaderError("config", str(value or ""), f"`{key}` is a text that names a file")
    return value


def _store(config: Config, path: str) -> Store | None:
    """Raises `ReaderError`."""
    try:
        return store_of(config, address_of(path))
    except StoreMismatch as mismatch:
        raise ReaderError("config", path, str(mismatch)) from None


def _in_store(context: SessionContext, files: FileSet, store: Store | None) -> FileSet:
    """The files as the context finds them in their store, which is made known to it."""
    address = files.store
    if store is None or address is None:
        return files
    context.register_object_store(f"{store.scheme}://", store.datafusion(address.host), address.host)
    return replace(files, listing=f"{store.scheme}://{address.host}/{address.key}")
