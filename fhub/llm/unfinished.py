"""Answers of calls that failed before all of them were there: the next attempt asks only for the others."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from fhub.llm.connection import Reply

Replies: TypeAlias = "dict[bytes, Reply]"

CALLS_MAX: Final = 8


class Unfinished:
    """Thread-safe. An attempt that never comes is forgotten when `CALLS_MAX` later calls have failed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: OrderedDict[str, Replies] = OrderedDict()

    def take(self, call: str | None) -> Replies:
        with self._lock:
            return self._calls.pop(call, {}) if call is not None else {}

    def keep(self, call: str | None, replies: Replies) -> None:
        if call is None or not replies:
            return
        with self._lock:
            self._calls[call] = replies
            while len(self._calls) > CALLS_MAX:
                self._calls.popitem(last=False)
