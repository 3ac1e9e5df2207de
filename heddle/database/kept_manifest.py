"""The manifest of a folder of kept tables: which tables there are, and which files hold their rows.

It is one JSON file that is replaced as a whole, so a folder holds the tables from before a change or from
after it, whatever ends the process in between.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from heddle.core.record import record
from heddle.errors import UsageError

FILE_NAME: Final = "manifest.json"
FORMAT: Final = 1


@record(frozen=True, slots=True)
class Part:
    """A file with rows of one table; it never changes."""

    file: str
    rows: int
    size_bytes: int


@record(frozen=True, slots=True)
class KeptTable:
    """A table has at least one part, which has no rows in a table without any. `changed_at` is in seconds
    since 1970. `notes` are its owner's."""

    name: str
    schema: pa.Schema
    parts: tuple[Part, ...]
    changed_at: float
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)


def read_manifest(folder: Path) -> dict[str, KeptTable]:
    """The tables by name; none where there is no manifest. Raises `UsageError` when it cannot be read, so
    that nothing is written over it."""
    path = folder / FILE_NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise UsageError(
                f"{path} was written by another release of Heddle", help="use that release, or another folder"
            )
        tables = [_table(entry) for entry in content["tables"]]
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UsageError(
            f"{path} is no manifest of kept tables", help="restore the file, or use another folder"
        ) from error
    return {table.name: table for table in tables}


def replace_manifest(folder: Path, tables: Iterable[KeptTable], *, durable: bool) -> None:
    """Raises `OSError`, and then the manifest is the one from before."""
    text = json.dumps({"format": FORMAT, "tables": [_entry(table) for table in tables]}, indent=1)
    beside = folder / f"{FILE_NAME}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    beside.replace(folder / FILE_NAME)


def check_parts(table: KeptTable, folder: Path) -> None:
    """Raises `UsageError` when rows of the table are not what the manifest says."""
    for part in table.parts:
        path = folder / part.file
        if not path.is_file() or path.stat().st_size != part.size_bytes:
            raise UsageError(
                f"rows of the kept table `{table.name}` are gone: {path} is not what it was",
                help="restore the folder, or use another one",
            )


def sync_path(path: Path) -> None:
    """What was written to a file, or changed in a folder, is on the disk afterwards. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entry(table: KeptTable) -> dict[str, Any]:
    return {
        "name": table.name,
        "schema": base64.b64encode(table.schema.serialize().to_pybytes()).decode("ascii"),
        "parts": [[part.file, part.rows, part.size_bytes] for part in table.parts],
        "changed_at": table.changed_at,
        "notes": dict(table.notes),
    }


def _table(entry: Mapping[str, Any]) -> KeptTable:
    return KeptTable(
        str(entry["name"]),
        pa.ipc.read_schema(pa.py_buffer(base64.b64decode(entry["schema"], validate=True))),
        tuple(Part(str(file), int(rows), int(size_bytes)) for file, rows, size_bytes in entry["parts"]),
        float(entry["changed_at"]),
        {str(key): str(value) for key, value in entry["notes"].items()},
    )
