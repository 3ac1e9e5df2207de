"""The private folder of a run: made for the user alone, removed at the end, swept after a crash.

Every folder holds a lock file that its owner keeps locked, so a folder whose lock can be taken belongs
to a process that is gone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(run_id: str, parent: Path) -> Iterator[Path]:
    """A folder of mode 0700 below `parent`, the system's temporary folder."""
    root = parent / f"heddle-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    _check_private(root)
    folder = root / f"run-{run_id}"
    with _locked(root / "sweep.lock"):
        _sweep(root)
        folder.mkdir(mode=0o700)
        lock = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time makes or sweeps folders."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_private(root: Path) -> None:
    """Someone else may have made the folder first; then it must not be used."""
    status = root.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(
            f"the folder {root} is not private to this user; remove it, or set TMPDIR to a folder of your own"
        )


def _sweep(root: Path) -> None:
    for folder in root.glob("run-*"):
        try:
            lock = os.open(folder / "owner.lock", os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
