"""The state of a reader's files: what changes whenever one of them is written, added or removed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from heddle.core.config import ConfigValue
from heddle.core.file_state import state_of
from heddle.std.files import find_files
from heddle.std.mapped import PASSING_SETTING, is_held, mapped_files
from heddle.std.reader_errors import ReaderError

NamedState: TypeAlias = tuple[str, int, int, int, int, int]
"""The path, then what `heddle.core.file_state` says of it."""
_IN_MEMORY: Final = (0, 0, 0, 0, 0)
"""Such a path stands for the same rows always."""


def file_states(step: str, config: Mapping[str, ConfigValue], base: Path) -> tuple[NamedState, ...] | None:
    """Those of all files that the reader's path means on this host, or that its config names. None where they
    cannot be told: of an object store, of files that are read once, and of no file."""
    files = _files(step, config, base)
    found = [(str(file.absolute()), _IN_MEMORY if is_held(file) else state_of(str(file))) for file in files]
    known = tuple((name, *state) for name, state in found if state is not None)
    return known if known and len(known) == len(found) else None


def _files(step: str, config: Mapping[str, ConfigValue], base: Path) -> tuple[Path, ...]:
    named = mapped_files(config)
    if named is not None:
        return () if config.get(PASSING_SETTING) else named
    path = config.get("path")
    if not isinstance(path, str):
        return ()
    try:
        files = find_files(step, path, base, str(config.get("compression") or "auto"), None)
    except (ReaderError, OSError):
        return ()  # the run says what is wrong with the files
    return files.files if files.store is None else ()
