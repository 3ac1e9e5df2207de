"""Something to do when a time is over, unless it is forgotten before: one thread for all of them, from the
first one on."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from heddle.core.record import record


@record(frozen=True, slots=True)
class _Due:
    at: float
    act: Callable[[], None]


class Timeouts:
    """Safe for threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[str, _Due] = {}
        self._thread: threading.Thread | None = None
        self._wakes_at = math.inf
        self._closed = False

    def after(self, delay_s: float, key: str, act: Callable[[], None]) -> None:
        """`act` is called in another thread. It takes the place of what waits under the same key."""
        at = time.monotonic() + delay_s
        with self._changed:
            if self._closed:
                return
            self._due[key] = _Due(at, act)
            if self._thread is None:
                self._thread = threading.Thread(target=self._wait, name="heddle-timeouts", daemon=True)
                self._thread.start()
            elif at < self._wakes_at:
                self._changed.notify_all()

    def forget(self, key: str) -> None:
        with self._changed:
            self._due.pop(key, None)

    def close(self) -> None:
        """Forget all, and wait for what is being done. More than once does no harm."""
        with self._changed:
            self._closed = True
            self._due.clear()
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _wait(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic()
                over = [key for key, due in self._due.items() if due.at <= now]
                acts = [due.act for due in sorted(map(self._due.pop, over), key=lambda due: due.at)]
                if not acts:
                    self._wakes_at = min((due.at for due in self._due.values()), default=math.inf)
                    self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
            for act in acts:
                act()
