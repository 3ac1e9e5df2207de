"""Pushdown: two of sixteen columns and half of the rows of a 2 GB Parquet file, by Heddle and by hand.

The file is sorted by `event_id`, so that a filter on it should skip row groups, and each column is as
big as the others, so that bytes read show whether the projection reached the scan. Bytes are
DataFusion's own `bytes_scanned` on both sides. Time is that of `Engine.run` on a program that is
checked already, against a query over a registered table. Both write the rows to an Arrow file that is
there in whole or not at all: under another name, flushed to the disk, then renamed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import datafusion
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import CACHE, Comparison, compare, timed
from benchmarks.programs import CheckedProgram

ROW_GROUP_ROWS = 250_000
FLOAT_COLUMNS = 15
FULL_ROWS = 16_500_000
QUICK_ROWS = 2_000_000

PROGRAM = """\
step events = io.parquet { path: "@events" }

workflow Narrow {
  events > all_events

  (from all_events | filter event_id >= LOW && event_id < HIGH)
    | (from input | select {event_id, value_7})
    > narrow
}
"""


@dataclass(frozen=True, slots=True)
class PushdownResult:
    time: Comparison
    heddle_bytes: int
    by_hand_bytes: int

    @property
    def bytes_ratio(self) -> float:
        return self.heddle_bytes / self.by_hand_bytes


def measure(repeats: int, *, quick: bool) -> PushdownResult:
    rows = QUICK_ROWS if quick else FULL_ROWS
    path = events_file(rows)
    low, high = rows * 2 // 10, rows * 7 // 10
    sql = f"SELECT event_id, value_7 FROM events WHERE event_id >= {low} AND event_id < {high}"
    text = PROGRAM.replace("LOW", str(low)).replace("HIGH", str(high))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        program = CheckedProgram.of_text(folder, text, params={"events": str(path)})
        context = datafusion.SessionContext()
        context.register_parquet("events", str(path))

        heddle_file, by_hand_file = folder / "heddle.arrow", folder / "by_hand.arrow"
        write_by_hand = _writer(context, sql, by_hand_file)
        heddle_bytes = program.run(outputs={"narrow": str(heddle_file)}).bytes_scanned
        write_by_hand()
        _assert_equal(heddle_file, by_hand_file)
        time = compare(
            f"{path.stat().st_size / 1e9:.1f} GB Parquet",
            timed(lambda: program.run(outputs={"narrow": str(heddle_file)})),
            timed(write_by_hand),
            repeats=repeats,
        )
    return PushdownResult(time, heddle_bytes, bytes_scanned(context, sql))


def _writer(context: datafusion.SessionContext, sql: str, target: Path) -> Callable[[], None]:
    partial = target.with_suffix(".partial")

    def write() -> None:
        frame = context.sql(sql)
        with partial.open("wb") as file:
            with pa.ipc.new_file(file, frame.schema()) as writer:
                for batch in frame.execute_stream():
                    writer.write_batch(batch.to_pyarrow())
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)

    return write


def bytes_scanned(context: datafusion.SessionContext, sql: str) -> int:
    """Bytes that the scans of a query read, from DataFusion's metrics of one execution."""
    plan = context.sql(sql).execution_plan()
    for partition in range(plan.partition_count):
        for _ in context.execute(plan, partition):
            pass
    return sum(metrics.sum_by_name("bytes_scanned") or 0 for _, metrics in plan.collect_metrics())


def events_file(rows: int) -> Path:
    """The generated file, made once: sorted keys and fifteen columns of noise that does not compress."""
    path = CACHE / f"events-{rows}.parquet"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    schema = pa.schema(
        [("event_id", pa.int64())] + [(f"value_{i}", pa.float64()) for i in range(FLOAT_COLUMNS)]
    )
    with pq.ParquetWriter(
        partial, schema, use_dictionary=False, compression="none", sorting_columns=[pq.SortingColumn(0)]
    ) as writer:
        for start in range(0, rows, ROW_GROUP_ROWS):
            count = min(ROW_GROUP_ROWS, rows - start)
            noise = [pc.random(count, initializer=start + i) for i in range(FLOAT_COLUMNS)]
            keys = pa.array(range(start, start + count), pa.int64())
            writer.write_table(pa.table([keys, *noise], schema=schema), row_group_size=ROW_GROUP_ROWS)
    partial.rename(path)
    return path


def _assert_equal(ours: Path, theirs: Path) -> None:
    tables = [
        pa.ipc.open_file(pa.memory_map(str(path))).read_all().sort_by("event_id") for path in (ours, theirs)
    ]
    if not tables[0].equals(tables[1]):
        raise SystemExit(f"{ours} and {theirs} differ: the comparison means nothing")
