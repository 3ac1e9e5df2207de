"""The access log: a line of JSON for each request that has ended."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import TextIO

from heddle.core.record import record


@record(frozen=True, slots=True)
class Access:
    """`what` is the command or the action, `code` the status of gRPC. `size_bytes` went to the client,
    `received_bytes` are of what it put."""

    method: str
    what: str
    viewer: str
    peer: str
    code: str
    duration_s: float
    size_bytes: int
    received_bytes: int = 0


class AccessLog:
    """Writes whole lines, from any thread. A place that takes no more, such as a full disk, does not stop the
    server: `failed` is told once."""

    def __init__(self, file: TextIO, failed: Callable[[OSError], None]) -> None:
        self._file = file
        self._failed = failed
        self._lock = threading.Lock()
        self._works = True

    def note(self, access: Access) -> None:
        line = json.dumps(
            {
                "time": round(time.time(), 3),
                "method": access.method,
                "what": access.what,
                "viewer": access.viewer,
                "peer": access.peer,
                "code": access.code,
                "duration_ms": round(access.duration_s * 1000, 3),
                "size_bytes": access.size_bytes,
                "received_bytes": access.received_bytes,
            }
        )
        with self._lock:
            if not self._works:
                return
            try:
                self._file.write(line + "\n")
                self._file.flush()
            except OSError as error:
                self._works = False
                self._failed(error)
