"""The state of a reader's files: what changes whenever one of them is written, added or removed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from heddle.core.config import ConfigValue
from heddle.core.file_state import state_of
from heddle.std.files import find_files
from heddle.std.reader_errors import ReaderError

NamedState: TypeAlias = tuple[str, int, int, int, int, int]
"""The path, then what `heddle.core.file_state` says of it."""


def file_states(step: str, config: Mapping[str, ConfigValue], base: Path) -> tuple[NamedState, ...] | None:
    """Those of all files that the reader's path means on this host. None where they cannot be told: of an
    object store, and of no file."""
    path = config.get("path")
    if not isinstance(path, str):
        return None
    try:
        files = find_files(step, path, base, str(config.get("compression") or "auto"), None)
    except (ReaderError, OSError):
        return None  # the run says what is wrong with the files
    found = [(str(file.absolute()), state_of(str(file))) for file in files.files]
    known = tuple((name, *state) for name, state in found if state is not None)
    return known if known and len(known) == len(found) and files.store is None else None
