"""Bindings that no session uses, which stay bound for a while: the next run of a program wants them again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from heddle.udf_bridge.keys import BindingKey

BINDINGS_KEPT_MAX: Final = 256
BINDING_KEPT_S: Final = 60.0


class KeptBindings:
    """Those of one plugin. Not thread-safe."""

    def __init__(
        self,
        count_max: int = BINDINGS_KEPT_MAX,
        kept_s: float = BINDING_KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count_max = count_max
        self._kept_s = kept_s
        self._clock = clock
        self._since: dict[BindingKey, float] = {}
        self._distrusted: set[BindingKey] = set()

    def used(self, key: BindingKey) -> None:
        """A session uses it, whether or not it was kept."""
        self._since.pop(key, None)

    def distrust(self, key: BindingKey) -> None:
        """A call of it has failed, so it is not kept for other sessions."""
        self._distrusted.add(key)

    def unused(self, key: BindingKey) -> list[BindingKey]:
        """Its last session has ended; gives the bindings to release now, of which it may be one.

        One with resources is not kept, because these are closed with their last user.
        """
        if key.resources or key in self._distrusted:
            released = [key]
        else:
            released = []
            self._since[key] = self._clock()
        self._distrusted.discard(key)
        return released + self._due()

    def clear(self) -> None:
        """The process in which they were bound has gone."""
        self._since.clear()
        self._distrusted.clear()

    def _due(self) -> list[BindingKey]:
        """Those kept for too long, and the oldest of too many."""
        over = len(self._since) - self._count_max
        now = self._clock()
        due = [k for n, (k, at) in enumerate(self._since.items()) if n < over or now - at > self._kept_s]
        for key in due:
            del self._since[key]
        return due
