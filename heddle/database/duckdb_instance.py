"""Instances of DuckDB for queries of clients: databases in memory that reach no file, no network and no
variable of this process, and whose settings cannot be changed.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb

INTERRUPT_S: Final = 0.05
"""Between two interrupts."""
_SETTINGS: Final = (
    "SET TimeZone = 'UTC'",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET allow_persistent_secrets = false",
    "SET python_enable_replacements = false",
    "SET enable_progress_bar = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
"""In this order: what comes after the access is closed cannot be opened again."""


def opened(*, memory_bytes: int, cores: int, spill: Path | None) -> duckdb.DuckDBPyConnection:
    """An instance of its own; what does not fit into memory goes to the folder `spill`, if there is one. The
    caller closes it."""
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET memory_limit = $1", [f"{memory_bytes}B"])
        connection.execute("SET threads = $1", [cores])
        connection.execute("SET temp_directory = $1", [str(spill) if spill is not None else ""])
        for setting in _SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


class Interrupting:
    """Interrupts what runs in an instance, again and again until it has ended: DuckDB forgets an interrupt
    that comes just before its query begins. Thread-safe."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """More than once, and after the end, does no harm."""
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._go_on, name="heddle-interrupt", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Nothing is interrupted any more."""
        with self._lock:
            self._ended.set()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _go_on(self) -> None:
        while not self._ended.is_set():
            self._connection.interrupt()
            self._ended.wait(INTERRUPT_S)
