"""A DuckDB file: opened once in a process, with a cursor for every call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fhub.duckdb.failures import DuckdbError, told
from heddle.core.resource import LookupCacheConfig, Resource
from heddle.core.step import StepContext

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CANCEL_POLL_S: Final = 0.1


class ConnectionConfig(LookupCacheConfig):
    """`path` starts at the program's folder. With `read_only` several processes may have the file open.
    `settings` are DuckDB's own, such as `{ memory_limit: "2GB" }`."""

    path: str
    read_only: bool = False
    settings: dict[str, str] = {}  # noqa: RUF012 - a default; every instance gets its own copy


class Connection(Resource):
    """Thread-safe. Raises `DuckdbError`."""

    def __init__(self, config: ConnectionConfig) -> None:
        import duckdb

        path = (config.base / config.path).absolute()
        if not path.is_file():
            raise DuckdbError(f"there is no file {path} (`path`)")
        self.path = config.path
        with told(self.path):
            self._database: DuckDBPyConnection = duckdb.connect(
                str(path), read_only=config.read_only, config=dict(config.settings)
            )
            self._database.execute("SET TimeZone = 'UTC'")

    def close(self) -> None:
        self._database.close()

    def health(self) -> str | None:
        try:
            with self.cursor(StepContext()) as cursor:
                cursor.execute("SELECT 1")
        except DuckdbError as error:
            return str(error)
        return None

    def open(self) -> DuckDBPyConnection:
        """A cursor that the caller closes."""
        with told(self.path):
            cursor = self._database.cursor()
            cursor.execute("SET TimeZone = 'UTC'")
        return cursor

    @contextmanager
    def cursor(self, context: StepContext) -> Iterator[DuckDBPyConnection]:
        """A cursor for one call; what it runs is stopped when the call is cancelled."""
        cursor = self.open()
        ended = threading.Event()
        watch = threading.Thread(
            target=_interrupt, args=(cursor, context, ended), name="heddle-duckdb-watch", daemon=True
        )
        watch.start()
        try:
            with told(self.path):
                yield cursor
        finally:
            ended.set()
            watch.join()
            cursor.close()


def _interrupt(cursor: DuckDBPyConnection, context: StepContext, ended: threading.Event) -> None:
    while not ended.wait(CANCEL_POLL_S):
        if context.cancelled:
            cursor.interrupt()
