"""Program files: which ones a command line names, and writing them back whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from heddle.diagnostics import did_you_mean
from heddle.errors import UsageError

SUFFIX = ".he"
_SKIPPED = frozenset({"node_modules", "__pycache__"})


def program_files(paths: Iterable[str]) -> list[Path]:
    """The named files, and the programs in the named folders (hidden folders left out), each once."""
    found: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        inside = sorted(_programs_below(path)) if path.is_dir() else [existing_file(text)]
        if not inside:
            raise UsageError(f"there is no program (*{SUFFIX}) in the folder {text}")
        found.update(dict.fromkeys(inside))
    return list(found)


def existing_file(text: str) -> Path:
    """The path of a file that can be read. Raises `UsageError`."""
    path = Path(text)
    if path.is_dir():
        raise UsageError(f"{text} is a folder, where a program (*{SUFFIX}) is expected")
    if not path.exists():
        raise UsageError(f"there is no file {text}", help=_near_file(path))
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{text} cannot be read: {error.strerror}") from error
    return path


def write_text(path: Path, text: str) -> None:
    """Replace a file's content at once; its mode stays, and a link keeps pointing to it."""
    import tempfile

    target = path.resolve()
    try:
        handle, scratch = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            os.chmod(scratch, target.stat().st_mode)
            os.replace(scratch, target)
        except BaseException:
            os.unlink(scratch)
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _programs_below(folder: Path) -> Iterable[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
        yield from (Path(parent, name) for name in files if name.endswith(SUFFIX))


def _near_file(path: Path) -> str | None:
    if path.with_name(path.name + SUFFIX).is_file():
        return f"did you mean {path.with_name(path.name + SUFFIX)}?"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    near = did_you_mean(path.name, tuple(p.name for p in path.parent.iterdir()))
    return f"did you mean {path.with_name(near)}?" if near else None
