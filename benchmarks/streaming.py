"""Bounded memory: a `map` step of Python over ten million rows of ten columns, while the scan goes on.

`python -m benchmarks.streaming [--rows N] [--memory MB]` runs the program in a process of its own and
prints that process's peak resident memory beside budget + 300 MB, and how many of the step's batches
began before the scan had handed over its last row. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import CACHE, machine

ROWS = 10_000_000
COLUMNS = 10
ROW_GROUP_ROWS = 200_000
BUDGET_MB = 512
ALLOWANCE_MB = 300

PROGRAM = """\
import "doubling" doubling

step numbers = io.parquet { path: "NUMBERS" }

workflow Streamed {
  numbers
    | doubling.add_sum { log: "LOG" }
    > summed

  (from summed | aggregate {rows = count this, total = sum row_sum})
    | io.parquet { path: "total.parquet" }
}
"""

MODULE = '''\
"""Adds the sum of two columns, and notes when each batch came and went."""

import time

import pyarrow.compute as pc

from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="doubling")


class LogConfig(StepConfig):
    log: str


class Numbers(Table):
    value_0: float
    value_1: float


class Summed(Table):
    row_sum: float


@plugin.step(name="add_sum", rows="map", passthrough=True, deterministic=True)
def add_sum(config: LogConfig, input: Numbers) -> Summed:
    started = time.monotonic()
    table = input.to_arrow()
    result = table.append_column("row_sum", pc.add(table["value_0"], table["value_1"]))
    with open(config.log, "a") as log:
        log.write(f"{started} {time.monotonic()} {table.num_rows}\\n")
    return Summed.from_arrow(result)
'''


def numbers_file(rows: int) -> Path:
    path = CACHE / f"numbers-{rows}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        schema = pa.schema([(f"value_{i}", pa.float64()) for i in range(COLUMNS)])
        with pq.ParquetWriter(partial, schema, use_dictionary=False) as writer:
            for start in range(0, rows, ROW_GROUP_ROWS):
                count = min(ROW_GROUP_ROWS, rows - start)
                noise = [pc.random(count, initializer=start + i) for i in range(COLUMNS)]
                writer.write_table(pa.table(noise, schema=schema))
        partial.rename(path)
    return path


def run_in_child(folder: Path, memory_mb: int) -> tuple[float, int]:
    """Seconds, and the peak resident memory of the process in kilobytes."""
    command = [str(Path(sys.executable).with_name("heddle")), "run", str(folder / "streamed.he")]
    started = time.monotonic()
    with subprocess.Popen([*command, "--memory", f"{memory_mb}MB"], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    return time.monotonic() - started, usage.ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--memory", type=int, default=BUDGET_MB, help="the budget in MB")
    arguments = parser.parse_args()
    print(machine(), end="\n\n")

    numbers = numbers_file(arguments.rows)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        log = folder / "calls.log"
        (folder / "heddle.toml").write_text('[plugins]\n"doubling" = "doubling.py"\n')
        (folder / "doubling.py").write_text(MODULE)
        text = PROGRAM.replace("NUMBERS", str(numbers)).replace("LOG", str(log))
        (folder / "streamed.he").write_text(text)
        seconds, peak_kb = run_in_child(folder, arguments.memory)
        calls = [line.split() for line in log.read_text().splitlines()]
        counted = pq.read_table(folder / "total.parquet")["rows"][0].as_py()

    starts = sorted(float(call[0]) for call in calls)
    busy_s = sum(float(call[1]) - float(call[0]) for call in calls)
    peak_mb, limit_mb = peak_kb / 1024, arguments.memory + ALLOWANCE_MB
    if counted != arguments.rows:
        raise SystemExit(f"{counted:,} rows arrived instead of {arguments.rows:,}")
    print(
        f"rows      {counted:,} in {seconds:.1f} s, {len(calls)} calls of the step, {busy_s:.2f} s inside it"
    )
    print(f"memory    peak {peak_mb:.0f} MB, budget + {ALLOWANCE_MB} MB = {limit_mb} MB")
    print(f"overlap   first call {starts[-1] - starts[0]:.2f} s before the last")
    result = {
        "peak_mb": round(peak_mb),
        "limit_mb": limit_mb,
        "calls": len(calls),
        "calls_span_s": round(starts[-1] - starts[0], 3),
        "in_step_s": round(busy_s, 3),
    }
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
