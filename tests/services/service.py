"""A server that tests talk to: started on a free port in a folder of its own, and gone afterwards.

A service that is not installed or does not start fails its tests: none is replaced by an imitation, none
is left out.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.services.process import GuardedProcess

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
LOGS = CACHE / "services" / "logs"
HOST = "127.0.0.1"
READY_S = 120.0
ANSWER_S = 5.0
PORT_TRIES = 8
# Below the ports that systems give to clients: a client that reconnects could take the port of a server
# that restarts, or even connect to itself.
PORTS = range(20_000, 32_000)
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

_numbers = count(1)


class ServiceMissing(RuntimeError):
    """What the service is made of is not here."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not installed: `make test` installs it (tools/services.sh)")


class ServiceFailed(RuntimeError):
    """The service ended, or did not answer in time; the message ends with its log."""


class Service(ABC):
    """One server. `start` and `restart` return when it answers; `with` stops it at the end."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    # For a service whose owner was killed.
    crash_signal: ClassVar[signal.Signals] = signal.SIGKILL
    running: ClassVar[list[Service]] = []

    def __init__(self) -> None:
        self.folder = Path()
        self.log = Path()
        self.port = 0
        self._process: GuardedProcess | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Fill `folder`, once. Raises ServiceMissing."""

    @abstractmethod
    def command(self) -> list[str]:
        """What is to run, for `folder` and `port`."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether a real request is answered."""

    def environ(self) -> Mapping[str, str]:
        return {}

    @property
    def process(self) -> GuardedProcess:
        assert self._process is not None, f"{self.name} is not running"
        return self._process

    def start(self) -> Self:
        LOGS.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"heddle-{self.name}-"))
        self.log = LOGS / f"{self.folder.name}-{next(_numbers)}.log"
        try:
            self.prepare()
            for _ in range(PORT_TRIES):
                self.port = free_port()
                if self._launch():
                    Service.running.append(self)
                    return self
            raise self._failure(f"found no free port in {PORT_TRIES} tries")
        except BaseException:
            self._end(signal.SIGKILL)
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def restart(self) -> None:
        """On the same port and with the same data, also after `kill`."""
        self._end(self.stop_signal)
        if not self._launch():
            raise self._failure(f"cannot have its port {self.port} again")

    def kill(self) -> None:
        """As a crash does. `restart` brings it back."""
        self.process.kill()
        self._process = None

    def stop(self, *, keep_log: bool = False) -> None:
        self._end(self.stop_signal)
        if self in Service.running:
            Service.running.remove(self)
        shutil.rmtree(self.folder)
        if not keep_log:
            self.log.unlink(missing_ok=True)

    def log_tail(self, line_count: int = 40) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-line_count:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(keep_log=error is not None)

    def _launch(self) -> bool:
        """Run it until it answers. False: somebody else has the port."""
        logged = self.log.stat().st_size if self.log.exists() else 0
        self._process = GuardedProcess(
            self.command(), self.folder, self.log, self.crash_signal, self.environ()
        )
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self._process.exit_code is not None:
                code = self._process.exit_code
                self._end(self.stop_signal)
                with self.log.open(errors="replace") as log:
                    log.seek(logged)
                    if re.search("address (is )?already in use|couldn't bind", log.read(), re.IGNORECASE):
                        return False
                raise self._failure(f"ended with exit code {code} before it answered")
            if self._process.listens_on(self.port) and self.answers():
                return True
            time.sleep(0.02)
        self._end(signal.SIGKILL)
        raise self._failure(f"did not answer within {READY_S:.0f} s")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(how)
            self._process = None

    def _failure(self, what: str) -> ServiceFailed:
        return ServiceFailed(f"{self.name} {what}; the end of {self.log}:\n{self.log_tail()}")


def free_port() -> int:
    """A port that nobody has at this moment, and that no other worker of the run is given."""
    while True:
        port = random.choice(PORTS[_WORKER::_WORKERS])
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port that is held without listening: who connects is refused, and nobody else can take it."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        yield held.getsockname()[1]
