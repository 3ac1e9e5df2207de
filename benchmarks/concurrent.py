"""Eight workflows at a time: TPC-H queries in one process of the engine, beside DuckDB and DataFusion alone.

`python -m benchmarks.concurrent [--repeats N] [--scale 1] [--workflows 8] [--queries 1,3]` lets eight threads
each run ten queries, in orders of their own: Heddle's programs, checked before, by engines that share
what a process shares; the official SQL by cursors of one connection of DuckDB, and in one session of
DataFusion. Each side is a process that stays; all sides take turns, and every answer is compared with
DuckDB's. The last line is `RESULT {json}`: Heddle's queries a second over those of the others.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

from benchmarks.harness import Side, interleaved
from benchmarks.sheet import Goal, Sheet, arguments, picked
from tpch_bench import sides
from tpch_bench.answers import QUERIES, differences, duckdb_answer
from tpch_bench.data import tables

REPEATS = 5
SCALE = 1.0
WORKFLOWS = 8
MEASURED = ("1", "3", "4", "5", "6", "10", "12", "13", "14", "18")
GOALS = {"duckdb": Goal(0.9, at_least=True)}
NAMES = {"duckdb": "DuckDB", "datafusion": "DataFusion"}


@contextmanager
def duckdb(tables: sides.Tables) -> Iterator[sides.Work]:
    """A cursor for each query, as DuckDB asks of those who call it from several threads."""
    import duckdb

    sql = {query.name: query.sql for query in QUERIES}
    with duckdb.connect() as connection:
        for table, path in tables.items():
            connection.read_parquet(str(path)).create_view(table)

        def work(name: str, answer: Path) -> None:
            with connection.cursor() as cursor:
                sides.write(cursor.sql(sql[name]).to_arrow_table(), answer)

        yield work


SIDES: Final[Mapping[str, sides.OpenSide]] = {
    "heddle": sides.heddle,
    "duckdb": duckdb,
    "datafusion": sides.datafusion,
}


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        serve(*sys.argv[2:])
        return
    parser = arguments(__doc__, repeats=REPEATS)
    parser.add_argument("--scale", type=float, default=SCALE, help=f"the scale factor ({SCALE:g})")
    parser.add_argument("--workflows", type=int, default=WORKFLOWS, help=f"at a time ({WORKFLOWS})")
    names = tuple(query.name for query in QUERIES)
    parser.add_argument("--queries", type=picked(*names), default=MEASURED, help=f"({','.join(MEASURED)})")
    options = parser.parse_args()
    sheet = Sheet()
    paths = tables(options.scale)
    right = {q.name: duckdb_answer(q, paths) for q in QUERIES if q.name in options.queries}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        works = {
            name: stack.enter_context(worker(name, options.scale, options.workflows, folder / name, right))
            for name in SIDES
        }
        seconds = interleaved(works, repeats=options.repeats)
    runs = options.workflows * len(right)
    rate = {name: runs / statistics.median(taken) for name, taken in seconds.items()}
    for name, called in NAMES.items():
        sheet.add(
            f"throughput_vs_{name}",
            f"{options.workflows} at a time, queries a second over {called}'s",
            rate["heddle"] / rate[name],
            ours=f"{rate['heddle']:.1f} queries/s",
            other=f"{called}: {rate[name]:.1f} queries/s",
            goal=GOALS.get(name),
        )
    sheet.show()


@contextmanager
def worker(
    name: str, scale: float, workflows: int, folder: Path, right: Mapping[str, pa.Table]
) -> Iterator[Side]:
    """A process that lets its threads run all queries each time it is told to, and says how long it took."""
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.concurrent", "--worker", name, f"{scale:g}"]
    with subprocess.Popen(
        [*command, str(workflows), str(folder), *right],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        pipes = process.stdin, process.stdout

        def side() -> float:
            pipes[0].write("run\n")
            pipes[0].flush()
            line = pipes[1].readline()
            if not line:
                raise SystemExit(f"{name}: a query failed")
            for thread in range(workflows):
                for query, answer in right.items():
                    _check(name, query, folder / f"{thread}-{query}.arrow", answer)
            return float(json.loads(line))

        yield side
        process.stdin.close()


def _check(side: str, query: str, path: Path, right: pa.Table) -> None:
    with pa.OSFile(str(path)) as file:
        wrong = differences(pa.ipc.open_file(file).read_all(), right)
    path.unlink()
    if wrong:
        raise SystemExit(f"{side}, Q{query}: the answer is not DuckDB's: {wrong[0]}")


def serve(side: str, scale: str, workflows: str, folder: str, *queries: str) -> None:
    """What a worker's process does, for each line on stdin."""
    with SIDES[side](tables(float(scale))) as work:
        for query in queries:
            work(query, Path(folder, "first.arrow"))
        for _ in sys.stdin:
            print(json.dumps(_all_at_a_time(work, int(workflows), queries, Path(folder))), flush=True)


def _all_at_a_time(work: sides.Work, workflows: int, queries: Sequence[str], folder: Path) -> float:
    """Seconds until every thread has run every query. Raises what the first of them that failed raised."""

    def run(thread: int) -> None:
        for query in random.Random(thread).sample(queries, len(queries)):
            work(query, folder / f"{thread}-{query}.arrow")

    started = time.perf_counter()
    with ThreadPoolExecutor(workflows) as pool:
        for _ in pool.map(run, range(workflows)):
            pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
