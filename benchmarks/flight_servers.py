"""The servers that `benchmarks.flightsql` asks, each in processes of its own.

`heddle`, `roapi` and `discarding` start one, wait until it answers, and end it. A `Server` tells what
it takes of the machine.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.flight

from benchmarks.processes import tree

HOST = "127.0.0.1"
READY_S = 60.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class NotInstalled(Exception):
    """A side that cannot be measured here."""


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    port: int
    pid: int
    native_port: int | None = None

    @property
    def uri(self) -> str:
        return f"grpc://{HOST}:{self.port}"

    @property
    def native(self) -> Server:
        """The same server at its other port."""
        assert self.native_port is not None, "only Heddle's has one"
        return replace(self, name=f"{self.name}, native", port=self.native_port)

    def cpu_s(self) -> float:
        """What the server's processes have computed so far."""
        return sum(_cpu_s(pid) for pid in tree(self.pid))

    def memory_bytes(self) -> int:
        """What the server's processes have of their own."""
        return sum(_own_bytes(pid) for pid in tree(self.pid))


@contextmanager
def heddle(program: Path) -> Iterator[Server]:
    command = Path(sys.executable).with_name("heddle")
    native = free_port()

    def line(port: int) -> list[str]:
        return [str(command), "serve", str(program), "--flight", str(port), "--native", str(native)]

    with _running("heddle", line, program.parent) as server:
        yield replace(server, native_port=native)


@contextmanager
def roapi(table: str, path: Path) -> Iterator[Server]:
    """A table that it keeps in memory. Raises `NotInstalled`."""
    command = Path(sys.executable).with_name("roapi")
    if not command.exists():
        raise NotInstalled("roapi is not installed: pip install roapi")

    def line(port: int) -> list[str]:
        doors = [f"{HOST}:{free_port()}" for _ in range(2)]
        listens = [
            "--addr-http",
            doors[0],
            "--addr-postgres",
            doors[1],
            "--addr-flight-sql",
            f"{HOST}:{port}",
        ]
        return [str(command), *listens, "--table", f"{table}={path}"]

    with _running("roapi", line, path.parent) as server:
        yield server


@contextmanager
def discarding(folder: Path) -> Iterator[Server]:
    """A server of pyarrow that reads what is put, in C++, and forgets it."""
    with _running(
        "discarding", lambda port: [sys.executable, "-m", "benchmarks.flight_servers", str(port)], folder
    ) as server:
        yield server


@contextmanager
def _running(name: str, command: Callable[[int], Sequence[str]], folder: Path) -> Iterator[Server]:
    port = free_port()
    log = folder / f"{name}.log"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with log.open("wb") as said:
        process = subprocess.Popen(
            command(port), cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    try:
        _wait(process, port, log)
        yield Server(name, port, process.pid)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"a server does not answer:\n{log.read_text(errors='replace')}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _own_bytes(pid: int) -> int:
    """Resident, without pages of files, which the system takes back when it likes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


class Discarding(pa.flight.FlightServerBase):
    def do_put(self, context: object, descriptor: object, reader: object, writer: object) -> None:
        while True:
            try:
                reader.read_chunk()
            except StopIteration:
                return


if __name__ == "__main__":
    Discarding(f"grpc://{HOST}:{sys.argv[1]}").serve()
