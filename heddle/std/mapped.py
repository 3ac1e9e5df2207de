"""Arrow IPC files that are mapped into memory, as one table: nothing is copied, and their number of rows is
known to the engine.

A reader's config names them in `files`, below the folder `path`. They are uncompressed, never change while
they are read, and share their columns. A path may also stand for rows that were never written to a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.std.reader_errors import ReaderError

if TYPE_CHECKING:
    from datafusion import SessionContext


FILES_SETTING: Final = "files"
PASSING_SETTING: Final = "passing"
"""`True` for files that are written for one reading: another one would find the same rows elsewhere."""


@record(frozen=True, slots=True)
class HeldRows:
    """Rows that are in the memory of this process alone."""

    schema: pa.Schema
    batches: tuple[pa.RecordBatch, ...]


_HELD: Final[dict[Path, HeldRows]] = {}


def mapped_files(config: Mapping[str, ConfigValue]) -> tuple[Path, ...] | None:
    """The files of a config that names them; None for one that has only a path."""
    names = config.get(FILES_SETTING)
    if not isinstance(names, list):
        return None
    return tuple(Path(str(config["path"]), str(name)) for name in names)


def hold_rows(path: Path, rows: HeldRows) -> None:
    """The path, which is that of no file, stands for the rows until they are let go. None is used twice."""
    _HELD[path] = rows


def let_go_of_rows(path: Path) -> bool:
    """Whether it stood for rows. Who reads them already may go on."""
    return _HELD.pop(path, None) is not None


def is_held(path: Path) -> bool:
    return path in _HELD


def mapped_batches(files: Sequence[Path]) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """All batches of the files, of which there is at least one. Raises `ReaderError`."""
    schema: pa.Schema | None = None
    batches: list[pa.RecordBatch] = []
    for file in files:
        held = _HELD.get(file)
        if held is not None:
            schema = schema or held.schema
            batches += held.batches
            continue
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(file)))
            batches += [reader.get_batch(i) for i in range(reader.num_record_batches)]
        except (OSError, pa.ArrowInvalid) as error:
            raise ReaderError("invalid", file.name, "the kept rows cannot be read") from error
        schema = schema or reader.schema
    assert schema is not None, "a table has files, if only one without rows"
    return schema, batches


def register_mapped(context: SessionContext, table_name: str, files: Sequence[Path]) -> None:
    """Make the files a table of the context, with their rows in order. Raises `ReaderError`."""
    schema, batches = mapped_batches(files)
    if not batches:
        batches = [pa.RecordBatch.from_pylist([], schema=schema)]
    context.register_record_batches(table_name, [batches])
