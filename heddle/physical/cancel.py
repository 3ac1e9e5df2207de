"""Cancellation: one token per run, which wakes everything that waits; and its milder form for a run in turns,
which ends after the turn under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CancelToken:
    """Set once, from any thread. Waiters register a wake-up instead of polling."""

    def __init__(self) -> None:
        self._cancelled = False
        self._lock = threading.Lock()
        self._wakers: dict[int, Callable[[], None]] = {}
        self._next = 0

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        self._cancelled = True
        with self._lock:
            wakers = list(self._wakers.values())
        for wake in wakers:
            wake()

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the token is cancelled or the time is over; tells whether it was cancelled."""
        cancelled = threading.Event()
        forget = self.on_cancel(cancelled.set)
        try:
            return cancelled.wait(timeout_s)
        finally:
            forget()

    def on_cancel(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` when cancelled; the returned function takes that back."""
        with self._lock:
            key = self._next
            self._next += 1
            self._wakers[key] = wake
        if self.cancelled:
            wake()

        def forget() -> None:
            with self._lock:
                self._wakers.pop(key, None)

        return forget


class EndSwitch:
    """Asks a run in turns to end after the turn under way; other runs do not listen. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake: Callable[[], None] | None = None
        self._asked = False

    @property
    def asked(self) -> bool:
        return self._asked

    def ask(self) -> bool:
        """Whether the run will end by itself; one that does not listen must be cancelled."""
        with self._lock:
            if self._wake is None:
                return False
            self._asked = True
            self._wake()
            return True

    @contextmanager
    def heard(self, wake: Callable[[], None]) -> Iterator[None]:
        """While a run listens; `wake` is called when it is asked."""
        with self._lock:
            self._wake = wake
        try:
            yield
        finally:
            with self._lock:
                self._wake = None
