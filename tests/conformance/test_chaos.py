"""Plugins die, hang, talk nonsense and outgrow their memory: the engine goes on and nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.control import PROTOCOL
from heddle.core.wire.lanes import FRAME_BYTES_MAX
from heddle.udf_bridge.transport import PluginStopped, StepFailure, StepSession
from tests.conformance.plugin import PATIENCE_S, ROOT, Conformance, Told, context, wait_until

ROWS = pa.table({"x": [1, 2, 3]})


class Caller(threading.Thread):
    """A call in a thread of its own, with what became of it."""

    def __init__(self, session: StepSession) -> None:
        super().__init__()
        self._session = session
        self.failure: StepFailure | None = None
        self.output: pa.Table | None = None
        self.start()

    def run(self) -> None:
        try:
            self.output = self._session.invoke(ROWS, context()).output
        except StepFailure as failure:
            self.failure = failure

    def ended(self) -> Caller:
        self.join(PATIENCE_S)
        assert not self.is_alive()
        return self


def test_kill_in_mid_call(fresh_plugin: Conformance) -> None:
    pid = fresh_plugin.pid
    caller = Caller(fresh_plugin.session("hang"))
    wait_until(fresh_plugin.in_call, "the call")
    os.kill(pid, signal.SIGKILL)
    failure = caller.ended().failure
    assert failure is not None
    assert (failure.error_type, failure.transient) == ("PluginCrashed", True)
    assert "killed by SIGKILL" in failure.message
    assert fresh_plugin.output("identity", ROWS).equals(ROWS)
    assert fresh_plugin.pid != pid
    assert len(fresh_plugin.told.of(PluginStopped)) == 1


def test_a_crash_says_how(fresh_plugin: Conformance) -> None:
    with pytest.raises(StepFailure, match="exit status 3") as caught:
        fresh_plugin.call("crash", ROWS)
    assert caught.value.error_type == "PluginCrashed"


def test_a_crash_does_not_hurt_others(fresh_plugin: Conformance) -> None:
    """A call that went down with another's crash is made again, where that does no harm."""
    told = Told()
    sleeper = Caller(fresh_plugin.session("sleep", {"seconds": 3.0}, told=told))
    wait_until(fresh_plugin.in_call, "the call")
    with pytest.raises(StepFailure):
        fresh_plugin.call("crash", ROWS)
    assert sleeper.ended().output == ROWS


def test_crashes_in_a_row_degrade_it(fresh_plugin: Conformance) -> None:
    for _ in range(5):
        with pytest.raises(StepFailure, match="exit status 3"):
            fresh_plugin.call("crash", ROWS)
    with pytest.raises(StepFailure, match=r"degraded.*exit status 3") as caught:
        fresh_plugin.call("identity", ROWS)
    assert caught.value.error_type == "PluginDegraded"


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 100_000,
        (FRAME_BYTES_MAX + 1).to_bytes(4, "little"),
        b"\x03\0\0\0\xff\xff\xff",
        b"\x10\0\0",
        b"",
    ],
)
def test_garbage_on_the_lanes(fresh_plugin: Conformance, garbage: bytes) -> None:
    pid = fresh_plugin.pid
    with socket.socket(socket.AF_UNIX) as lane:
        lane.connect(fresh_plugin.host.connection().process.lanes_path)
        lane.settimeout(PATIENCE_S)
        with suppress(ConnectionError):  # it may hang up before it has all of it
            lane.sendall(garbage)
            lane.shutdown(socket.SHUT_WR)
            assert lane.recv(1) == b""
    assert fresh_plugin.output("add", ROWS, {"amount": 1})["y"].to_pylist() == [2, 3, 4]
    assert fresh_plugin.pid == pid


def test_a_call_of_nothing(fresh_plugin: Conformance) -> None:
    """A call of a binding that is not there ends with a failure, not with the plugin."""
    connection = fresh_plugin.host.connection()
    call = wire.EngineFrame(call=wire.Call(call_id=1, binding_id=12345, end=True))
    body = call.SerializeToString()
    with socket.socket(socket.AF_UNIX) as lane:
        lane.connect(connection.process.lanes_path)
        lane.sendall(len(body).to_bytes(4, "little") + body)
        lane.settimeout(PATIENCE_S)
        answer = lane.recv(65536)
    frame = wire.PluginFrame.FromString(answer[4:])
    assert frame.result.failure.kind == wire.Failure.PROTOCOL
    assert connection.alive


def test_another_protocol_version(fresh_plugin: Conformance) -> None:
    control = fresh_plugin.host.connection().control
    request = wire.HandshakeRequest(protocol_min=PROTOCOL + 7, protocol_max=PROTOCOL + 9, engine_version="99")
    answer = control.call(request, wire.HandshakeResponse)
    assert answer.protocol == 0
    assert f"{PROTOCOL + 7}" in answer.failure.message
    assert "update" in answer.failure.message


def test_too_much_memory(fresh_plugin: Conformance) -> None:
    """The limit ends the call, or the process; the engine goes on."""
    fresh_plugin.launch = replace(fresh_plugin.launch, memory_bytes=2 << 30)
    assert fresh_plugin.output("identity", ROWS).equals(ROWS)
    with pytest.raises(StepFailure):
        fresh_plugin.call("grow", ROWS, {"mebibytes": 4_000})
    assert fresh_plugin.output("identity", ROWS).equals(ROWS)


def test_the_engine_is_killed(fresh_plugin: Conformance) -> None:
    """Process, sockets, memory: nothing outlives the engine, even while a step hangs."""
    code = (
        "import sys\n"
        "from tests.conformance.plugin import Conformance, context\n"
        "from tests.conformance.test_chaos import Caller\n"
        "plugin = Conformance(sys.argv[1])\n"
        "caller = Caller(plugin.session('hang'))\n"
        "connection = plugin.host.connection()\n"
        "print(plugin.pid, connection.process.control_path, flush=True)\n"
        "caller.join()\n"
    )
    engine = subprocess.Popen(
        [sys.executable, "-c", code, fresh_plugin.language], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert engine.stdout is not None
    with engine.stdout:
        pid, path = engine.stdout.readline().split()
        engine.kill()
        engine.wait()
    wait_until(lambda: not psutil.pid_exists(int(pid)), "the plugin's end")
    wait_until(lambda: not Path(path).parent.exists(), "the folder's end")


def test_nothing_grows(fresh_plugin: Conformance) -> None:
    """Sessions and calls come and go, in the engine and in the plugin."""
    plugin, engine = psutil.Process(fresh_plugin.pid), psutil.Process()
    large = pa.table({"x": list(range(50_000))})

    def rounds(count: int) -> None:
        for i in range(count):
            session = fresh_plugin.session("add", {"amount": i % 7})
            assert session.invoke(large if i % 10 == 0 else ROWS, context()).output is not None
            session.close()
            fresh_plugin.sessions.clear()

    rounds(200)
    before = [(p.num_fds(), p.num_threads(), p.memory_info().rss) for p in (plugin, engine)]
    rounds(1_000)
    for process, (fds, threads, memory) in zip((plugin, engine), before, strict=True):
        wait_until(lambda p=process, n=fds: p.num_fds() <= n + 2, "all files closed")  # type: ignore[misc]
        wait_until(lambda p=process, n=threads: p.num_threads() <= n + 2, "the threads' end")  # type: ignore[misc]
        assert process.memory_info().rss < memory + (32 << 20)
