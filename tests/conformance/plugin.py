"""A conformance plugin of one language, reached as the engine reaches it."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pyarrow as pa

from heddle.core.config import ConfigValue, convert_fields
from heddle.core.link import Link
from heddle.core.signature import ModuleSignature
from heddle.core.wire import plugin_pb2 as wire
from heddle.udf_bridge.describing import build_project, describe_project
from heddle.udf_bridge.hosts import Host, PluginHosts
from heddle.udf_bridge.merging import Mergers
from heddle.udf_bridge.project import read_project
from heddle.udf_bridge.remote import RemoteTransport
from heddle.udf_bridge.remote_chain import RemoteChain
from heddle.udf_bridge.transport import (
    Batching,
    CallContext,
    CallResult,
    PluginOutput,
    Report,
    ResourceBinding,
    StepBinding,
    StepSession,
)

ROOT = Path(__file__).parents[2]
PROJECTS = {
    "python": ROOT / "tests/conformance/plugins/python",
    "go": ROOT / "sdk/go/conformance",
    "rust": ROOT / "sdk/rust/conformance",
    "node": ROOT / "sdk/node/conformance",
}
ENVIRON = {**os.environ, "CONFORMANCE_REGION": "north", "CONFORMANCE_OTHER": "not declared"}
PATIENCE_S = 60.0
SILENT_S = 5.0
"""A plugin that does not answer for so long is in a call."""


@dataclass
class Told:
    """What the bridge reported, in order."""

    reports: list[Report] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, report: Report) -> None:
        with self.changed:
            self.reports.append(report)
            self.changed.notify_all()

    __hash__ = object.__hash__

    def of(self, kind: type) -> list[Report]:
        return [r for r in self.reports if isinstance(r, kind)]

    def wait_for(self, wanted: Callable[[Report], bool]) -> Report:
        with self.changed:
            found = self.changed.wait_for(lambda: any(map(wanted, self.reports)), PATIENCE_S)
        assert found, f"not told within {PATIENCE_S} s; told: {self.reports}"
        return next(r for r in self.reports if wanted(r))

    def wait_for_line(self, text: str) -> Report:
        return self.wait_for(lambda r: isinstance(r, PluginOutput) and text in r.line)


class StepCalls(ABC):
    """Single calls of steps, for whoever opens sessions."""

    @abstractmethod
    def session(self, step: str, config: Mapping[str, ConfigValue] | None = None) -> StepSession: ...

    def call(
        self, step: str, rows: pa.Table | None, config: Mapping[str, ConfigValue] | None = None
    ) -> CallResult:
        """One call of a step in a session of its own."""
        session = self.session(step, config)
        try:
            return session.invoke(rows, context())
        finally:
            session.close()

    def output(
        self, step: str, rows: pa.Table | None, config: Mapping[str, ConfigValue] | None = None
    ) -> pa.Table:
        output = self.call(step, rows, config).output
        assert output is not None
        return output


class Conformance(StepCalls):
    """The plugin of a language. Sessions are closed with it."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.folder = PROJECTS[language]
        self.module: ModuleSignature = describe_project(
            self.folder, f"./{language}", ENVIRON, lambda line: None
        )
        project = read_project(self.folder)
        build_project(project, self.module.code_hash, lambda line: None)
        self.launch = project.launch(self.module.code_hash)
        self.hosts = PluginHosts(ENVIRON)
        self.told = Told()
        self._mergers = Mergers()
        self.host.subscribe(self.told)
        self.sessions: list[StepSession] = []
        self.chains: list[RemoteChain] = []

    @property
    def host(self) -> Host:
        return self.hosts.host(self.launch)

    @property
    def pid(self) -> int:
        return self.host.connection().process.pid

    def in_call(self) -> bool:
        """Whether a call has reached the plugin; one that has but one thread does not answer in a call."""
        control = self.host.connection().control
        try:
            return control.call(wire.HealthRequest(), wire.HealthResponse, SILENT_S).calls > 0
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            return True

    def session(
        self,
        step: str,
        config: Mapping[str, ConfigValue] | None = None,
        *,
        counter: Mapping[str, ConfigValue] | None = None,
        output: pa.Schema | None = None,
        batching: Batching | None = None,
        told: Told | None = None,
    ) -> StepSession:
        """A step with the settings that a program would give it; `counter` are those of the resource."""
        signature = self.module.steps[step]
        resources = {}
        if counter is not None:
            filled = convert_fields(counter, self.module.resources["counter"].config)
            resources["counter"] = ResourceBinding("visits", self.module, "counter", filled)
        binding = StepBinding(
            f"W.{step}",
            self.module,
            signature,
            convert_fields(config or {}, signature.config),
            resources,
            str(self.folder),
            output,
            batching,
        )
        transport = RemoteTransport(self.hosts, self._mergers, lambda module: self.launch)
        session = transport.open(binding, told or self.told)
        self.sessions.append(session)
        return session

    def chain(self, *members: tuple[str, Mapping[str, ConfigValue], Link]) -> RemoteChain:
        """Steps with their settings and links, in one call."""
        bindings = [
            StepBinding(
                f"W.{step}",
                self.module,
                self.module.steps[step],
                convert_fields(config, self.module.steps[step].config),
                {},
                str(self.folder),
                None,
                link=link,
            )
            for step, config, link in members
        ]
        transport = RemoteTransport(self.hosts, self._mergers, lambda module: self.launch)
        chain = transport.open_chain(bindings, self.told)
        assert chain is not None, "every SDK knows chains"
        self.chains.append(chain)
        return chain

    def close(self) -> None:
        for session in (*self.sessions, *self.chains):
            session.close()
        self.hosts.close()


@contextmanager
def conformance(language: str) -> Iterator[Conformance]:
    plugin = Conformance(language)
    try:
        yield plugin
    finally:
        plugin.close()


@dataclass
class Cancel:
    """Stands for the run's cancel token."""

    cancelled: bool = False
    wakers: list[Callable[[], None]] = field(default_factory=list)

    def on_cancel(self, wake: Callable[[], None]) -> Callable[[], None]:
        self.wakers.append(wake)
        if self.cancelled:
            wake()
        return lambda: self.wakers.remove(wake)

    def cancel(self) -> None:
        self.cancelled = True
        for wake in list(self.wakers):
            wake()


def context(
    cancel: Cancel | None = None,
    *,
    deadline_s: float | None = None,
    key: str | None = "run-1/W.step/0",
    attempt: int = 1,
) -> CallContext:
    stop = cancel or Cancel()
    return CallContext(
        "run-1", "W", "conformance.step", attempt, key, deadline_s, lambda: stop.cancelled, stop.on_cancel
    )


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition outside of this process. Fails after a while."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S} s"
        pause.wait(0.01)
