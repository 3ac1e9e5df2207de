"""What it costs to hand a table to a step in another process and get it back.

`python -m benchmarks.handoff [--rows N] [--repeats N] [--languages go]` sends a table of 1 GB (25 M rows, 5
columns) in batches of a million rows through an identity step: over Heddle's bridge, over an Arrow Flight
server on a Unix socket (in the 4 MB batches that suit it), and as IPC streams through two pipes; beside them
the time to copy the same bytes between warm pages. All are interleaved in random order. `rebuild` is a step
that returns new memory, so that every byte travels both ways; of `identity` nothing needs to travel back,
because its columns are untouched.

Then the latency of calls with 1 and with 1,000 rows, and how much private memory the plugin gained. The
last line is `RESULT {json}`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.flight
import pyarrow.ipc

from benchmarks.harness import ROOT, interleaved, machine, spread, timed
from benchmarks.sheet import picked
from heddle.sdk.loader import load_module
from heddle.udf_bridge.describing import describe_project
from heddle.udf_bridge.plugins import Plugins
from heddle.udf_bridge.transport import CallContext, StepBinding, StepSession

STEPS = Path(__file__).parent / "plugins" / "steps.py"
ROWS = 25_000_000
BATCH_ROWS = 1_000_000
ENGINE_BATCH_ROWS = 65_536
"""What the engine calls row-wise steps with unless a policy says otherwise."""
FLIGHT_BATCH_ROWS = 100_000
"""4 MB, where Flight is fastest."""
CALLS = 2_000
LANGUAGES = ("go", "rust", "node")
"""Their conformance plugins in `sdk/`, which have the step `identity` too."""

PEER_OF_PIPES = """
import pyarrow as pa, pyarrow.ipc
arriving, leaving = open(0, 'rb', buffering=1 << 20), open(1, 'wb', buffering=1 << 20)
while arriving.peek(1):
    source = pa.ipc.open_stream(pa.PythonFile(arriving, mode='r'))
    with pa.ipc.new_stream(pa.PythonFile(leaving, mode='w'), source.schema) as sink:
        for batch in source:
            sink.write_batch(batch)
    leaving.flush()
"""

FLIGHT_SERVER = """
import sys, pyarrow.flight as flight
class Identity(flight.FlightServerBase):
    def do_exchange(self, context, descriptor, reader, writer):
        begun = False
        for chunk in reader:
            if not begun:
                writer.begin(chunk.data.schema); begun = True
            writer.write_batch(chunk.data)
server = Identity(sys.argv[1])
print('ready', flush=True)
server.serve()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--languages", type=picked(*LANGUAGES), default=LANGUAGES, help=f"some of {','.join(LANGUAGES)} (all)"
    )
    arguments = parser.parse_args()
    table = numbers(arguments.rows)
    print(machine())
    print(f"table     {table.nbytes / 1e9:.2f} GB, {table.num_rows:,} rows, {table.num_columns} columns\n")
    with ExitStack() as stack:
        identity = stack.enter_context(step("identity"))
        rebuild = stack.enter_context(step("rebuild"))
        flight = stack.enter_context(flight_client())
        peer = stack.enter_context(pipes())
        small = pa.Table.from_batches(table.combine_chunks().to_batches(max_chunksize=ENGINE_BATCH_ROWS))
        sides: dict[str, Callable[[], None]] = {
            "heddle, identity": lambda: through_step(identity, table),
            "heddle, 65,536 a call": lambda: through_step(identity, small),
            "heddle, rebuild": lambda: through_step(rebuild, table),
            "flight, unix socket": lambda: through_flight(flight, table),
            "ipc stream, two pipes": lambda: through_pipes(peer, table),
            "memcpy, warm pages": memcpy(table.nbytes),
        }
        for side in sides.values():
            side()
        plugin_pid = process_of(identity)
        private_before = private_bytes(plugin_pid)
        seconds = interleaved(
            {name: timed(side) for name, side in sides.items()}, repeats=arguments.repeats, warm_ups=0
        )
        growth = (private_bytes(plugin_pid) - private_before) / table.nbytes
        one_row = latency(identity, table.slice(0, 1))
        thousand_rows = latency(identity, table.slice(0, 1_000))
    for name, taken in seconds.items():
        rate = table.nbytes / statistics.median(taken) / 1e9
        print(f"{name:<24} {spread(taken)}   {rate:6.2f} GB/s")
    others = [language_costs(language, table) for language in arguments.languages]
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(f"\nprivate memory gained by the plugin: {growth:.1%} of the table")
    print(f"call with 1 row: p50 {one_row * 1e3:.3f} ms; with 1,000 rows: {thousand_rows * 1e3:.3f} ms")
    for costs in others:
        print(costs)
    identity_s, rebuild_s = median["heddle, identity"], median["heddle, rebuild"]
    result = {
        "vs_flight": round(median["flight, unix socket"] / identity_s, 2),
        "vs_pipe": round(median["ipc stream, two pipes"] / identity_s, 2),
        "vs_memcpy": round(identity_s / median["memcpy, warm pages"], 2),
        "private_growth": round(growth, 4),
        "call_1row_ms_p50": round(one_row * 1e3, 3),
        "call_1000rows_ms_p50": round(thousand_rows * 1e3, 3),
        **{f"private_growth_{c.language}": round(c.private_growth, 4) for c in others},
        "rebuild_vs_flight": round(median["flight, unix socket"] / rebuild_s, 2),
        "rebuild_vs_pipe": round(median["ipc stream, two pipes"] / rebuild_s, 2),
        "rebuild_vs_memcpy": round(rebuild_s / median["memcpy, warm pages"], 2),
    }
    print(f"RESULT {json.dumps(result)}")


def numbers(rows: int) -> pa.Table:
    """40 bytes a row, in batches as the engine makes them."""
    values = np.arange(rows, dtype=np.int64)
    columns = {f"c{i}": pa.array(values + i) for i in range(3)}
    columns |= {f"c{i}": pa.array((values * 0.5) + i) for i in range(3, 5)}
    return pa.Table.from_batches(pa.table(columns).to_batches(max_chunksize=BATCH_ROWS))


@contextmanager
def step(name: str) -> Iterator[StepSession]:
    """A step of the benchmarks' plugin in a process of its own, called as the engine calls it."""
    module = load_module(STEPS, "bench-steps", namespace="bench-steps").signature
    plugins = Plugins()
    binding = StepBinding(name, module, module.steps[name], {}, {}, str(STEPS.parent), None)
    transport = plugins.transport(inline=False)
    session = transport.open(binding, lambda told: None)
    PLUGINS_OF[id(session)] = plugins
    try:
        yield session
    finally:
        session.close()
        transport.close()
        plugins.close()


PLUGINS_OF: dict[int, Plugins] = {}


@dataclass(frozen=True, slots=True)
class LanguageCosts:
    """Of a plugin in another language: seconds of small calls, private memory gained over the table."""

    language: str
    one_row_s: float
    thousand_rows_s: float
    private_growth: float

    def __str__(self) -> str:
        return (
            f"{self.language:<5} 1 row: {self.one_row_s * 1e3:.3f} ms; 1,000 rows: "
            f"{self.thousand_rows_s * 1e3:.3f} ms; private memory gained: {self.private_growth:.1%}"
        )


def language_costs(language: str, table: pa.Table) -> LanguageCosts:
    """The plugin is built first if need be."""
    folder = ROOT / "sdk" / language / "conformance"
    module = describe_project(folder, f"./{language}", os.environ, print)
    plugins = Plugins()
    binding = StepBinding("identity", module, module.steps["identity"], {}, {}, str(folder), None)
    transport = plugins.transport(inline=False)
    session = transport.open(binding, lambda told: None)
    try:
        through_step(session, table.slice(0, table.num_rows // 10))
        (host,) = plugins.hosts().hosts()
        pid = host.connection().process.pid
        before = private_bytes(pid)
        through_step(session, table)
        growth = (private_bytes(pid) - before) / table.nbytes
        one, thousand = latency(session, table.slice(0, 1)), latency(session, table.slice(0, 1_000))
    finally:
        session.close()
        transport.close()
        plugins.close()
    return LanguageCosts(language, one, thousand, growth)


def process_of(session: StepSession) -> int:
    (host,) = PLUGINS_OF[id(session)].hosts().hosts()
    return host.connection().process.pid


def through_step(session: StepSession, table: pa.Table) -> None:
    rows = 0
    for batch in table.to_batches():
        result = session.invoke(pa.Table.from_batches([batch]), call_context())
        assert result.output is not None
        rows += result.output.num_rows
    assert rows == table.num_rows


def call_context() -> CallContext:
    return CallContext("run", "W", "step", 1, None, None, lambda: False, lambda wake: lambda: None)


def through_flight(client: pa.flight.FlightClient, table: pa.Table) -> None:
    descriptor = pa.flight.FlightDescriptor.for_command(b"identity")
    writer, reader = client.do_exchange(descriptor)
    rows = []

    def receive() -> None:
        rows.append(sum(chunk.data.num_rows for chunk in reader))

    receiver = threading.Thread(target=receive)
    with writer:
        writer.begin(table.schema)
        receiver.start()
        writer.write_table(table, max_chunksize=FLIGHT_BATCH_ROWS)
        writer.done_writing()
        receiver.join()
    assert rows == [table.num_rows]


@contextmanager
def flight_client() -> Iterator[pa.flight.FlightClient]:
    with tempfile.TemporaryDirectory() as folder:
        location = f"grpc+unix://{folder}/flight.sock"
        server = subprocess.Popen([sys.executable, "-c", FLIGHT_SERVER, location], stdout=subprocess.PIPE)
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield pa.flight.connect(location)
        finally:
            server.kill()
            server.wait()
            server.stdout.close()


@contextmanager
def pipes() -> Iterator[subprocess.Popen[bytes]]:
    """A process that sends back every IPC stream that it gets."""
    peer = subprocess.Popen(
        [sys.executable, "-c", PEER_OF_PIPES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=1 << 20,
    )
    try:
        yield peer
    finally:
        peer.kill()
        peer.communicate()


def through_pipes(peer: subprocess.Popen[bytes], table: pa.Table) -> None:
    rows = []

    def receive() -> None:
        rows.append(sum(batch.num_rows for batch in pa.ipc.open_stream(pa.PythonFile(peer.stdout, mode="r"))))

    receiver = threading.Thread(target=receive)
    receiver.start()
    assert peer.stdin is not None
    with pa.ipc.new_stream(pa.PythonFile(peer.stdin, mode="w"), table.schema) as sink:
        sink.write_table(table)
    peer.stdin.flush()
    receiver.join()
    assert rows == [table.num_rows]


def memcpy(size_bytes: int) -> Callable[[], None]:
    source, target = np.ones(size_bytes, np.uint8), np.ones(size_bytes, np.uint8)
    return lambda: np.copyto(target, source)


def latency(session: StepSession, rows: pa.Table) -> float:
    """The median time of a call, in seconds."""
    taken = []
    for _ in range(CALLS):
        started = time.perf_counter()
        session.invoke(rows, call_context())
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def private_bytes(pid: int) -> int:
    """Memory that a process has for itself (RssAnon), in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("every process has RssAnon")


if __name__ == "__main__":
    main()
