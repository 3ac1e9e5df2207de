"""Calls of many workflows merged into one: throughput, latency, and what a lone caller pays.

`python -m benchmarks.batching [--workflows N] [--seconds S]`: N workflows (64) call one step at the same
time, each with 100 rows, again and again; a call of the step costs 20 ms whatever its rows, and only one is
made at a time, as on a GPU. Ideal is one call with the rows of all N, made again and again by one caller in
the same run. Beside it the same without merging, and one workflow alone with merging and without,
interleaved. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import threading
import time

import numpy as np
import pyarrow as pa

from benchmarks.handoff import STEPS, call_context
from benchmarks.harness import machine
from heddle.sdk.loader import load_module
from heddle.udf_bridge.plugins import Plugins
from heddle.udf_bridge.transport import Batching, StepBinding, StepSession, StepTransport

WORKFLOWS = 64
ROWS = 100
COST_S = 0.020
SECONDS = 5.0
LONE_CALLS = 60
MERGED = Batching(max_rows=65_536, max_wait_s=0.005)


class Bench:
    """One engine's plugins, and sessions of as many runs as wanted."""

    def __init__(self) -> None:
        self._plugins = Plugins()
        self._transports: list[StepTransport] = []
        self._module = load_module(STEPS, "bench-steps", namespace="bench-steps").signature
        self.rows = pa.table({"id": np.arange(ROWS), "score": np.random.default_rng(1).random(ROWS)})

    def session(self, batching: Batching | None) -> StepSession:
        """A run of its own, as the engine would open it."""
        binding = StepBinding(
            "W.device",
            self._module,
            self._module.steps["device"],
            {"seconds": COST_S},
            {},
            str(STEPS.parent),
            None,
            batching,
        )
        transport = self._plugins.transport(inline=False)
        self._transports.append(transport)
        return transport.open(binding, lambda told: None)

    def throughput(
        self, workflows: int, seconds: float, batching: Batching | None
    ) -> tuple[float, list[float]]:
        """Calls a second, and how long each took."""
        sessions = [self.session(batching) for _ in range(workflows)]
        latencies: list[list[float]] = [[] for _ in sessions]
        until = time.perf_counter() + seconds

        def workflow(i: int) -> None:
            while (started := time.perf_counter()) < until:
                sessions[i].invoke(self.rows, call_context())
                latencies[i].append(time.perf_counter() - started)

        threads = [threading.Thread(target=workflow, args=(i,)) for i in range(workflows)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - started
        for session in sessions:
            session.close()
        taken = [t for one in latencies for t in one]
        return len(taken) / elapsed, taken

    def whole_call(self, workflows: int) -> float:
        """Median seconds of a call with the rows of all workflows."""
        rows = pa.concat_tables([self.rows] * workflows).combine_chunks()
        session = self.session(None)
        taken = []
        for _ in range(LONE_CALLS):
            started = time.perf_counter()
            session.invoke(rows, call_context())
            taken.append(time.perf_counter() - started)
        session.close()
        return statistics.median(taken)

    def lone(self) -> tuple[float, float]:
        """Median seconds of a call of one workflow, with merging on and off, interleaved."""
        on, off = self.session(MERGED), self.session(None)
        taken: dict[StepSession, list[float]] = {on: [], off: []}
        order = random.Random(1)
        for _ in range(LONE_CALLS):
            for session in order.sample([on, off], 2):
                started = time.perf_counter()
                session.invoke(self.rows, call_context())
                taken[session].append(time.perf_counter() - started)
        on.close()
        off.close()
        return statistics.median(taken[on]), statistics.median(taken[off])

    def close(self) -> None:
        """While a transport is open, what is printed goes to stderr."""
        for transport in self._transports:
            transport.close()
        self._plugins.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workflows", type=int, default=WORKFLOWS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    arguments = parser.parse_args()
    print(machine(), end="\n\n")
    bench = Bench()
    bench.throughput(arguments.workflows, 1.0, MERGED)
    whole_s = bench.whole_call(arguments.workflows)
    ideal = arguments.workflows / whole_s
    merged, latencies = bench.throughput(arguments.workflows, arguments.seconds, MERGED)
    apart, _ = bench.throughput(arguments.workflows, min(arguments.seconds, 3.0), None)
    on, off = bench.lone()
    bench.close()
    p50, p99 = np.percentile(latencies, [50, 99])
    print(f"ideal             {ideal:8.0f} calls/s: {arguments.workflows} every {whole_s * 1e3:.1f} ms")
    print(f"merged            {merged:8.0f} calls/s  p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms")
    print(f"apart             {apart:8.0f} calls/s")
    print(f"one workflow      {on * 1e3:.2f} ms a call with merging, {off * 1e3:.2f} ms without")
    result = {
        "of_ideal": round(merged / ideal, 3),
        "p99_over_step": round(p99 / COST_S, 2),
        "idle_added_ms": round((on - off) * 1e3, 3),
        "vs_apart": round(merged / apart, 1),
    }
    print(f"RESULT {json.dumps(result)}")


if __name__ == "__main__":
    main()
