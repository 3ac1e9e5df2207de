"""Who calls, and what holds for the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from heddle.core.record import record
from heddle.database.model import Viewer
from heddle.flightsql.options import Options
from heddle.flightsql.sessions import Connection, Session

OnGone: TypeAlias = Callable[[Callable[[], None]], bool]
"""Registers what is called when the client goes away; false when it has gone."""


@record(frozen=True, slots=True)
class Caller:
    """`session` is None while the client has set no option."""

    viewer: Viewer
    peer: str
    connection: Connection
    session: Session | None
    options: Options
    on_gone: OnGone
