"""How often logins have failed: after a few failures of a name from one address, or of many from it, the next
attempt has to wait, longer with each failure."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

from heddle.core.record import record

FREE_FAILURES: Final = 5
"""Of one name from one address, before it has to wait."""
FREE_FAILURES_OF_ADDRESS: Final = 30
WAIT_S_MAX: Final = 300.0
FORGOTTEN_S: Final = 900.0
"""Failures that are older do not count."""
REMEMBERED_MAX: Final = 10_000


@record(slots=True, eq=False)
class _Failures:
    count: int
    last_s: float


class Attempts:
    """Thread-safe; holds `REMEMBERED_MAX` names and addresses, the latest."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, str | None], _Failures] = OrderedDict()

    def wait_s(self, address: str, name: str) -> float:
        """How long this name has to wait until it may try again from this address; 0: not at all."""
        with self._lock:
            return max(
                self._wait_of((address, name), FREE_FAILURES),
                self._wait_of((address, None), FREE_FAILURES_OF_ADDRESS),
            )

    def failed(self, address: str, name: str) -> None:
        with self._lock:
            for key in ((address, name), (address, None)):
                known = self._recent(key)
                count = known.count + 1 if known is not None else 1
                self._failures[key] = _Failures(count, self._clock())
                self._failures.move_to_end(key)
            while len(self._failures) > REMEMBERED_MAX:
                self._failures.popitem(last=False)

    def succeeded(self, address: str, name: str) -> None:
        """The failures of the name are forgotten; those of its address are not, since it may have one account
        of its own and guess at others."""
        with self._lock:
            self._failures.pop((address, name), None)

    def _recent(self, key: tuple[str, str | None]) -> _Failures | None:
        known = self._failures.get(key)
        return known if known is not None and self._clock() - known.last_s < FORGOTTEN_S else None

    def _wait_of(self, key: tuple[str, str | None], free: int) -> float:
        known = self._recent(key)
        if known is None or known.count < free:
            return 0.0
        wait_s = min(2.0 ** min(known.count - free, 16), WAIT_S_MAX)
        return max(0.0, known.last_s + wait_s - self._clock())


def address_of(peer: str) -> str:
    """The address of gRPC's name of a peer, without its port: `ipv4:10.0.0.7:52100` is `10.0.0.7`."""
    kind, colon, rest = peer.partition(":")
    if not colon or kind not in {"ipv4", "ipv6"}:
        return peer
    return rest.replace("%5B", "[").replace("%5D", "]").rpartition(":")[0].strip("[]") or rest
