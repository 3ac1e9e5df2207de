"""What went wrong as an error that pyarrow's server sends without a trace of where it was raised.

pyarrow has kinds of errors of its own for few statuses. For any other exception it takes the status from the
built-in class, and sends the exception as `traceback.format_exception` shows it, with files and lines; where
that fails, it sends the name of the class alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

import grpc
from pyarrow import flight

from heddle.flightsql.grpc_status import status_of


class _Untraced(Exception):
    """An exception that `traceback` cannot show."""

    @property
    def __suppress_context__(self) -> NoReturn:  # type: ignore[override]
        raise AttributeError("what a client is told has no traceback")

    def __str__(self) -> str:
        return str(self.args[0])


class Invalid(_Untraced, ValueError):
    """Sent as INVALID_ARGUMENT."""


class NotFound(_Untraced, KeyError):
    """Sent as NOT_FOUND."""


class Unsupported(_Untraced, NotImplementedError):
    """Sent as UNIMPLEMENTED."""


class Cancelled(_Untraced, flight.FlightCancelledError):  # type: ignore[misc]
    """Sent as CANCELLED."""


class TimedOut(_Untraced, flight.FlightTimedOutError):  # type: ignore[misc]
    """Sent as DEADLINE_EXCEEDED."""


class Denied(_Untraced, flight.FlightUnauthorizedError):  # type: ignore[misc]
    """Sent as PERMISSION_DENIED."""


class Unauthenticated(_Untraced, flight.FlightUnauthenticatedError):  # type: ignore[misc]
    """Sent as UNAUTHENTICATED."""


class Unavailable(_Untraced, flight.FlightUnavailableError):  # type: ignore[misc]
    """Sent as UNAVAILABLE."""


class Fault(_Untraced, flight.FlightInternalError):  # type: ignore[misc]
    """Sent as INTERNAL."""


class Failed(_Untraced, flight.FlightServerError):  # type: ignore[misc]
    """Sent as UNKNOWN, as is all that has no status here."""


_KINDS: Final[dict[grpc.StatusCode, Callable[[str], Exception]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Invalid,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.INTERNAL: Fault,
}


def native_error(error: Exception) -> tuple[grpc.StatusCode, Exception]:
    """The status that says most, and what to raise, which may say less."""
    code, text = status_of(error)
    return code, _KINDS.get(code, Failed)(text)
