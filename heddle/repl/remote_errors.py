"""What a driver says of a failure, as `QueryError` in the words of the endpoint's own message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pyarrow as pa

from heddle.core.record import record
from heddle.database.errors import QueryError, QueryErrorKind

_KINDS: Final[dict[int, QueryErrorKind]] = {
    1: "cancelled",
    3: "invalid",
    4: "timeout",
    5: "not_found",
    6: "exists",
    7: "denied",
    8: "exhausted",
    10: "conflict",
    12: "unsupported",
    14: "unavailable",
    16: "denied",
}
"""By gRPC's status codes, which the driver passes on."""
_CODES: Final = {
    "Canceled": 1,
    "InvalidArgument": 3,
    "DeadlineExceeded": 4,
    "NotFound": 5,
    "AlreadyExists": 6,
    "PermissionDenied": 7,
    "ResourceExhausted": 8,
    "Aborted": 10,
    "Unimplemented": 12,
    "Unavailable": 14,
    "Unauthenticated": 16,
}
_END: Final = r" \((\w+); .*\)(\. Vendor code: .*)?$"
"""What the driver adds to a message: the status, the call."""


@record(frozen=True, slots=True)
class Told:
    """Whose failures they are, and what no message may hold."""

    address: str
    secrets: tuple[str, ...]

    def error(self, message: str, code: int | None) -> QueryError:
        found = re.search(_END, message)
        if code is None and found is not None:
            code = _CODES.get(found[1])
        plain = re.sub(r"^[A-Z_]+: ", "", message)
        plain = re.sub(r"\[FlightSQL\] ", "", plain)
        plain = re.sub(_END, "", plain)
        for secret in self.secrets:
            plain = plain.replace(secret, "***")
        kind = _KINDS.get(code or 0, "failed")
        if kind == "unavailable":
            reason = plain.rpartition(": ")[2].strip('"')
            return QueryError(
                kind,
                f"the endpoint {self.address} cannot be reached: {reason}",
                help="is it running, and is TLS right?",
            )
        if code == 16:
            return QueryError(
                kind,
                plain or "the endpoint wants to know who asks",
                help="--user, or HEDDLE_SQL_TOKEN, says it",
            )
        if kind == "cancelled":
            return QueryError(kind, "cancelled")
        said, _, cure = plain.partition("\n")  # an endpoint of Heddle has the cure on a line of its own
        return QueryError(kind, said, help=cure or None)


@contextmanager
def told(telling: Told) -> Iterator[None]:
    """Failures of the driver, and of the stream that it reads, as `QueryError`."""
    import adbc_driver_manager

    try:
        yield
    except adbc_driver_manager.Error as error:
        raise telling.error(str(error), error.vendor_code or None) from error
    except (pa.ArrowException, OSError) as error:
        raise telling.error(str(error), None) from error
