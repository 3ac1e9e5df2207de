"""What can go wrong with a statement, as one exception with a kind that every front door translates.

`message` is for the user: it names the place and the cure, and holds no secret, no path of the server and no
value that the viewer may not see.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from heddle.diagnostics import Span
from heddle.errors import HeddleError

QueryErrorKind: TypeAlias = Literal[
    "invalid",  # the text cannot be read, or does not fit the tables
    "not_found",  # no such table, statement, transaction
    "exists",
    "conflict",  # somebody else is changing the same table
    "denied",  # the viewer may not
    "unsupported",
    "failed",  # the program's data or code failed
    "cancelled",
    "timeout",
    "exhausted",  # a limit of the viewer or of the server
    "unavailable",  # a service below cannot be reached, or the server is ending
]


class QueryError(HeddleError):
    def __init__(self, kind: QueryErrorKind, message: str, *, help: str | None = None) -> None:
        super().__init__(message, help=help)
        self.kind: QueryErrorKind = kind


class PlacedError(QueryError):
    """A statement that is refused; `span` is the place in it."""

    def __init__(self, kind: QueryErrorKind, message: str, span: Span, *, help: str | None = None) -> None:
        super().__init__(kind, message, help=help)
        self.span = span
