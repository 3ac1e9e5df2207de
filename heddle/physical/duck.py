"""The DuckDB side of a run: an instance with the run's memory budget, and a cursor for each fragment.

An instance takes longer to open than a small query to run, so one that a run has left is kept for the next.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Final

import duckdb

from heddle.core.record import record

IDLE_MAX: Final = 8
"""Instances that wait for a run; without data one takes about a megabyte."""

QUERIES_MAX: Final = 32
"""Queries that a cursor knows."""
QUERY_CHARS_MAX: Final = 20_000
"""Of the text and the values of one: longer ones hold many files, beside which binding takes no time."""

FLUSH_ALONE: Final = "16MB"
"""How much freed memory an instance keeps: 50 MB less in all than with `FLUSH_BESIDE_OTHERS`."""
FLUSH_BESIDE_OTHERS: Final = "128MB"
"""While other runs have instances too, which costs each a twentieth less CPU time."""

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


_PROFILING: Final = (
    "SET tracked_metrics = ['io.total_bytes_read', 'query.cpu_time', 'system.peak_temp_dir_size']",
    "SET enable_profiling = 'no_output'",
)
"""For each cursor. More metrics cost more, and some of them a clock call for each batch."""


@record(frozen=True, slots=True)
class Profile:
    """What a query took. `bytes_read` has what was read back of what was spilled; `spilled_bytes` is the
    most that lay in the instance's spill folder at a time."""

    cpu_s: float
    bytes_read: int
    spilled_bytes: int


@record(slots=True, eq=False)
class Cursor:
    """A connection of its own, which profiles its queries; what is registered in it no other sees.

    Before DuckDB plans and runs a query, its client parses and binds it once for the names of the columns, a
    millisecond for a few joins. So those that were asked last are kept.
    """

    connection: duckdb.DuckDBPyConnection
    _queries: OrderedDict[tuple[str, str], duckdb.DuckDBPyRelation] = field(default_factory=OrderedDict)

    def query(self, sql: str, values: Sequence[object]) -> duckdb.DuckDBPyRelation:
        """What runs when its rows are asked for, each time anew."""
        asked = (sql, repr(values))
        query = self._queries.pop(asked, None)
        if query is None:
            query = self.connection.sql(sql, params=values)
        if sum(map(len, asked)) <= QUERY_CHARS_MAX:
            self._queries[asked] = query
        if len(self._queries) > QUERIES_MAX:
            self._queries.popitem(last=False)
        return query

    def close(self) -> None:
        self._queries.clear()
        self.connection.close()


@record(slots=True, eq=False)
class _Instance:
    """A database in memory, with the limits that were set last: setting them costs milliseconds, as does
    a cursor, so `cursors` has those that wait for a query."""

    connection: duckdb.DuckDBPyConnection
    cursors: list[Cursor]
    memory_bytes: int = 0
    cores: int = 0
    flush: str = ""

    def limit(self, memory_bytes: int, cores: int, spill: Path, flush: str) -> None:
        if memory_bytes != self.memory_bytes:
            self.connection.execute("SET memory_limit = $1", [f"{memory_bytes}B"])
        if cores != self.cores:
            self.connection.execute("SET threads = $1", [cores])
        if flush != self.flush:
            self.connection.execute("SET allocator_flush_threshold = $1", [flush])
            self.connection.execute("SET allocator_bulk_deallocation_flush_threshold = $1", [flush])
        self.connection.execute("SET temp_directory = $1", [str(spill)])
        self.memory_bytes, self.cores, self.flush = memory_bytes, cores, flush

    def close(self) -> None:
        for cursor in self.cursors:
            cursor.close()
        self.connection.close()


class _Pool:
    """The instances of this process. `taken` are in use. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Instance] = []
        self.taken = 0

    def take(self) -> _Instance:
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        instance = idle or _opened()
        with self._lock:
            self.taken += 1
        return instance

    def give_back(self, instance: _Instance, *, reusable: bool) -> None:
        with self._lock:
            self.taken -= 1
            if reusable and len(self._idle) < IDLE_MAX:
                self._idle.append(instance)
                return
        instance.close()


_POOL: Final = _Pool()


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

    def cursor(self) -> Cursor:
        """The caller closes it or gives it back."""
        with self._lock:
            if self._instance is None:
                self._instance = _POOL.take()
                flush = FLUSH_ALONE if _POOL.taken == 1 else FLUSH_BESIDE_OTHERS
                self._instance.limit(self._memory_bytes, self._cores, self._spill, flush)
            if self._instance.cursors:
                return self._instance.cursors.pop()
            connection = self._instance.connection.cursor()
        for setting in _PROFILING:
            connection.execute(setting)
        return Cursor(connection)

    def give_back(self, cursor: Cursor) -> None:
        """For another query, in place of closing it: one whose query ended, with nothing registered in it."""
        with self._lock:
            assert self._instance is not None, "the session is open as long as its cursors"
            self._instance.cursors.append(cursor)

    def close(self) -> None:
        """Give the instance back; one that has spilled keeps to its folder, so it ends with the run."""
        with self._lock:
            instance, self._instance = self._instance, None
        if instance is None:
            return
        _POOL.give_back(instance, reusable=not self._spill.exists())


def profile_of(cursor: Cursor) -> Profile | None:
    """What the cursor's last query took; None when it did not run to its end."""
    told = json.loads(cursor.connection.get_profiling_information(format="json"))
    if "query" not in told:
        return None
    return Profile(
        cpu_s=float(told["query"]["cpu_time"]),
        bytes_read=int(told["io"]["total_bytes_read"]),
        spilled_bytes=int(told["system"]["peak_temp_dir_size"]),
    )


def _opened() -> _Instance:
    connection = duckdb.connect()
    for setting in _SETTINGS:
        connection.execute(f"SET {setting}")
    for macro in _MACROS:
        connection.execute(macro)
    return _Instance(connection, [])
