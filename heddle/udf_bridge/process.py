"""One plugin process, from its start to its end (protocol.md, "Start" and "End").

`start` waits until it is ready; its output goes line by line to `report`; `stop` drains and, where that
does not help, kills it with its whole process group. Its stdin is its lifeline.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Literal

from heddle.core.private_folder import PrivateFolder
from heddle.udf_bridge.launch import Launch, process_environment
from heddle.udf_bridge.transport import PluginOutput, Reporter

READY_LINE: Final = "heddle-plugin 1"
TAIL_LINES: Final = 20
LINE_BYTES_MAX: Final = 16 << 10
EXIT_WAIT_S: Final = 5.0
TERMINATE_WAIT_S: Final = 2.0
SOCKET_PATH_BYTES_MAX: Final = 100
"""The system allows 104 to 108 bytes for a socket's path."""


class PluginStartError(Exception):
    """The process could not be started, or did not get ready."""


class PluginProcess:
    """A running process. `pid` is also its process group."""

    def __init__(self, launch: Launch, number: int, environ: Mapping[str, str], report: Reporter) -> None:
        """Starts it, without waiting. Raises `PluginStartError`."""
        self.launch = launch
        self._report = report
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._ready = threading.Event()
        self._is_ready = False
        self._folder = _folder(number)
        self.started_at = time.monotonic()
        try:
            self._process = subprocess.Popen(
                launch.command,
                cwd=launch.folder,
                env=process_environment(environ, self._folder.path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self._folder.remove()
            raise PluginStartError(
                f"the plugin `{launch.name}` cannot be started: `{launch.command[0]}` "
                f"({error.strerror or error})"
            ) from error
        if launch.memory_bytes is not None:
            _limit_memory(self.pid, launch.memory_bytes)
        self._pumps = [self._pump("stdout"), self._pump("stderr")]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def control_path(self) -> str:
        return str(self._folder.path / "control.sock")

    @property
    def lanes_path(self) -> str:
        return str(self._folder.path / "lanes.sock")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Raises `PluginStartError` when it ends before, or takes too long; then it is gone."""
        if self._ready.wait(self.launch.start_timeout_s) and self._is_ready:
            return
        timed_out = self.alive and not self._ready.is_set()
        self.kill()
        if timed_out:
            raise PluginStartError(
                f"the plugin `{self.launch.name}` was not ready within "
                f"{self.launch.start_timeout_s:g} s{self.tail_text()}"
            )
        raise PluginStartError(
            f"the plugin `{self.launch.name}` ended before it was ready ({self.ending()}){self.tail_text()}"
        )

    def ending(self) -> str:
        """How it ended, for people; waits a moment for a process that is on its way out."""
        try:
            code = self._process.wait(EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            return "it is still running"
        if code >= 0:
            return f"exit status {code}"
        name = signal.Signals(-code).name
        limit = self.launch.memory_bytes
        of_memory = f", with a memory limit of {limit >> 20} MB" if limit is not None else ""
        return f"killed by {name}{of_memory}"

    def tail_text(self) -> str:
        """The last lines that it wrote, to stand at the end of a message; empty when there are none."""
        for pump in self._pumps:
            pump.join(TERMINATE_WAIT_S if not self.alive else 0.0)
        return "".join(f"\n  {line}" for line in list(self._tail))

    def stop(self) -> None:
        """End it kindly: end of file on stdin, then SIGTERM, then SIGKILL. Waits for its end."""
        self._close_stdin()
        if not self._waited(EXIT_WAIT_S):
            self._signal(signal.SIGTERM)
            self._waited(TERMINATE_WAIT_S)
        self.kill()

    def kill(self) -> None:
        """End the process group at once. Waits for its end; more than once does no harm."""
        self._signal(signal.SIGKILL)
        self._close_stdin()
        self._process.wait()
        for pump in self._pumps:
            pump.join(TERMINATE_WAIT_S)
        self._folder.remove()

    def hang_up(self) -> None:
        """End of file on its stdin: for it, the engine is gone."""
        self._close_stdin()

    def wait_end(self, timeout_s: float) -> bool:
        """Whether it ends within the time."""
        return self._waited(timeout_s)

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _waited(self, timeout_s: float) -> bool:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _pump(self, stream: Literal["stdout", "stderr"]) -> threading.Thread:
        pipe = self._process.stdout if stream == "stdout" else self._process.stderr
        assert pipe is not None, "both are pipes"
        thread = threading.Thread(
            target=self._read_lines, args=(stream, pipe), name=f"heddle-plugin-{stream}", daemon=True
        )
        thread.start()
        return thread

    def _read_lines(self, stream: Literal["stdout", "stderr"], pipe: IO[bytes]) -> None:
        with pipe:
            while data := pipe.readline(LINE_BYTES_MAX):
                line = data.decode("utf-8", "replace").rstrip("\r\n")
                if stream == "stdout" and not self._is_ready and line == READY_LINE:
                    self._is_ready = True
                    self._ready.set()
                    continue
                self._tail.append(line)
                self._report(PluginOutput(self.launch.name, stream, line))
        if stream == "stdout":
            self._ready.set()


def _folder(number: int) -> PrivateFolder:
    """In the temporary folder, or in /tmp where that is too deep for the path of a socket."""
    name = f"plugin-{os.getpid()}-{number}"
    parent = Path(tempfile.gettempdir())
    longest = parent / f"heddle-{os.getuid()}" / name / "control.sock"
    if len(os.fsencode(longest)) > SOCKET_PATH_BYTES_MAX:
        parent = Path("/tmp")
    return PrivateFolder(name, parent)


def _limit_memory(pid: int, size_bytes: int) -> None:
    """What the process may allocate for itself; shared memory does not count."""
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_DATA, (size_bytes, size_bytes))
