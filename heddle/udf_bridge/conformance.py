"""Cases that any plugin must pass, whatever it offers: what `heddle plugin test` runs.

They call nothing that could change the world: only steps that are deterministic, need neither settings nor
resources, and take an input whose columns are known are called, with a table without rows.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature
from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.control import PROTOCOL
from heddle.core.wire.lanes import FRAME_BYTES_MAX
from heddle.udf_bridge.connection import Connection
from heddle.udf_bridge.hosts import PluginHosts
from heddle.udf_bridge.keys import BindingKey
from heddle.udf_bridge.launch import Launch
from heddle.udf_bridge.merging import Mergers
from heddle.udf_bridge.remote import RemoteTransport
from heddle.udf_bridge.transport import CallContext, StepBinding, StepFailure

END_WITHIN_S: Final = 10.0
GARBAGE: Final = (
    b"GET / HTTP/1.1\r\n\r\n",
    (FRAME_BYTES_MAX + 1).to_bytes(4, "little"),
    b"\x05\0\0\0\xff",
)
ABSENT: Final = "heddle_conformance_absent"


class CaseFailed(Exception):
    """What a plugin did that it must not do."""


@record(frozen=True, slots=True)
class CaseResult:
    """`problem` is None when the case passed."""

    name: str
    problem: str | None
    duration_s: float


@record(frozen=True, slots=True)
class Subject:
    """The plugin under test."""

    hosts: PluginHosts
    launch: Launch
    module: ModuleSignature

    @property
    def connection(self) -> Connection:
        return self.hosts.host(self.launch).connection()


Case: TypeAlias = Callable[[Subject], None]


def run_cases(launch: Launch, module: ModuleSignature, environ: Mapping[str, str]) -> Iterator[CaseResult]:
    """Each case's result as it is known; the plugin runs in a process of its own."""
    hosts = PluginHosts(environ)
    subject = Subject(hosts, launch, module)
    try:
        for name, case in CASES.items():
            started = time.monotonic()
            problem: str | None = None
            try:
                case(subject)
            except CaseFailed as failed:
                problem = str(failed)
            except StepFailure as failure:
                problem = failure.message
            yield CaseResult(name, problem, time.monotonic() - started)
    finally:
        hosts.close()


def _starts(subject: Subject) -> None:
    if not subject.connection.alive:
        raise CaseFailed("its process ended after the handshake")


def _same_description(subject: Subject) -> None:
    again = subject.connection.module(subject.module.path, subject.module.code_hash, subject.module.origin)
    if again != subject.module:
        raise CaseFailed("it describes itself otherwise in another process; descriptions must not vary")


def _names(subject: Subject) -> None:
    module = subject.module
    if not module.steps:
        raise CaseFailed("it offers no step")
    for step in module.steps.values():
        if not step.doc:
            raise CaseFailed(f"the step `{step.name}` has no documentation")


def _refuses_other_protocols(subject: Subject) -> None:
    request = wire.HandshakeRequest(protocol_min=PROTOCOL + 100, protocol_max=PROTOCOL + 100)
    answer = subject.connection.control.call(request, wire.HandshakeResponse)
    if answer.protocol or not answer.failure.message:
        raise CaseFailed("it accepts a protocol version that it cannot know")


def _refuses_unknown_steps(subject: Subject) -> None:
    _refused(subject, BindingKey(ABSENT, "{}", (), ""), "a step that it does not have")


def _refuses_unknown_settings(subject: Subject) -> None:
    for step in _runnable(subject):
        if not step.config_open:
            key = BindingKey(step.name, json.dumps({ABSENT: 1}), (), "")
            _refused(subject, key, f"the unknown setting of `{step.name}`")


def _refuses_missing_settings(subject: Subject) -> None:
    for step in _runnable(subject):
        if any(f.required for f in step.config):
            _refused(subject, BindingKey(step.name, "{}", (), ""), f"missing settings of `{step.name}`")


def _keeps_its_contract(subject: Subject) -> None:
    """Steps that can be called without harm give what they declare, even for no rows."""
    transport = RemoteTransport(subject.hosts, Mergers(), lambda module: subject.launch)
    for step in _runnable(subject):
        harmless = step.deterministic and not step.slots and not any(f.required for f in step.config)
        if not harmless or step.input_mode == "none" or not step.input.columns:
            continue
        if any(c.type is None for c in step.input.columns):
            continue
        config = {f.name: f.default for f in step.config}
        binding = StepBinding(step.name, subject.module, step, config, {}, str(Path.cwd()), None)
        session = transport.open(binding, lambda told: None)
        try:
            schema = pa.schema([pa.field(c.name, c.type) for c in step.input.columns])
            session.invoke(schema.empty_table(), _context())
        finally:
            session.close()


def _survives_garbage(subject: Subject) -> None:
    for garbage in GARBAGE:
        connection = subject.connection
        with socket.socket(socket.AF_UNIX) as lane:
            lane.settimeout(END_WITHIN_S)
            lane.connect(connection.process.lanes_path)
            lane.sendall(garbage)
            lane.shutdown(socket.SHUT_WR)
            try:
                if lane.recv(1):
                    raise CaseFailed("it answers garbage instead of closing the lane")
            except TimeoutError:
                raise CaseFailed("it keeps a lane open on which garbage came") from None
        if not connection.alive:
            raise CaseFailed("its process ended when garbage came over a lane")


def _ends_with_the_engine(subject: Subject) -> None:
    connection = subject.connection
    process = connection.process
    process.hang_up()
    if not process.wait_end(END_WITHIN_S):
        raise CaseFailed(f"it is still running {END_WITHIN_S:g} s after end of file on stdin")
    if os.path.exists(process.control_path):
        raise CaseFailed("it leaves its sockets behind when stdin ends")


def _drains(subject: Subject) -> None:
    host = subject.hosts.host(subject.launch)
    process = host.connection().process
    host.close()
    if process.alive:
        raise CaseFailed("it does not end when it is drained")


CASES: Final[dict[str, Case]] = {
    "starts and shakes hands": _starts,
    "describes itself the same in every process": _same_description,
    "documents its steps": _names,
    "refuses other protocol versions": _refuses_other_protocols,
    "refuses unknown steps": _refuses_unknown_steps,
    "refuses unknown settings": _refuses_unknown_settings,
    "refuses missing settings": _refuses_missing_settings,
    "gives what it declares for no rows": _keeps_its_contract,
    "survives garbage": _survives_garbage,
    "ends with the engine": _ends_with_the_engine,
    "drains": _drains,
}


def _runnable(subject: Subject) -> list[StepSignature]:
    return [s for s in subject.module.steps.values() if s.runnable and not any(x.required for x in s.slots)]


def _refused(subject: Subject, key: BindingKey, what: str) -> None:
    try:
        subject.connection.bind(key)
    except StepFailure:
        return
    raise CaseFailed(f"it accepts {what}")


def _context() -> CallContext:
    stopped = threading.Event()
    return CallContext("test", "test", "test", 1, None, 30.0, stopped.is_set, lambda wake: lambda: None)
