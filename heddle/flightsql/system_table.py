"""`system.sessions`: whose sessions are open, and with what options."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from heddle.database.model import Viewer
from heddle.database.system_tables import SystemTable, column, table_of_rows
from heddle.flightsql.sessions import Sessions, session_name

_TEXT: Final = pa.string()

SESSIONS: Final = pa.schema(
    [
        column("session", _TEXT, "Its name, as in system.queries", nullable=False),
        column("viewer", _TEXT, "Whose it is", nullable=False),
        column("schema", _TEXT, "Where names are looked up first"),
        column("language", _TEXT, "In which statements are written", nullable=False),
        column("timeout_seconds", pa.float64(), "Of a statement"),
        column("ipc_compression", _TEXT, "Of what is sent", nullable=False),
        column("idle_seconds", pa.float64(), "Since it was last used", nullable=False),
    ]
)


def sessions_table(sessions: Sessions) -> SystemTable:
    """Everybody sees their own, an admin all. A client that has set no option has no session."""

    def rows(viewer: Viewer) -> Iterator[tuple[object, ...]]:
        now_s = time.monotonic()
        for session in sessions.all():
            if viewer.admin or session.owner == viewer.name:
                settings = session.options.settings
                yield (
                    session_name(session.connection),
                    session.owner,
                    settings.schema,
                    settings.language,
                    settings.timeout_s,
                    session.options.ipc_compression,
                    now_s - session.used_s,
                )

    return SystemTable(
        "sessions", SESSIONS, lambda viewer: table_of_rows(SESSIONS, rows(viewer)), "Sessions of clients"
    )
