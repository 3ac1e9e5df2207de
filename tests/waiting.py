"""Waiting for what other threads and processes do: for a condition, and not for a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 60.0
LOOK_EVERY_S: Final = 0.005


def until(holds: Callable[[], bool], failure: str = "it does not happen") -> None:
    """Returns when the condition holds; fails, with the words `failure`, when it does not for long."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, f"after {PATIENCE_S:g} s: {failure}"
        pause.wait(LOOK_EVERY_S)
