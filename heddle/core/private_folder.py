"""Folders for the user alone that are removed at the end and swept after a crash.

They lie in `heddle-UID` below a temporary folder. Each holds a lock file that its owner keeps locked, so a
folder whose lock can be taken belongs to a process that is gone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

OWNER_LOCK: Final = "owner.lock"


class PrivateFolder:
    """A folder of mode 0700 at `path`. Making one sweeps those of dead processes beside it."""

    def __init__(self, name: str, parent: Path) -> None:
        """Raises `PermissionError` when `heddle-UID` below `parent` belongs to somebody else."""
        root = user_root(parent)
        self.path = root / name
        with _locked(root / "sweep.lock"):
            _sweep(root)
            self.path.mkdir(mode=0o700)
            lock = os.open(self.path / OWNER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        self._removing = threading.Lock()
        self._lock: int | None = lock

    def remove(self) -> None:
        """More than once does no harm, also from several threads."""
        with self._removing:
            lock, self._lock = self._lock, None
            if lock is None:
                return
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(lock)


@contextmanager
def scratch_folder(run_id: str, parent: Path) -> Iterator[Path]:
    """The folder of a run, below `parent`, the system's temporary folder; it goes at the end."""
    folder = PrivateFolder(f"run-{run_id}", parent)
    try:
        yield folder.path
    finally:
        folder.remove()


def user_root(parent: Path) -> Path:
    """`heddle-UID` below `parent`, private to the user. Raises `PermissionError`."""
    return private(parent / f"heddle-{os.getuid()}", variable="TMPDIR")


def private(folder: Path, *, variable: str) -> Path:
    """The folder, made for the user alone when it is not there. Raises `PermissionError`, which names the
    environment variable that puts it elsewhere."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    # Someone else may have made the folder first; then it must not be used.
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(
            f"the folder {folder} is not private to this user; remove it, or set {variable} to a folder of "
            "your own"
        )
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time makes or sweeps folders."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep(root: Path) -> None:
    for lock in root.glob(f"*/{OWNER_LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(lock.parent, ignore_errors=True)
        finally:
            os.close(descriptor)
