"""^C: counted while something runs, instead of ending whatever Python does at that moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

LOOK_EVERY_S: Final = 0.1
"""How long ^C may go unseen where the system gave the signal to another thread."""


class Interrupts:
    """`count` is how often ^C was pressed since `heard` was entered. For the main thread."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def heard(self) -> Iterator[None]:
        """^C only counts inside."""
        self.count = 0
        before = signal.signal(signal.SIGINT, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def wait(self, duration_s: float) -> bool:
        """Sleep; False when ^C ended it early."""
        until = time.monotonic() + duration_s
        while not self.count and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_EVERY_S))
        return not self.count

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
