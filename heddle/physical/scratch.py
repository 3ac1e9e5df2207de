"""The private folder of a run: made for the user alone, removed at the end, swept after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heddle.core.private_folder import PrivateFolder


@contextmanager
def scratch_folder(run_id: str, parent: Path) -> Iterator[Path]:
    """A folder of mode 0700 below `parent`, the system's temporary folder."""
    folder = PrivateFolder(f"run-{run_id}", parent)
    try:
        yield folder.path
    finally:
        folder.remove()
