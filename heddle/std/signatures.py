"""What `std/io`, `std/col` and `std/flow` offer, as signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from heddle.core.config import ConfigField, ConfigType, ConfigValue
from heddle.core.signature import ModuleSignature, ResourceSignature, Slot, StepSignature
from heddle.std.stores import RESOURCES, SETTING

STRING: Final = ConfigType("string")
INT: Final = ConfigType("int")
BOOL: Final = ConfigType("bool")
ROW: Final = ConfigType("row")
STRINGS: Final = ConfigType("list", items=STRING)

INFER_ROWS: Final = 1_000
ROW_GROUP_ROWS: Final = 1_000_000


def _field(name: str, type_: ConfigType, default: ConfigValue = None, *, doc: str) -> ConfigField:
    return ConfigField(name, type_, False, default, doc=doc)


def _nullable(type_: ConfigType) -> ConfigType:
    return ConfigType(type_.kind, type_.items, type_.fields, type_.choices, nullable=True)


def _choice(*values: str) -> ConfigType:
    return ConfigType("choice", choices=values)


_READ_PATH = ConfigField(
    "path", STRING, doc="a file, a folder, a pattern such as `data/*.csv`, or an s3, gs or az address"
)
_SCHEMA = _field(
    "schema", _nullable(ROW), doc='types of columns, laid over what the file says: `{ id: "int" }`'
)
_PARTITIONS = _field(
    "partitions",
    _nullable(ROW),
    doc="types of the columns that folders such as `day=2024-05-01` add; found by themselves without it",
)
_READ_COMPRESSION = _field(
    "compression",
    _choice("auto", "none", "gz", "bz2", "xz", "zst"),
    "auto",
    doc="`auto` goes by the file's ending",
)
_INFER_ROWS = _field("infer_rows", INT, INFER_ROWS, doc="how many rows the column types are read from")
_HEADER = _field("header", BOOL, True, doc="whether the first line names the columns")
_DELIMITER = _field("delimiter", STRING, ",", doc="what stands between two values: one character")

READERS: Final[Mapping[str, tuple[ConfigField, ...]]] = {
    "csv": (
        _READ_PATH,
        _SCHEMA,
        _PARTITIONS,
        _HEADER,
        _DELIMITER,
        _field("quote", STRING, '"', doc="what stands around a value with a delimiter in it: one character"),
        _field(
            "escape", _nullable(STRING), doc="what stands before a quote in a value, if it is not doubled"
        ),
        _field("comment", _nullable(STRING), doc="lines that start with this character are left out"),
        _field("multiline", BOOL, False, doc="whether quoted values may hold line breaks"),
        _READ_COMPRESSION,
        _INFER_ROWS,
    ),
    "json": (_READ_PATH, _SCHEMA, _PARTITIONS, _READ_COMPRESSION, _INFER_ROWS),
    "parquet": (_READ_PATH, _SCHEMA, _PARTITIONS),
    "arrow": (_READ_PATH, _SCHEMA, _PARTITIONS),
}

_WRITE_PATH = ConfigField("path", STRING, doc="the file to write, or with `partition_by` the folder")
_MODE = _field(
    "mode",
    _choice("overwrite", "error"),
    "overwrite",
    doc="what happens when the file is there already",
)
_APPEND_MODE = _field(
    "mode",
    _choice("overwrite", "append", "error"),
    "overwrite",
    doc="what happens when the file is there already",
)
_WRITE_COMPRESSION = _field(
    "compression",
    _choice("auto", "none", "gz", "bz2", "xz", "zst"),
    "auto",
    doc="`auto` goes by the file's ending",
)
_PARTITION_BY = _field(
    "partition_by", STRINGS, [], doc="columns that become folders such as `day=2024-05-01` below `path`"
)
_PRINTED = (
    _field("format", _choice("table", "csv", "json", "markdown"), "table", doc="how the rows are shown"),
    _field(
        "limit", _nullable(INT), doc="how many rows are shown; without it 50 of a table, all of csv and json"
    ),
    _field("title", _nullable(STRING), doc="a line above the rows"),
    _field("width", _nullable(INT), doc="columns of the screen; without it the terminal's, else no limit"),
)

WRITERS: Final[Mapping[str, tuple[ConfigField, ...]]] = {
    "csv": (_WRITE_PATH, _APPEND_MODE, _HEADER, _DELIMITER, _WRITE_COMPRESSION, _PARTITION_BY),
    "json": (_WRITE_PATH, _APPEND_MODE, _WRITE_COMPRESSION, _PARTITION_BY),
    "parquet": (
        _WRITE_PATH,
        _MODE,
        _field(
            "compression",
            _choice("zstd", "snappy", "gzip", "lz4", "none"),
            "zstd",
            doc="how pages are compressed",
        ),
        _field("row_group_rows", INT, ROW_GROUP_ROWS, doc="rows in a row group"),
        _PARTITION_BY,
    ),
    "arrow": (
        _WRITE_PATH,
        _MODE,
        _field("compression", _choice("none", "lz4", "zstd"), "none", doc="how buffers are compressed"),
        _PARTITION_BY,
    ),
    "print": _PRINTED,
    "stdout": _PRINTED,
    "stderr": _PRINTED,
}

_STORE: Final = (Slot(SETTING, "", required=False),)
_STORE_DOCS = {
    "s3": "Amazon S3, or a store that speaks its protocol.",
    "gs": "Google Cloud Storage.",
    "az": "Azure Blob Storage.",
}
_READER_DOCS = {
    "csv": "Reads delimited text.",
    "json": "Reads JSON lines: one object a line.",
    "parquet": "Reads Parquet; filters and the choice of columns reach the file.",
    "arrow": "Reads Arrow IPC files and streams.",
}
_WRITER_DOCS = {
    "csv": "Writes delimited text.",
    "json": "Writes JSON lines: one object a line.",
    "parquet": "Writes Parquet.",
    "arrow": "Writes an Arrow IPC file.",
    "print": "Shows rows on stdout.",
    "stdout": "Shows rows on stdout.",
    "stderr": "Shows rows on stderr.",
}


def _reader(name: str) -> StepSignature:
    return StepSignature(
        name=name,
        input_mode="none",
        output_from_config=True,
        rows="flat",
        deterministic=True,
        effect=False,
        config=READERS[name],
        slots=_STORE,
        doc=_READER_DOCS[name],
    )


def _writer(name: str) -> StepSignature:
    return StepSignature(
        name=name,
        output=None,
        rows="flat",
        effect=True,
        config=WRITERS[name],
        slots=_STORE if name in READERS else (),
        doc=_WRITER_DOCS[name],
    )


def _columns(name: str, doc: str) -> StepSignature:
    return StepSignature(
        name=name,
        output_from_config=True,
        rows="map",
        passthrough=True,
        deterministic=True,
        effect=False,
        config_open=True,
        doc=doc,
    )


STD_MODULES: Final[Mapping[str, ModuleSignature]] = {
    "std/io": ModuleSignature(
        path="std/io",
        namespace="std/io",
        steps={name: _writer(name) for name in WRITERS},
        readers={name: _reader(name) for name in READERS},
        resources={
            name: ResourceSignature(name, RESOURCES[name], doc=_STORE_DOCS[name]) for name in RESOURCES
        },
        doc="Files, and tables on the screen.",
    ),
    "std/col": ModuleSignature(
        path="std/col",
        namespace="std/col",
        steps={
            "cast": _columns("cast", 'Changes column types: `col.cast { amount: "decimal(10,2)" }`.'),
            "rename": _columns("rename", 'Changes column names: `col.rename { id: "user_id" }`.'),
        },
        doc="Columns.",
    ),
    "std/flow": ModuleSignature(path="std/flow", namespace="std/flow", doc="Control."),
}
