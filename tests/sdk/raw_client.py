"""The engine's end of the plugin protocol in a few lines: a real process, real sockets, no engine.

Segments are made here, so that a test sees their addresses and decides when they are used again.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from google.protobuf.message import Message

from heddle.core.wire import plugin_pb2 as wire
from heddle.core.wire.columns import joined, restored
from heddle.core.wire.control import ControlClient
from heddle.core.wire.lanes import Lane
from heddle.core.wire.payload import payload, read

READY = b"heddle-plugin 1\n"
DEADLINE_S = 60.0
CONFORMANCE = Path(__file__).parents[1] / "conformance/plugins/python/conformance.py"
PROBE = Path(__file__).with_name("plugins") / "probe.py"

Response = TypeVar("Response", bound=Message)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Until `condition` holds; fails after a deadline."""
    end = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {DEADLINE_S:g} s"
        pause.wait(0.005)


class Memory:
    """A segment of the engine's."""

    _ids = count(1)

    def __init__(self, size_bytes: int) -> None:
        self.descriptor = os.memfd_create("test", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, size_bytes)
        self._mapped = memoryview(mmap.mmap(self.descriptor, size_bytes))
        self.buffer = pa.py_buffer(self._mapped)
        self.wire = wire.Segment(
            id=next(self._ids), path=f"/proc/{os.getpid()}/fd/{self.descriptor}", size_bytes=size_bytes
        )

    def put(self, table: pa.Table, offset: int = 0) -> wire.Batch:
        part = payload(table.schema, table.to_batches())
        part.write(pa.py_buffer(self._mapped[offset:]))
        return wire.Batch(slice=wire.Slice(segment=self.wire, offset=offset, length=part.size_bytes))


def inline(table: pa.Table) -> wire.Batch:
    return wire.Batch(inline=payload(table.schema, table.to_batches()).to_bytes())


@dataclass
class Answer:
    """Everything that a call sent; `frames` are the kinds in order."""

    tables: list[pa.Table] = field(default_factory=list)
    batches: list[wire.Batch] = field(default_factory=list)
    rejections: list[wire.Rejection] = field(default_factory=list)
    logs: list[wire.Log] = field(default_factory=list)
    progress: list[wire.Progress] = field(default_factory=list)
    metrics: list[wire.Metric] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    needs: list[int] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    failure: wire.Failure | None = None

    @property
    def table(self) -> pa.Table:
        assert self.failure is None, self.failure
        return joined(self.tables)


class RawLane:
    def __init__(self, plugin: RawPlugin) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.settimeout(DEADLINE_S)
        self.connection.connect(str(plugin.folder / "lanes.sock"))
        self.frames = Lane[wire.EngineFrame, wire.PluginFrame](self.connection, wire.PluginFrame)
        self._call_ids = plugin.call_ids
        self._next: int | None = None

    def next_id(self) -> int:
        """The id of the call that is begun next."""
        if self._next is None:
            self._next = next(self._call_ids)
        return self._next

    def begin(
        self,
        binding: int,
        batches: Sequence[wire.Batch] | None = None,
        *,
        context: wire.Context | None = None,
        grant: Memory | None = None,
        forgotten: Sequence[int] = (),
    ) -> int:
        """Send a call with its whole input; its id."""
        call = wire.Call(
            call_id=self.next_id(),
            binding_id=binding,
            context=context or wire.Context(step="test", attempt=1),
            has_input=batches is not None,
            batch=batches[0] if batches else None,
            end=batches is None or len(batches) == 1,
            grant=wire.Grant(segment=grant.wire) if grant else None,
            forgotten=forgotten,
        )
        self._next = None
        self.frames.send(wire.EngineFrame(call=call))
        for batch in (batches or [])[1:]:
            self.frames.send(wire.EngineFrame(batch=batch))
        if not call.end:
            self.frames.send(wire.EngineFrame(end=wire.EndInput()))
        return call.call_id

    def finish(self, input: pa.Table | None = None, grants: Sequence[Memory] = ()) -> Answer:
        """Read up to the result. `grants` are all the segments that there are; others are refused."""
        answer = Answer()
        memories = {m.wire.id: m for m in grants}
        free = list(grants)
        while True:
            frame = self.frames.receive()
            assert frame is not None, "the plugin closed the lane"
            answer.released += frame.released
            kind = frame.WhichOneof("kind")
            answer.frames.append(kind or "released")
            match kind:
                case "batch":
                    answer.batches.append(frame.batch)
                    answer.tables.append(_table(frame.batch, input, memories))
                case "rejection":
                    answer.rejections.append(frame.rejection)
                case "log":
                    answer.logs.append(frame.log)
                case "progress":
                    answer.progress.append(frame.progress)
                case "metric":
                    answer.metrics.append(frame.metric)
                case "need":
                    answer.needs.append(frame.need.size_bytes)
                    fitting = next((m for m in free if m.buffer.size >= frame.need.size_bytes), None)
                    if fitting is not None:
                        free.remove(fitting)
                    grant = wire.Grant(segment=fitting.wire if fitting else None)
                    self.frames.send(wire.EngineFrame(grant=grant))
                case "result":
                    answer.failure = frame.result.failure if frame.result.HasField("failure") else None
                    return answer

    def call(
        self, binding: int, *tables: pa.Table, context: wire.Context | None = None, source: bool = False
    ) -> Answer:
        """A call with the tables inline."""
        self.begin(binding, None if source else [inline(t) for t in tables], context=context)
        return self.finish(tables[0] if len(tables) == 1 else None)

    def close(self) -> None:
        self.frames.close()


class RawPlugin:
    """A plugin process after its handshake."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        declared: Mapping[str, str] | None = None,
        introduce: bool = True,
        frame_bytes_max: int = 16 << 20,
        cwd: Path | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="heddle-test-"))
        (self.folder / "owner.lock").touch()
        self.call_ids = count(1)
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=cwd,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "HEDDLE_PLUGIN_FOLDER": str(self.folder),
                **(environ or {}),
            },
        )
        self.stdout: list[bytes] = []
        self.stderr: list[bytes] = []
        self._ready = threading.Event()
        self._pumps = [
            threading.Thread(target=self._pump, args=(self.process.stdout, self.stdout), daemon=True),
            threading.Thread(target=self._pump, args=(self.process.stderr, self.stderr), daemon=True),
        ]
        for pump in self._pumps:
            pump.start()
        self.ready_after_s = 0.0
        if introduce:
            self.wait_ready()
            self.control = ControlClient(str(self.folder / "control.sock"))
            self.hello = self.ask(
                wire.HandshakeRequest(
                    protocol_min=1,
                    protocol_max=1,
                    inline_bytes_max=64 << 10,
                    frame_bytes_max=frame_bytes_max,
                ),
                wire.HandshakeResponse,
            )
            self.description = self.ask(
                wire.DescribeRequest(environment=declared or {}), wire.DescribeResponse
            )

    def wait_ready(self) -> None:
        wait_for(lambda: self._ready.is_set() or self.process.poll() is not None, "the ready line")
        assert self._ready.is_set(), b"".join(self.stderr).decode()

    def ask(self, request: Message, response: type[Response]) -> Response:
        return self.control.call(request, response, DEADLINE_S)

    def ask_later(self, request: Message, response: type[Response]) -> Future[Response]:
        answer: Future[Response] = Future()
        threading.Thread(target=lambda: answer.set_result(self.ask(request, response)), daemon=True).start()
        return answer

    def open(
        self, type: str, config: Mapping[str, object] | None = None, lease_s: float = 0.0
    ) -> wire.OpenResourceResponse:
        request = wire.OpenResourceRequest(
            type=type, name="mine", config_json=json.dumps(config or {}), lease_s=lease_s
        )
        return self.ask(request, wire.OpenResourceResponse)

    def bind_response(
        self, step: str, config: Mapping[str, object] | None = None, **resources: int
    ) -> wire.BindStepResponse:
        request = wire.BindStepRequest(
            step=step, config_json=json.dumps(config or {}), resources=resources, base="/base"
        )
        return self.ask(request, wire.BindStepResponse)

    def bind(self, step: str, config: Mapping[str, object] | None = None, **resources: int) -> int:
        bound = self.bind_response(step, config, **resources)
        assert not bound.HasField("failure"), bound.failure
        return bound.binding_id

    def cancel(self, call_id: int) -> None:
        self.ask(wire.CancelRequest(call_id=call_id), wire.CancelResponse)

    @contextmanager
    def lane(self) -> Iterator[RawLane]:
        lane = RawLane(self)
        try:
            yield lane
        finally:
            lane.close()

    def call(
        self, step: str, *tables: pa.Table, config: Mapping[str, object] | None = None, source: bool = False
    ) -> Answer:
        with self.lane() as lane:
            return lane.call(self.bind(step, config), *tables, source=source)

    def health(self) -> wire.HealthResponse:
        return self.ask(wire.HealthRequest(), wire.HealthResponse)

    def maps(self) -> list[str]:
        return Path(f"/proc/{self.process.pid}/maps").read_text().splitlines()

    def mapped(self) -> int:
        """How many segments the process has mapped."""
        return len([line for line in self.maps() if "memfd:test" in line])

    @property
    def output(self) -> list[str]:
        """The lines of stdout without the ready line."""
        return [line.decode().rstrip("\n") for line in self.stdout if line != READY]

    @property
    def errors(self) -> str:
        return b"".join(self.stderr).decode()

    def wait_for_error(self, text: str) -> None:
        wait_for(lambda: text in self.errors, f"`{text}` on stderr")

    def end_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self) -> int:
        """The exit status; all output is read then."""
        status = self.process.wait(DEADLINE_S)
        for pump in self._pumps:
            pump.join(DEADLINE_S)
        return status

    def close(self) -> None:
        with suppress(OSError):
            self.end_stdin()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        with suppress(AttributeError):
            self.control.close()

    def __enter__(self) -> RawPlugin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pump(self, pipe: object, lines: list[bytes]) -> None:
        for line in pipe:  # type: ignore[attr-defined]  # a pipe of bytes
            lines.append(line)
            if line == READY and lines is self.stdout:
                self.ready_after_s = time.monotonic() - self.started_at
                self._ready.set()


def _table(batch: wire.Batch, input: pa.Table | None, memories: Mapping[int, Memory]) -> pa.Table:
    if batch.WhichOneof("place") == "slice":
        piece = batch.slice
        table = read(memories[piece.segment.id].buffer.slice(piece.offset, piece.length))
    else:
        table = read(batch.inline)
    if batch.columns:
        assert input is not None, "columns of an input that was not one batch"
        return restored(table, input, batch.columns)
    return table


def conformance(**options: Any) -> RawPlugin:
    return RawPlugin([sys.executable, str(CONFORMANCE)], **options)


def probe(**options: Any) -> RawPlugin:
    return RawPlugin([sys.executable, str(PROBE)], **options)


def host(*arguments: object, **options: Any) -> RawPlugin:
    return RawPlugin([sys.executable, "-P", "-m", "heddle.sdk.host", *map(str, arguments)], **options)
