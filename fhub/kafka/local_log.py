"""Topics in a file, for runs without a cluster: what was appended survives the process, and groups go on
where they committed. Each topic has one partition, and is there when it is first named."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from heddle.core.record import record

BUSY_WAIT_S: Final = 30.0
CREATE_TIME: Final = 1
"""The kind of a timestamp, as Kafka counts them: when the message was made."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS messages (
    topic TEXT NOT NULL, offset INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL,
    key BLOB, value BLOB, PRIMARY KEY (topic, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS headers (
    topic TEXT NOT NULL, offset INTEGER NOT NULL, place INTEGER NOT NULL,
    key TEXT NOT NULL, value BLOB, PRIMARY KEY (topic, offset, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS committed (
    consumer_group TEXT NOT NULL, topic TEXT NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, topic)
) WITHOUT ROWID;
"""

Headers = list[tuple[str, bytes | None]]


@record(frozen=True, slots=True)
class Appended:
    """A message before it has a place; `timestamp_ms` is None for now."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers | None = None
    timestamp_ms: int | None = None


class LocalMessage:
    """What was read, with the methods of confluent-kafka's messages."""

    def __init__(
        self,
        topic: str,
        offset: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None,
    ) -> None:
        self._topic = topic
        self._offset = offset
        self._timestamp_ms = timestamp_ms
        self._key = key
        self._value = value
        self._headers = headers

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return CREATE_TIME, self._timestamp_ms

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers | None:
        return self._headers

    def error(self) -> None:
        return None


class LocalLog:
    """The file `log.db` of a private folder. Processes may share it. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = sqlite3.connect(
            folder / "log.db", timeout=BUSY_WAIT_S, isolation_level=None, check_same_thread=False
        )
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = FULL")
        self._file.executescript(_TABLES)

    def append(self, topic: str, messages: Sequence[Appended]) -> None:
        """All of them, or none."""
        now_ms = time.time_ns() // 1_000_000
        with self._lock, self._file:
            self._file.execute("BEGIN IMMEDIATE")
            first = self._end(topic)
            placed = list(enumerate(messages, first))
            self._file.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?)",
                [
                    (topic, offset, m.timestamp_ms if m.timestamp_ms is not None else now_ms, m.key, m.value)
                    for offset, m in placed
                ],
            )
            self._file.executemany(
                "INSERT INTO headers VALUES (?, ?, ?, ?, ?)",
                [
                    (topic, offset, place, key, value)
                    for offset, m in placed
                    for place, (key, value) in enumerate(m.headers or ())
                ],
            )

    def read(self, topic: str, offset: int, count_max: int) -> list[LocalMessage]:
        """The messages from an offset on, in order."""
        with self._lock:
            found = self._file.execute(
                "SELECT offset, timestamp_ms, key, value FROM messages WHERE topic = ? AND offset >= ? "
                "ORDER BY offset LIMIT ?",
                (topic, offset, count_max),
            ).fetchall()
            if not found:
                return []
            headers: dict[int, Headers] = {}
            for at, key, value in self._file.execute(
                "SELECT offset, key, value FROM headers WHERE topic = ? AND offset BETWEEN ? AND ? "
                "ORDER BY offset, place",
                (topic, offset, found[-1][0]),
            ):
                headers.setdefault(at, []).append((key, value))
        return [
            LocalMessage(topic, at, stamp, key, value, headers.get(at)) for at, stamp, key, value in found
        ]

    def end(self, topic: str) -> int:
        """The offset of the next message."""
        with self._lock:
            return self._end(topic)

    def committed(self, group: str, topic: str) -> int | None:
        with self._lock:
            found = self._file.execute(
                "SELECT offset FROM committed WHERE consumer_group = ? AND topic = ?", (group, topic)
            ).fetchone()
        return None if found is None else int(found[0])

    def commit(self, group: str, topic: str, offset: int) -> None:
        with self._lock:
            self._file.execute(
                "INSERT INTO committed VALUES (?, ?, ?) "
                "ON CONFLICT (consumer_group, topic) DO UPDATE SET offset = excluded.offset",
                (group, topic, offset),
            )

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _end(self, topic: str) -> int:
        found = self._file.execute(
            "SELECT offset FROM messages WHERE topic = ? ORDER BY offset DESC LIMIT 1", (topic,)
        ).fetchone()
        return 0 if found is None else int(found[0]) + 1
