"""TPC-H Q1, Q3, Q5 and Q6 through Heddle's engine against plain DataFusion SQL on the same files, warm.

A program is checked once; a run plans and executes it and leaves its answer as an Arrow file, the
plain query is planned, executed and written likewise. Answers are compared before anything is timed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import datafusion
import pyarrow as pa

from benchmarks.harness import Comparison, compare, timed
from benchmarks.programs import CheckedProgram
from tpch_bench.answers import QUERIES, Query, differences
from tpch_bench.data import tables

MEASURED = (1, 3, 5, 6)


def measure(repeats: int, *, quick: bool) -> list[Comparison]:
    paths = {table: str(path) for table, path in tables(0.1 if quick else 1).items()}
    context = datafusion.SessionContext()
    for table, path in paths.items():
        context.register_parquet(table, path)
    return [_compare(query, context, paths, repeats) for query in QUERIES if query.number in MEASURED]


def _compare(
    query: Query, context: datafusion.SessionContext, paths: dict[str, str], repeats: int
) -> Comparison:
    with tempfile.TemporaryDirectory() as scratch:
        ours, theirs = Path(scratch, "heddle.arrow"), Path(scratch, "by_hand.arrow")
        program = CheckedProgram.of_file(query.program, params=paths)

        def by_hand() -> None:
            answer = context.sql(query.sql).to_arrow_table()
            with pa.OSFile(str(theirs), "wb") as file, pa.ipc.new_file(file, answer.schema) as writer:
                writer.write_table(answer)

        def heddle() -> None:
            program.run(outputs={query.output: str(ours)})

        heddle()
        by_hand()
        found = differences(_read(ours), _read(theirs))
        if found:
            raise SystemExit(f"Q{query.number}: the answers differ: {found[0]}")
        return compare(f"TPC-H Q{query.number}", timed(heddle), timed(by_hand), repeats=repeats)


def _read(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()
