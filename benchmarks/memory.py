"""Out of core: TPC-H queries as `heddle run` under memory budgets, beside the same without one.

`python -m benchmarks.memory [--repeats N] [--scale 10] [--queries 1,9] [--budgets 1GB,512MB]` runs Q1, Q9,
Q13, Q18 and Q21, each with no budget given and under each budget, and compares every answer with DuckDB's. It
tells whether a run finished, its time over that without a budget, and the peak of its resident memory over
the budget. The last line is `RESULT {json}`: the share of runs under a budget that finished with the
right answer, the worst ratio of times and the most megabytes over a budget.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from benchmarks import processes
from benchmarks.harness import Side, interleaved
from benchmarks.hello import PROGRAM as HELLO
from benchmarks.processes import Ended
from benchmarks.sheet import Goal, Sheet, arguments, picked
from heddle.sizes import parse_size
from tpch_bench.answers import QUERIES, Query, differences, duckdb_answer
from tpch_bench.data import tables
from tpch_bench.sides import cold_heddle

REPEATS = 3
SCALE = 10.0
MEASURED = ("1", "9", "13", "18", "21")
BUDGETS = ("1GB", "512MB")
UNLIMITED = "no budget"
RUN_S_MAX = 600.0
ALLOWANCE_MB = 150
"""What a run may have above its budget and what the interpreter needs with its libraries."""

Runs = Mapping[str, Mapping[str, list[Ended]]]
"""By query and budget, in the order in which they were made."""


def main() -> None:
    parser = arguments(__doc__, repeats=REPEATS)
    parser.add_argument("--scale", type=float, default=SCALE, help=f"the scale factor ({SCALE:g})")
    names = tuple(query.name for query in QUERIES)
    parser.add_argument("--queries", type=picked(*names), default=MEASURED, help=f"({','.join(MEASURED)})")
    parser.add_argument("--budgets", type=_budgets, default=BUDGETS, help=f"({','.join(BUDGETS)})")
    parser.add_argument(
        "--timeout", type=float, default=RUN_S_MAX, help=f"seconds a run may take ({RUN_S_MAX:g})"
    )
    options = parser.parse_args()
    sheet = Sheet()
    queries = [query for query in QUERIES if query.name in options.queries]
    runs = measure(queries, options.budgets, options.scale, options.repeats, options.timeout)
    show(sheet, runs, options.budgets, _interpreter_mb())


def measure(
    queries: Sequence[Query], budgets: Sequence[str], scale: float, repeats: int, seconds_max: float
) -> Runs:
    paths = tables(scale)
    runs: dict[str, dict[str, list[Ended]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.arrow")
        for query in queries:
            print(f"Q{query.name}, {repeats} rounds", file=sys.stderr)
            right = duckdb_answer(query, paths)  # and the files are in the page cache
            command = cold_heddle(query, paths, answer)
            sides: dict[str, Side] = {}
            for budget in (UNLIMITED, *budgets):
                limited = command if budget == UNLIMITED else [*command, "--memory", budget]
                sides[budget] = _side(limited, answer, right, runs[query.name][budget], seconds_max)
            interleaved(sides, repeats=repeats, warm_ups=0)
    return runs


def _side(
    command: Sequence[str], answer: Path, right: pa.Table, runs: list[Ended], seconds_max: float
) -> Side:
    """A run with a wrong answer counts as one that failed."""

    def side() -> float:
        ended = processes.run(command, seconds_max)
        if ended.failure is None:
            with pa.OSFile(str(answer)) as file:
                wrong = differences(pa.ipc.open_file(file).read_all(), right)
            answer.unlink()
            if wrong:
                ended = replace(ended, failure=f"the answer is not DuckDB's: {wrong[0]}")
        runs.append(ended)
        return ended.seconds

    return side


def show(sheet: Sheet, runs: Runs, budgets: Sequence[str], interpreter_mb: float) -> None:
    """Each query under each budget as a note, what is worst of all as the numbers."""
    ratios, over_mb, limited = [], [], []
    for query, by_budget in runs.items():
        unlimited = _seconds(by_budget[UNLIMITED])
        sheet.note(f"Q{query}, {UNLIMITED}: {_told(by_budget[UNLIMITED])}")
        for budget in budgets:
            these = by_budget[budget]
            limited += these
            over_mb.append((_peak_mb(these) - _budget_mb(budget), f"Q{query} under {budget}"))
            line = f"Q{query}, {budget}: {_told(these)}, {over_mb[-1][0]:+.0f} MB over the budget"
            if unlimited and (seconds := _seconds(these)):
                ratios.append((seconds / unlimited, f"Q{query} under {budget}"))
                line += f", {ratios[-1][0]:.2f} of the time"
            sheet.note(line)
    finished = sum(ended.failure is None for ended in limited)
    sheet.add(
        "finished",
        "runs under a budget that finished with the right answer",
        finished / len(limited),
        ours=f"{finished} of {len(limited)}",
        goal=Goal(1, at_least=True),
    )
    if ratios:
        ratio, where = max(ratios)
        title = "worst time over that without a budget"
        sheet.add("worst_time_ratio", title, ratio, ours=where, other=UNLIMITED, goal=Goal(1.3))
    most, where = max(over_mb)
    sheet.add(
        "worst_rss_over_budget_mb",
        "most resident memory over a budget, MB",
        most,
        ours=where,
        other=f"allowed: {ALLOWANCE_MB} MB and an interpreter of {interpreter_mb:.0f} MB",
        goal=Goal(round(ALLOWANCE_MB + interpreter_mb)),
    )
    sheet.show()


def _told(runs: Sequence[Ended]) -> str:
    failures = [ended.failure for ended in runs if ended.failure]
    done = f"{seconds:.1f} s, " if (seconds := _seconds(runs)) else ""
    failed = f", {len(failures)} of {len(runs)} failed: {failures[0]}" if failures else ""
    return f"{done}peak {_peak_mb(runs):.0f} MB{failed}"


def _seconds(runs: Sequence[Ended]) -> float | None:
    """The median of those that finished; None when none did."""
    finished = [ended.seconds for ended in runs if ended.failure is None]
    return statistics.median(finished) if finished else None


def _peak_mb(runs: Sequence[Ended]) -> float:
    return max(ended.peak_bytes for ended in runs) / 1e6


def _interpreter_mb() -> float:
    """The peak of a run that has no data to speak of."""
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch, "hello.he")
        program.write_text(HELLO)
        command = [str(Path(sys.executable).with_name("heddle")), "run", str(program)]
        return processes.run(command, RUN_S_MAX).peak_bytes / 1e6


def _budgets(text: str) -> tuple[str, ...]:
    budgets = tuple(budget.strip() for budget in text.split(","))
    for budget in budgets:
        if not parse_size(budget):
            raise argparse.ArgumentTypeError(f"{budget!r} is no size; write 512MB or 1GB")
    return budgets


def _budget_mb(budget: str) -> float:
    return (parse_size(budget) or 0) / 1e6


if __name__ == "__main__":
    main()
