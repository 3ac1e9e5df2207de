"""Who is told of requests: the access log, metrics and spans. A transport says when one begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from heddle.flightsql.access_log import Access
from heddle.flightsql.security import Headers

if TYPE_CHECKING:
    from heddle.flightsql.telemetry.spans import RequestTrace
    from heddle.flightsql.telemetry.tracing import Tracing


class Requests:
    """A transport has one if anybody wants to be told. Thread-safe."""

    def __init__(self, noted: Sequence[Callable[[Access], None]], tracing: Tracing | None) -> None:
        """`noted` are called for each request that has ended."""
        self._noted = noted
        self._tracing = tracing

    def begin(self, method: str, headers: Headers, peer: str) -> RequestTrace | None:
        """The request's span, for its `Caller` and for `end`; None where it has none."""
        return self._tracing.request(method, headers, peer) if self._tracing is not None else None

    def end(self, access: Access, trace: RequestTrace | None) -> None:
        for note in self._noted:
            note(access)
        if trace is not None:
            trace.end(access)
