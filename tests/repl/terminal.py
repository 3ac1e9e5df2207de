"""A terminal with a program in it: what is typed goes in, the screen is what a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import psutil
import pyte

DEADLINE_S: Final = 120.0
"""Far more than anything takes: only what hangs comes near it."""


_IN_OWN_TERMINAL: Final = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""^C goes to the program of a terminal that it controls."""


class Terminal:
    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        *,
        columns: int = 100,
        lines: int = 40,
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=5_000)
        self._stream = pyte.ByteStream(self._screen)
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.write_process_input = lambda data: os.write(self._leader, data.encode())
        self.seen = b""
        """All that came, with what moved the cursor."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _IN_OWN_TERMINAL, *command],
            cwd=folder,
            env=environ,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(DEADLINE_S)
        os.close(self._leader)

    def type(self, text: str) -> None:
        os.write(self._leader, text.encode())

    def enter(self, text: str) -> None:
        self.type(f"{text}\r")

    @property
    def text(self) -> str:
        """The screen and what has left it at the top, without what ends lines."""
        above = ["".join(line[x].data for x in sorted(line)) for line in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*above, *self._screen.display]).rstrip()

    def wait_for(self, wanted: str | Callable[[str], object]) -> str:
        """Until the text has the words, or is as wanted; it is the result."""
        until = time.monotonic() + DEADLINE_S
        while not (wanted in self.text if isinstance(wanted, str) else wanted(self.text)):
            assert time.monotonic() < until, f"{wanted!r} did not come:\n{self.text}"
            if not self._read(0.2) and self._process.poll() is not None and not self._read(0):
                assert wanted in self.text if isinstance(wanted, str) else wanted(self.text), self.text
        return self.text

    def prompt(self, count: int, prompt: str = "sql>") -> str:
        """Until so many prompts have come, the last of them with nothing behind it."""
        return self.wait_for(
            lambda text: len(re.findall(f"^{prompt}", text, re.MULTILINE)) >= count and text.endswith(prompt)
        )

    def end(self) -> int:
        """The exit code, when the program has ended by itself."""
        until = time.monotonic() + DEADLINE_S
        while self._process.poll() is None:
            assert time.monotonic() < until, f"it did not end:\n{self.text}"
            self._read(0.1)
        while self._read(0):
            pass
        return self._process.returncode

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def processes(self) -> list[psutil.Process]:
        """The program and all that it has started."""
        program = psutil.Process(self._process.pid)
        return [program, *program.children(recursive=True)]

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self._leader], [], [], timeout_s)
        if not ready:
            return False
        try:
            data = os.read(self._leader, 65_536)
        except OSError:  # the program has gone
            return False
        self.seen += data
        self._stream.feed(data)
        return bool(data)
