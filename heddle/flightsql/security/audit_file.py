"""The audit log: a line of JSON for each login, statement and refusal, in a file for its owner alone."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import time
from typing import Final

from heddle.errors import UsageError
from heddle.flightsql.security import AuditEvent
from heddle.flightsql.security.users_file import require_private
from heddle.paths import shown_path
from heddle.serve_settings import AuditSettings

TEXT_CHARS_MAX: Final = 16_384
"""Longer statements are cut; their hash is that of the whole."""


class AuditFile:
    """An `Audit`. Thread-safe. A file that was moved away is made anew, so that logs can be rotated."""

    def __init__(
        self,
        settings: AuditSettings,
        mask: Callable[[str], str],
        notify: Callable[[str], None],
        clock: Callable[[], float] = time,
    ) -> None:
        """`mask` takes secrets out of a text. Raises `UsageError` where the file cannot be written, or others
        can read it."""
        self._settings = settings
        self._mask = mask
        self._notify = notify
        self._clock = clock
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        try:
            self._file()
        except OSError as error:
            message = f"the audit log {shown_path(settings.file)} cannot be written: {error.strerror}"
            raise UsageError(message) from error

    def note(self, event: AuditEvent) -> None:
        """A line that cannot be written is reported on stderr: what it tells of has happened already."""
        line = self._line(event)
        with self._lock:
            try:
                os.write(self._file(), line)
            except (OSError, UsageError) as error:
                reason = error.message if isinstance(error, UsageError) else error.strerror
                self._notify(f"the audit log has lost a line: {reason}")

    def close(self) -> None:
        """More than once does no harm."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _file(self) -> int:
        path = self._settings.file
        if self._descriptor is not None:
            try:
                if os.path.samestat(os.stat(path), os.fstat(self._descriptor)):
                    return self._descriptor
            except FileNotFoundError:
                pass
            os.close(self._descriptor)
            self._descriptor = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        try:
            require_private(os.fstat(descriptor), path)
        except UsageError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return descriptor

    def _line(self, event: AuditEvent) -> bytes:
        known: dict[str, object] = {
            "time": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
            "what": event.what,
            "viewer": event.viewer,
            "peer": event.peer,
            "outcome": event.outcome,
        }
        if event.text:
            known["statement"] = hashlib.sha256(event.text.encode("utf-8", "surrogatepass")).hexdigest()
            if self._settings.text:
                known["text"] = self._mask(event.text)[:TEXT_CHARS_MAX]
        if event.tables:
            known["tables"] = list(event.tables)
        if event.query_id:
            known["query_id"] = event.query_id
        if event.rows is not None:
            known["rows"] = event.rows
        if event.duration_s is not None:
            known["duration_s"] = round(event.duration_s, 6)
        return json.dumps(known, separators=(",", ":")).encode() + b"\n"
