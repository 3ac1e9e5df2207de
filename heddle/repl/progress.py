"""How far a long statement is, in one line of the terminal that is gone when something else is shown."""

from __future__ import annotations

import time
from typing import Final, TextIO

SHOWN_AFTER_S: Final = 0.5
CLEAR_LINE: Final = "\r\x1b[K"
"""Also of the `^C` that a terminal shows."""


class Progress:
    """`stream` is None where nobody watches. `tick` is called while the statement runs."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._shown = ""
        self._ended: float | None = None
        self.rows = 0
        self.cancelling = False

    @property
    def elapsed_s(self) -> float:
        return (self._ended or time.monotonic()) - self._started

    def end(self) -> None:
        """The time stops, at the first call, and the line is gone."""
        self._ended = self._ended or time.monotonic()
        self.clear()

    def tick(self) -> None:
        if self._stream is None or (self.elapsed_s < SHOWN_AFTER_S and not self.cancelling):
            return
        hint = "is being cancelled; ^C again does not wait for it" if self.cancelling else "^C cancels"
        line = f"{self.elapsed_s:.1f} s, {self.rows:,} rows ({hint})"
        if line != self._shown:
            self._stream.write(f"{CLEAR_LINE}{line}")
            self._stream.flush()
            self._shown = line

    def clear(self) -> None:
        if self._stream is not None and (self._shown or self.cancelling):
            self._stream.write(CLEAR_LINE)
            self._stream.flush()
            self._shown = ""
