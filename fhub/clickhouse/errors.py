"""What ClickHouse says when something fails, and which of it another attempt may cure."""

from __future__ import annotations

import re
from typing import Final

from heddle.core.step import Transient

TEXT_BYTES_MAX: Final = 64 * 1024
"""So much of an error's text is read."""
NOT_AN_AGGREGATE: Final = 215
UNKNOWN_IDENTIFIER: Final = 47
_AUTHENTICATION: Final = frozenset({192, 193, 194, 516})
_TRANSIENT: Final = frozenset(
    {
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        242,  # TABLE_IS_READ_ONLY
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        319,  # UNKNOWN_STATUS_OF_INSERT
        373,  # SESSION_IS_LOCKED
        439,  # CANNOT_SCHEDULE_TASK
        999,  # KEEPER_EXCEPTION
    }
)
_MEMORY_LIMIT: Final = 241
_BUSY_STATUS: Final = frozenset({429, 502, 503, 504})
_EXCEPTION: Final = r"Code:\s*(\d+)\.\s*(?:DB::)?Exception:\s*(.*)"
_TAG: Final = b"__exception__"


class ClickHouseError(Exception):
    """ClickHouse's own words, its code and the name of it."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.transient = code in _TRANSIENT or (code == _MEMORY_LIMIT and "(total)" in message)


class ConnectionLost(Transient):
    """The server could not be reached, or an answer did not come to its end."""


def error_of(text: str, code: int = 0) -> ClickHouseError:
    """The error of an answer such as `Code: 60. DB::Exception: Table t does not exist. (UNKNOWN_TABLE)`."""
    found = re.search(_EXCEPTION, text, re.DOTALL)
    said = found[2] if found is not None else text
    code = int(found[1]) if found is not None else code
    said = re.split(r"\s*\(version |\s*Stack trace:", said, maxsplit=1)[0].strip()
    named = re.search(r"\s*\(([A-Z_][A-Z0-9_]+)\)\.?$", said)
    name = f", {named[1]}" if named is not None else ""
    said = said[: named.start()] if named is not None else said
    prefix = "ClickHouse refuses the user or the password" if code in _AUTHENTICATION else "ClickHouse says"
    return ClickHouseError(f"{prefix}: {said or 'nothing'} (code {code}{name})", code)


def refusal(status: int, text: str, code: str | None, host: str) -> Exception:
    """The error of an answer whose status is not 200."""
    if code is not None or re.search(_EXCEPTION, text):
        return error_of(text, int(code) if code is not None and code.isdigit() else 0)
    if status in _BUSY_STATUS:
        return ConnectionLost(f"{host} answered with HTTP status {status}: it is too busy, or not there")
    shown = " ".join(text.split())[:200]
    return ClickHouseError(
        f"{host} answered with HTTP status {status}, and not as ClickHouse does"
        + (f": {shown}" if shown else "")
        + "; is `port` that of the HTTP interface (8123, or 8443 with `secure`)?"
    )


def error_within(data: bytes) -> ClickHouseError | None:
    """The error that stands at the end of a body, if one does."""
    if _TAG in data:
        text = data.split(_TAG)[1].decode(errors="replace")
        return error_of(text)
    found = re.search(rb"Code:\s*\d+\.\s*DB::Exception:.*", data, re.DOTALL)
    return error_of(found.group().decode(errors="replace")) if found is not None else None
