"""The DuckDB side of a run: an instance with the run's memory budget, and a cursor for each fragment.

An instance takes longer to open than a small query to run, so one that a run has left is kept for the next.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import duckdb

from heddle.core.record import record

IDLE_MAX: Final = 8
"""Instances that wait for a run; without data one takes about a megabyte."""

_SETTINGS: Final = (
    "default_null_order = 'nulls_last_on_asc_first_on_desc'",  # DataFusion's order
    "TimeZone = 'UTC'",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "enable_progress_bar = false",
    "parquet_metadata_cache = true",
    "enable_external_file_cache = false",  # the system's page cache is as fast and needs no second copy
)
_MACROS: Final = (
    "CREATE MACRO to_char(value, format) AS strftime(value, format)",
    "CREATE MACRO arrow_cast(value, type) AS CAST(value AS TIMESTAMPTZ)",  # portable.py lets no other type in
)


@record(slots=True, eq=False)
class _Instance:
    """A database in memory, with the limits that were set last: setting them costs milliseconds."""

    connection: duckdb.DuckDBPyConnection
    memory_bytes: int = 0
    cores: int = 0

    def limit(self, memory_bytes: int, cores: int, spill: Path) -> None:
        if memory_bytes != self.memory_bytes:
            self.connection.execute("SET memory_limit = $1", [f"{memory_bytes}B"])
        if cores != self.cores:
            self.connection.execute("SET threads = $1", [cores])
        self.connection.execute("SET temp_directory = $1", [str(spill)])
        self.memory_bytes, self.cores = memory_bytes, cores


_idle: list[_Instance] = []
_idle_lock = threading.Lock()


class DuckSession:
    """DuckDB for one run; it opens an instance with the first cursor. Thread-safe.

    `memory_bytes` is what the instance may take in all; beyond it DuckDB spills to a folder in `scratch`.
    """

    def __init__(self, scratch: Path, memory_bytes: int, cores: int) -> None:
        self._spill = scratch / "duckdb"
        self._memory_bytes = memory_bytes
        self._cores = cores
        self._lock = threading.Lock()
        self._instance: _Instance | None = None

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own; what is registered in it no other sees. The caller closes it."""
        with self._lock:
            if self._instance is None:
                self._instance = _opened()
                self._instance.limit(self._memory_bytes, self._cores, self._spill)
            return self._instance.connection.cursor()

    def close(self) -> None:
        """Give the instance back; one that has spilled keeps to its folder, so it ends with the run."""
        with self._lock:
            instance, self._instance = self._instance, None
        if instance is None:
            return
        with _idle_lock:
            if not self._spill.exists() and len(_idle) < IDLE_MAX:
                _idle.append(instance)
                return
        instance.connection.close()


def _opened() -> _Instance:
    with _idle_lock:
        if _idle:
            return _idle.pop()
    connection = duckdb.connect()
    for setting in _SETTINGS:
        connection.execute(f"SET {setting}")
    for macro in _MACROS:
        connection.execute(macro)
    return _Instance(connection)
