"""How a plugin's process ends: with the end of file on stdin, or with SIGTERM.

The engine holds the other end of stdin, so its end is the engine's, however that came about. A thread of its
own waits for it, and ends the process also when user code never returns.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

EXIT_WAIT_S: Final = 2.0
"""After so long the process ends, whatever user code still does."""

_FOLDER_FILES: Final = ("control.sock", "lanes.sock", "owner.lock")


class Lifeline:
    """Make it in the main thread, before user code runs. `on_end` is called once, at the end."""

    def __init__(self, folder: Path) -> None:
        self.on_end: Callable[[], None] | None = None
        self._folder = folder
        self._stdin = _taken_stdin()
        self._signals, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda number, frame: None)  # the thread below sees it
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._wait, name="heddle-lifeline", daemon=True).start()

    def end(self) -> None:
        """End the process now; does not return."""
        closer = threading.Thread(target=self._close, name="heddle-end", daemon=True)
        closer.start()
        closer.join(EXIT_WAIT_S)
        for name in _FOLDER_FILES:
            with suppress(OSError):
                (self._folder / name).unlink()
        with suppress(OSError):
            self._folder.rmdir()
        os._exit(0)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._stdin, select.POLLIN)
        poll.register(self._signals, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                read = os.read(descriptor, 4096)
                if descriptor == self._stdin and not read:
                    self.end()
                if descriptor == self._signals and signal.SIGTERM in read:
                    self.end()

    def _close(self) -> None:
        if self.on_end is not None:
            self.on_end()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()


def _taken_stdin() -> int:
    """Our own descriptor of stdin; user code, and what it starts, gets an empty one."""
    taken = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return taken
