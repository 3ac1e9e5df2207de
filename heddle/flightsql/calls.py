"""Who calls, and what holds for the call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from heddle.core.record import record
from heddle.database.model import Viewer
from heddle.flightsql.frames import Encoding
from heddle.flightsql.options import Options
from heddle.flightsql.sessions import Connection, Session

if TYPE_CHECKING:
    from heddle.flightsql.telemetry.spans import RequestTrace

OnGone: TypeAlias = Callable[[Callable[[], None]], bool]
"""Registers what is called when the client goes away; false when it has gone."""
Transport: TypeAlias = Literal["grpc", "native"]


@record(frozen=True, slots=True)
class Caller:
    """`session` is None while the client has set no option, `trace` when no spans are made of the request."""

    viewer: Viewer
    peer: str
    connection: Connection
    session: Session | None
    options: Options
    on_gone: OnGone
    trace: RequestTrace | None = None
    transport: Transport = "grpc"

    @property
    def in_sql(self) -> Caller:
        """The same, whose statements are in DataFusion's dialect whatever the session says."""
        settings = replace(self.options.settings, language="sql")
        return replace(self, options=replace(self.options, settings=settings))

    @property
    def encoding(self) -> Encoding:
        return "batches" if self.transport == "native" else self.options.ipc_compression
