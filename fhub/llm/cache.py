"""Answers on disk, by a hash of what was asked: address and request, without the key of the account.

One file for the user alone, in their cache folder. What was not used for the longest time goes when the
answers take more than they may. A cache only ever saves requests: a file that cannot be used is none.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from heddle.core.private_folder import private

FILE_NAME: Final = "answers.sqlite"
BUSY_WAIT_S: Final = 5.0
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS answers "
    "(key BLOB PRIMARY KEY, answer BLOB NOT NULL, size_bytes INTEGER NOT NULL, used_at REAL NOT NULL)"
)


def cache_folder() -> Path:
    """`heddle/llm` in the user's cache folder. Raises `OSError` when it cannot be had for the user alone."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # as the XDG specification wants it
        cache = Path.home() / ".cache"
    above = cache / "heddle"
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    return private(above / "llm", variable="XDG_CACHE_HOME")


def answer_key(address: str, body: Mapping[str, Any], number: int = 0) -> bytes:
    """`number` tells requests apart that are to be answered each on its own."""
    from hashlib import blake2b

    text = json.dumps([address, body, number], sort_keys=True)
    return blake2b(text.encode(), digest_size=32).digest()


def cache_bytes(text: str) -> int:
    """Units are powers of 1000 (`MB`) or 1024 (`MiB`). Raises `ValueError`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg])(i?)b\s*", text, re.IGNORECASE)
    if found is None or not float(found[1]):
        raise ValueError(f'`cache` is a size such as "200MB" or "2GB", not {text!r}')
    power = " kmg".index(found[2].lower())
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


class AnswerCache:
    """Answers of at most `size_bytes_max` in all. Safe for threads and processes. Raises `OSError`."""

    def __init__(self, folder: Path, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._lock = threading.Lock()
        path = folder / FILE_NAME
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        try:
            self._database = sqlite3.connect(
                path, timeout=BUSY_WAIT_S, isolation_level=None, check_same_thread=False
            )
            self._database.execute(_TABLE)
        except sqlite3.Error as error:
            raise OSError(f"the file {path} is no cache of answers ({error}); remove it") from error

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def get(self, key: bytes) -> bytes | None:
        with self._lock, suppress(sqlite3.Error):
            row = self._database.execute(
                "UPDATE answers SET used_at = ? WHERE key = ? RETURNING answer", (time.time(), key)
            ).fetchone()
            return None if row is None else bytes(row[0])
        return None

    def put(self, key: bytes, answer: bytes) -> None:
        if len(answer) > self._size_bytes_max:
            return
        with self._lock, suppress(sqlite3.Error):
            self._database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", (key, answer, len(answer), time.time())
            )

    def trim(self) -> None:
        """Let the oldest go until the rest has room."""
        with self._lock, suppress(sqlite3.Error):
            self._database.execute(
                "DELETE FROM answers WHERE key IN (SELECT key FROM (SELECT key, "
                "sum(size_bytes) OVER (ORDER BY used_at DESC, key) AS size_bytes FROM answers) "
                "WHERE size_bytes > ?)",
                (self._size_bytes_max,),
            )
