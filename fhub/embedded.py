"""Servers that a connector starts for itself: a folder in place of a host, `"embedded:.heddle/postgresql"`.

A server belongs to one run at a time. It ends with its owner, however that one ends.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Self, TypeVar

from heddle.core.resource import ResourceConfig

Config = TypeVar("Config", bound=ResourceConfig)

EMBEDDED: Final = "embedded:"
READY_S: Final = 60.0
END_S: Final = 30.0
LOOK_S: Final = 0.02
LOG_LINES: Final = 8
# Reads until its owner closes the pipe, or is gone; then it ends the server, and removes its scratch folder.
_GUARD: Final = """
read -r _
kill -s "$2" "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -s KILL "$1" 2>/dev/null
[ -z "$3" ] || rm -rf "$3"
"""


class EmbeddedError(RuntimeError):
    """The server cannot be had; the message says why, and what to do."""


def embedded_folder(setting: str, base: Path) -> Path | None:
    """The folder that a setting names in place of a host; None when it names a host."""
    if not setting.startswith(EMBEDDED):
        return None
    return (base / Path(setting.removeprefix(EMBEDDED)).expanduser()).absolute()


class OwnedFolder:
    """A private folder that nobody else uses meanwhile. Raises `EmbeddedError`."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock: IO[str] = (path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise EmbeddedError(
                f"{what} in {path} is in use by another run; wait for its end, or name another folder"
            ) from error

    def release(self) -> None:
        self._lock.close()


class ServerProcess:
    """A child process that is ended with this process at the latest. `scratch` is a folder that goes with
    it."""

    def __init__(
        self,
        command: Sequence[str],
        what: str,
        log: Path,
        *,
        stop: signal.Signals = signal.SIGTERM,
        environ: Mapping[str, str] | None = None,
        scratch: Path | None = None,
    ) -> None:
        self.what = what
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(self._process.pid), stop.name[3:], str(scratch or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_until(self, ready: Callable[[], bool]) -> Self:
        """Raises `EmbeddedError` when the server ends, or is not ready in time."""
        until = time.monotonic() + READY_S
        while not ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.close()
                raise EmbeddedError(f"{self.what} did not start:\n{self._log_end()}")
            time.sleep(LOOK_S)
        return self

    def close(self) -> None:
        """Ask it to end, and wait."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._guard.wait()

    def _log_end(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES:]) or "  it said nothing"


def free_port() -> int:
    """A port of the loopback interface that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def with_settings(config: Config, **changes: object) -> Config:
    """The same settings but for these."""
    values = {name: getattr(config, name) for name in type(config).setting_annotations()}
    return type(config)(base=str(config.base), **{**values, **changes})
