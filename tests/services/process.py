"""A server's process: in a session of its own, and gone when its owner is gone, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

END_S = 30.0

# Holds the reading end of a pipe to its owner. A line means that the owner has ended the server itself; the
# end of the pipe means that the owner is dead. PostgreSQL's backends leave the group, so its postmaster
# is asked to end them (QUIT) before the group is killed.
GUARD = """
read -r line && exit
kill -s "$2" "$1"
tries=0
while kill -0 "$1" 2>/dev/null && [ $tries -lt 25 ]; do sleep 0.2; tries=$((tries + 1)); done
kill -s KILL -- "-$1" 2>/dev/null
rm -rf "$3"
"""


class GuardedProcess:
    """A running program. `folder` goes with it when its owner is killed."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        log: Path,
        crash_signal: signal.Signals,
        environ: Mapping[str, str],
    ) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **environ},
                start_new_session=True,
            )
        arguments = [str(self._process.pid), crash_signal.name.removeprefix("SIG"), str(folder)]
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def members(self) -> list[psutil.Process]:
        """The process and all that it has started."""
        try:
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def listens_on(self, port: int) -> bool:
        """A server of somebody else on the same port is not ours."""
        return any(_listens(member, port) for member in self.members())

    def end(self, how: signal.Signals) -> None:
        """Ask it to end, and wait; who does not end within `END_S` is killed."""
        members = self.members()
        if self.exit_code is None:
            self._process.send_signal(how)
        self._gone(members)

    def kill(self) -> None:
        """A crash: nothing of it gets to clean up."""
        members = self.members()
        for member in members:
            _kill(member)
        self._gone(members)

    def _gone(self, members: Iterable[psutil.Process]) -> None:
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)
        deadline = time.monotonic() + END_S
        for member in members:
            while _lives(member):
                if time.monotonic() > deadline:
                    _kill(member)
                time.sleep(0.005)
        self._guard.communicate(b"ended\n", END_S)


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:  # it has ended, or is another user's and tells nothing
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def _lives(process: psutil.Process) -> bool:
    """A process that waits for `init` to take note of its end has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
