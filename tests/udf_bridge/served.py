"""The conformance plugin behind a real gateway process, reached as the engine reaches it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from heddle.core.config import ConfigValue, convert_fields
from heddle.core.signature import ModuleSignature
from heddle.core.wire.description import decode_module
from heddle.udf_bridge.address import GatewayAddress, parse_url
from heddle.udf_bridge.flight import FlightTransport, GatewayClient, GatewayClients
from heddle.udf_bridge.merging import Mergers
from heddle.udf_bridge.transport import Batching, ResourceBinding, StepBinding, StepSession
from tests.conformance.plugin import ENVIRON, PATIENCE_S, PROJECTS, StepCalls, Told, context


class GatewayProcess:
    """`heddle plugin serve`, ready."""

    def __init__(self, arguments: Sequence[str], listen: str, folder: Path) -> None:
        command = [sys.executable, "-m", "heddle", "plugin", "serve", str(folder), "--listen", listen]
        self._process = subprocess.Popen(
            [*command, *arguments], env=ENVIRON, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        found = re.search(r"on (grpc\S+)$", self.wait_for_line("serving "))
        assert found is not None, self.lines
        self.url = found[1]

    @property
    def place(self) -> str:
        return self.url.partition("://")[2]

    def wait_for_line(self, text: str) -> str:
        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._changed:
            line = self._changed.wait_for(found, PATIENCE_S)
        assert line is not None, f"no line with {text!r} within {PATIENCE_S} s: {self.lines}"
        return line

    def kill(self) -> None:
        self._process.kill()
        self._ended()

    def pause(self) -> None:
        """It keeps its connections and says nothing any more."""
        self._process.send_signal(signal.SIGSTOP)

    def terminate(self) -> int:
        """Ask it to end; gives the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._ended()

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()

    def _ended(self) -> int:
        code = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()


class Served(StepCalls):
    """An engine's side of a gateway."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        authority: Path | None = None,
        lease_s: float = 60.0,
        holds_secret: Callable[[str], bool] = lambda text: False,
        module: ModuleSignature | None = None,
    ) -> None:
        self.address = GatewayAddress(parse_url(url), token, authority)
        self.probe = GatewayClient("conformance", self.address, "")
        self.module = module or self.described()
        self.told = Told()
        self._clients = GatewayClients(lease_s)
        self._transport = FlightTransport(self._clients, Mergers(), lambda module: self.address, holds_secret)
        self._sessions: list[StepSession] = []

    def described(self) -> ModuleSignature:
        description, code_hash = self.probe.describe()
        return decode_module(description, "conformance", code_hash, str(self.address.url))

    @property
    def calls(self) -> int:
        """Calls under way, as the gateway says."""
        return self.probe.health().calls

    def session(
        self,
        step: str,
        config: Mapping[str, ConfigValue] | None = None,
        *,
        counter: Mapping[str, ConfigValue] | None = None,
        batching: Batching | None = None,
        told: Told | None = None,
    ) -> StepSession:
        signature = self.module.steps[step]
        resources = {}
        if counter is not None:
            filled = convert_fields(counter, self.module.resources["counter"].config)
            resources["counter"] = ResourceBinding("visits", self.module, "counter", filled)
        settings = convert_fields(config or {}, signature.config)
        binding = StepBinding(
            f"W.{step}", self.module, signature, settings, resources, "/nowhere", None, batching
        )
        return self.open(binding, told or self.told)

    def open(self, binding: StepBinding, told: Told) -> StepSession:
        session = self._transport.open(binding, told)
        self._sessions.append(session)
        return session

    def close(self) -> None:
        for session in self._sessions:
            session.close()
        self._clients.close()
        self.probe.close()


@contextmanager
def gateway(
    arguments: Sequence[str] = (), listen: str = "127.0.0.1:0", folder: Path = PROJECTS["python"]
) -> Iterator[GatewayProcess]:
    process = GatewayProcess(arguments, listen, folder)
    try:
        yield process
    finally:
        process.close()


@contextmanager
def served(url: str, token: str | None = None, authority: Path | None = None) -> Iterator[Served]:
    side = Served(url, token, authority)
    try:
        yield side
    finally:
        side.close()


def hold(url: str, what: str) -> None:
    """Hold a resource, with a short lease, or a call, and wait for the end that somebody makes."""
    if what == "resource":
        side = Served(url, lease_s=1.0)
        side.session("count", counter={"start": 7}).invoke(None, context())
        sys.stdout.write("held\n")
        sys.stdout.flush()
        os.read(0, 1)
    else:
        rows = pa.table({"x": [1]})
        Served(url).call("sleep", rows, {"seconds": 600.0})


if __name__ == "__main__":
    hold(*sys.argv[1:])
