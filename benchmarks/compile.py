"""How long it takes to check and plan a program, cold in a process that is warm, and again.

`python -m benchmarks.compile [--repeats N] [--steps 1,10,50] [--queries 1,3]` compiles programs of some
steps, every second one a query and every second one a call of a plugin: from the text to the optimized
logical plan. Cold is a new engine with a text that the process has not seen; cached is the engine that
compiled the text before. Beside them what prqlc needs for the same queries, one by one. Then Heddle's
planning of TPC-H programs that are checked already, to the plans of the executor, beside DataFusion's own
planning of the same queries in SQL. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import prqlc
from datafusion import SessionContext

from benchmarks.harness import Side, interleaved, timed
from benchmarks.programs import CheckedProgram, project
from benchmarks.sheet import Goal, Sheet, arguments, picked, spread
from heddle.engine import CheckResult, Engine, RunOptions
from heddle.program_cache import PROGRAMS
from tpch_bench.answers import QUERIES, Query
from tpch_bench.data import TABLES, tables

REPEATS = 15
SIZES = (1, 10, 50)
GOALS = {"cold_ms_10": Goal(10), "cached_ms_10": Goal(1), "planning_vs_datafusion": Goal(1.5)}
PLUGIN = Path(__file__).parent / "plugins" / "chained.py"
FRESH = itertools.count()


def main() -> None:
    parser = arguments(__doc__, repeats=REPEATS)
    parser.add_argument("--steps", type=_sizes, default=SIZES, help="lengths of the programs (1,10,50)")
    names = tuple(query.name for query in QUERIES)
    parser.add_argument("--queries", type=picked(*names), default=names, help="TPC-H queries to plan (all)")
    parser.add_argument("--scale", type=float, default=0.1, help="the scale factor of their tables (0.1)")
    options = parser.parse_args()
    sheet = Sheet()
    _compiling(sheet, options.steps, options.repeats)
    _planning(sheet, [q for q in QUERIES if q.name in options.queries], options.scale, options.repeats)
    sheet.show()


def _compiling(sheet: Sheet, sizes: tuple[int, ...], repeats: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        project(folder, PLUGIN)
        path = folder / "chain.he"
        path.write_text(text(1))
        sides: dict[str, Side] = {}
        planning: dict[int, list[float]] = {}
        for steps in sizes:
            planning[steps] = []
            sides[f"cold {steps}"] = _cold(path, steps, planning[steps])
            sides[f"cached {steps}"] = _cached(path, steps)
            sides[f"prqlc {steps}"] = _prqlc(steps)
        seconds = interleaved(sides, repeats=repeats)
    for steps in sizes:
        plan_ms = statistics.median(planning[steps]) * 1e3
        for kind, more in (("cold", f", {plan_ms:.1f} ms of it the logical plan"), ("cached", "")):
            taken = seconds[f"{kind} {steps}"]
            key = f"{kind}_ms_{steps}"
            title = f"{kind} compile of {steps} step{'s' if steps > 1 else ''}, ms"
            median_ms = statistics.median(taken) * 1e3
            prqlc = f"prqlc, {len(queries(steps, 0))} queries: {spread(seconds[f'prqlc {steps}'])}"
            sheet.add(key, title, median_ms, ours=spread(taken) + more, other=prqlc, goal=GOALS.get(key))


def _cold(path: Path, steps: int, planning: list[float]) -> Side:
    def side() -> float:
        program = text(steps)
        started = time.perf_counter()
        with Engine.open(path) as engine:
            checked = engine.check(program)
            planned_from = time.perf_counter()
            _plan(engine, checked)
            ended = time.perf_counter()
        planning.append(ended - planned_from)
        return ended - started

    return side


def _cached(path: Path, steps: int) -> Side:
    engine, program = Engine.open(path), text(steps)

    def side() -> float:
        started = time.perf_counter()
        _plan(engine, engine.check(program))
        return time.perf_counter() - started

    return side


def _prqlc(steps: int) -> Side:
    options = prqlc.CompileOptions(target="sql.glaredb", signature_comment=False)

    def side() -> float:
        texts = queries(steps, next(FRESH))
        started = time.perf_counter()
        for query in texts:
            prqlc.compile(query, options)
        return time.perf_counter() - started

    return side


def _plan(engine: Engine, checked: CheckResult) -> None:
    if checked.program is None:
        raise SystemExit("\n".join(f"{d.code} {d.message}" for d in checked.diagnostics))
    engine.plan(checked.program, RunOptions())


def text(steps: int) -> str:
    """A program that no call gave before, in layout."""
    fresh = next(FRESH)
    called, asked = "    | chained.add_one", iter(queries(steps, fresh))
    stages = "\n".join(called if i % 2 else f"    | ({next(asked)})" for i in range(steps))
    body = f"  [{{ number: {fresh} }}]\n{stages}\n    > counted\n"
    return f'import "bench-chained" chained\n\nworkflow Chain{fresh} {{\n{body}}}\n'


def queries(steps: int, fresh: int) -> list[str]:
    """Every second step of a program, none of which another program has."""
    return [f"from input | filter number > {-1000 * fresh - i}" for i in range(0, steps, 2)]


def _planning(sheet: Sheet, queries: Sequence[Query], scale: float, repeats: int) -> None:
    paths = {table: str(path) for table, path in tables(scale).items()}
    programs = [CheckedProgram.of_file(query.program, paths) for query in queries]

    def heddle() -> None:
        PROGRAMS.clear()
        for checked in programs:
            checked.engine.explain(checked.program, RunOptions(engine="datafusion"))

    def datafusion() -> None:
        for query in queries:
            sql, context = query.sql, SessionContext()
            for table in TABLES:
                if table in sql:
                    context.register_parquet(table, paths[table])
            frame = context.sql(sql)
            frame.optimized_logical_plan()
            frame.execution_plan()

    seconds = interleaved({"heddle": timed(heddle), "datafusion": timed(datafusion)}, repeats=repeats)
    sheet.ratio(
        "planning_vs_datafusion",
        f"planning {len(queries)} TPC-H queries",
        seconds["heddle"],
        seconds["datafusion"],
        named="DataFusion",
        goal=GOALS["planning_vs_datafusion"],
    )


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(","))


if __name__ == "__main__":
    main()
