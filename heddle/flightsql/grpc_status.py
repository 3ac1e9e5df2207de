"""What went wrong as a status of gRPC: a code and a message for the client, without paths or stack traces."""

from __future__ import annotations

import logging
from typing import Final

import grpc

from heddle.database.errors import QueryError, QueryErrorKind
from heddle.flightsql.frames import FrameError
from heddle.flightsql.results import ServerFault
from heddle.flightsql.security import Refused, RefusedKind

Log: Final = logging.getLogger("heddle.flightsql")

_KINDS: Final[dict[QueryErrorKind | RefusedKind, grpc.StatusCode]] = {
    "invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "exists": grpc.StatusCode.ALREADY_EXISTS,
    "conflict": grpc.StatusCode.ABORTED,
    "denied": grpc.StatusCode.PERMISSION_DENIED,
    "unsupported": grpc.StatusCode.UNIMPLEMENTED,
    "failed": grpc.StatusCode.FAILED_PRECONDITION,
    "cancelled": grpc.StatusCode.CANCELLED,
    "timeout": grpc.StatusCode.DEADLINE_EXCEEDED,
    "exhausted": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
}
MESSAGE_CHARS_MAX: Final = 4_000
"""Metadata has limits in clients too."""


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    match error:
        case ServerFault():
            return grpc.StatusCode.INTERNAL, error.message
        case QueryError() | Refused():
            text = error.message if error.help is None else f"{error.message}\n{error.help}"
            return _KINDS[error.kind], _cut(text)
        case FrameError():
            return grpc.StatusCode.INVALID_ARGUMENT, _cut(str(error))
        case _:
            Log.error("a request failed", exc_info=error)
            return grpc.StatusCode.INTERNAL, ServerFault().message


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1] + "…"
