"""An SQLite file: a connection for every call, and one transaction for all that a run writes to it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

import pyarrow as pa

from fhub.kept import Kept
from fhub.sqlite.failures import SqliteError, told
from heddle.core.resource import LookupCacheConfig, Resource
from heddle.core.step import StepContext

DESCRIBED_MAX: Final = 256
LOOK_INSTRUCTIONS: Final = 20_000
"""After so many instructions of SQLite's machine it is asked whether the call was cancelled."""


class ConnectionConfig(LookupCacheConfig):
    """`path` starts at the program's folder. `timeout` is how many seconds to wait for a file that another
    process has locked."""

    path: str
    read_only: bool = False
    timeout: float = 10.0


class Connection(Resource):
    """Thread-safe. Raises `SqliteError`."""

    def __init__(self, config: ConnectionConfig) -> None:
        self._file = (config.base / config.path).absolute()
        if not self._file.is_file():
            raise SqliteError(f"there is no file {self._file} (`path`)")
        self.path = config.path
        self._mode = "ro" if config.read_only else "rw"
        self._timeout = config.timeout
        self._lock = threading.Lock()
        self._writing: dict[str, Transaction] = {}
        self.described: Kept[object, pa.Schema] = Kept(DESCRIBED_MAX)
        """The columns of statements, by the statement and the version of the file's tables."""
        with self.reading(StepContext()) as database:
            database.execute("SELECT count(*) FROM sqlite_master")

    def close(self) -> None:
        with self._lock:
            left = list(self._writing.values())
            self._writing.clear()
        for transaction in left:
            transaction.database.close()

    def health(self) -> str | None:
        try:
            with self.reading(StepContext()) as database:
                database.execute("SELECT count(*) FROM sqlite_master")
        except SqliteError as error:
            return str(error)
        return None

    @contextmanager
    def reading(self, context: StepContext) -> Iterator[sqlite3.Connection]:
        """A connection for one call, which changes nothing and ends when the call is cancelled."""
        with told(self.path):
            database = self._open()
            try:
                database.execute("PRAGMA query_only = 1")
                database.set_progress_handler(lambda: int(context.cancelled), LOOK_INSTRUCTIONS)
                yield database
            finally:
                database.close()

    def transaction(self, run_id: str) -> Transaction:
        """The transaction of a run, of which the caller is one more part. SQLite has one writer at a time,
        so two writers of a run share it."""
        with self._lock:
            found = self._writing.get(run_id)
            if found is None:
                with told(self.path):
                    database = self._open()
                    try:
                        database.execute("BEGIN IMMEDIATE")
                    except sqlite3.Error:
                        database.close()
                        raise
                found = self._writing[run_id] = Transaction(database)
            found.parts += 1
            return found

    def end(self, run_id: str, *, commit: bool) -> None:
        """One part of a run's transaction is through. It is committed with its last part, and rolled back
        with the first that aborts. Raises `SqliteError`."""
        with self._lock:
            found = self._writing.get(run_id)
            if found is None:
                if commit:
                    raise SqliteError(f"SQLite ({self.path}): another writer of the run has failed")
                return
            found.parts -= 1
            if commit and found.parts:
                return
            del self._writing[run_id]
        try:
            with told(self.path):
                found.database.execute("COMMIT" if commit else "ROLLBACK")
        finally:
            found.database.close()

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self._file))}?mode={self._mode}",
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
        )


class Transaction:
    """`lock` is held by the part that writes."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.parts = 0
        self.lock = threading.Lock()
