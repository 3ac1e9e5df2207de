"""What each rewrite of the optimizer brings, one number for each.

`python -m benchmarks.rewrites [--repeats N] [--rows N] [--scale S] [--only fused_steps]` runs programs with
steps in a plugin's process beside what they should cost as much as: a filter above a step of 1 µs a row
beside the same filter on a column that the step writes, a step that reads one of thirty columns beside one
of one, ten steps beside one that does all, a step between two queries beside DuckDB doing all in SQL, eight
workflows that start the same beside one of them. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import CACHE, Side, interleaved
from benchmarks.placement import placement, top_k
from benchmarks.programs import CheckedProgram, project
from benchmarks.sheet import Goal, Sheet, arguments, picked
from heddle.engine import RunResult
from tpch_bench.answers import differences
from tpch_bench.data import tables
from tpch_bench.sides import write

REPEATS = 5
ROWS = 1_000_000
SCALE = 1.0
COLUMNS = 30
BUCKETS = 100
WORKFLOWS = 8
ROW_GROUP_ROWS = 100_000
PLUGIN = Path(__file__).parent / "plugins" / "rewritten.py"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a rewrite is measured with: files of `values_file` with keys, with many columns and with one, and
    TPC-H's."""

    sheet: Sheet
    folder: Path
    stack: ExitStack
    repeats: int
    keyed: Path
    values: Path
    value: Path
    lineitem: Path

    def program(self, name: str, body: str) -> CheckedProgram:
        """A program with the files as sources `keyed`, `values`, `value` and `lineitem`."""
        steps = "\n\n".join(
            f'step {source} = io.parquet {{ path: "{getattr(self, source)}" }}'
            for source in ("keyed", "values", "value", "lineitem")
            if re.search(rf"\bfrom {source}\b", body)
        )
        project(folder := self.folder / name, PLUGIN)
        text = f'import "bench-rewritten" rewritten\n\n{steps}\n\n{body}'
        program = CheckedProgram.of_text(folder, text)
        self.stack.enter_context(program.engine)
        return program

    def side(self, name: str, body: str, right: pa.Table) -> Side:
        """Runs the program and compares its output `found`."""
        program, found = self.program(name, body), self.folder / f"{name}.arrow"
        return checked(lambda: program.run(outputs={"found": str(found)}), {name: found}, {name: right})

    def compare(self, **sides: Side) -> Mapping[str, tuple[float, ...]]:
        return interleaved(sides, repeats=self.repeats)


def checked(work: Callable[[], object], found: Mapping[str, Path], right: Mapping[str, pa.Table]) -> Side:
    """Counts `work`, then compares the files that it wrote with what is right."""

    def side() -> float:
        started = time.perf_counter()
        work()
        taken = time.perf_counter() - started
        for name, path in found.items():
            with pa.OSFile(str(path)) as file:
                wrong = differences(pa.ipc.open_file(file).read_all(), right[name])
            if wrong:
                raise SystemExit(f"{name}: the answer is wrong: {wrong[0]}")
        return taken

    return side


def duckdb_answer(sql: str, **files: Path) -> pa.Table:
    with duckdb.connect() as connection:
        for name, path in files.items():
            connection.read_parquet(str(path)).create_view(name)
        return connection.sql(sql).to_arrow_table()


def filter_through_step(bench: Bench) -> None:
    """The key rises with the rows, as a day does in a table that is written day by day; and it is noise."""

    def body(step: str, key: str, column: str) -> str:
        counted = f"filter {column} == 7 | aggregate {{ rows = count this, total = sum score }}"
        return _through(f"keyed | select {{ value = value_0, bucket = {key} }}", [step], counted)

    def right(key: str) -> pa.Table:
        sql = f"select count(*) as rows, sum(value_0 * 2) as total from data where {key} = 7"
        return duckdb_answer(sql, data=bench.keyed)

    taken = bench.compare(
        through=bench.side("through", body("costly", "rising", "bucket"), right("rising")),
        scattered=bench.side("scattered", body("costly", "scattered", "bucket"), right("scattered")),
        above=bench.side("above", body("costly_marking", "rising", "marked"), right("rising")),
    )
    for side, key, of, goal in (
        ("through", "filter_through_step", "a key in order", Goal(80, at_least=True)),
        ("scattered", "filter_through_step_scattered", "a scattered key", None),
    ):
        bench.sheet.speed_up(
            key,
            f"filter of 1 % by {of} through a step of 1 µs a row, times as fast",
            taken[side],
            taken["above"],
            named="filter on a column that the step writes",
            goal=goal,
        )


def narrow_step(bench: Bench) -> None:
    def body(source: str) -> str:
        return _through(f"{source} | derive value = value_0", ["score"], "aggregate { total = sum score }")

    right = duckdb_answer("select sum(value_0 * 2) as total from data", data=bench.value)
    taken = bench.compare(
        thirty=bench.side("thirty", body("values"), right), one=bench.side("one", body("value"), right)
    )
    bench.sheet.ratio(
        "narrow_step",
        f"a step that reads 1 of {COLUMNS} columns",
        taken["thirty"],
        taken["one"],
        named="a table of 1 column",
        goal=Goal(1.3),
    )


def fused_steps(bench: Bench) -> None:
    def body(steps: Sequence[str]) -> str:
        return _through("value | select { value = value_0 }", steps, "aggregate { total = sum value }")

    right = duckdb_answer("select sum(value_0 + 10) as total from data", data=bench.value)
    taken = bench.compare(
        ten=bench.side("ten", body(["add_one"] * 10), right),
        one=bench.side("one_for_ten", body(["add_ten"]), right),
    )
    bench.sheet.ratio(
        "fused_steps",
        "ten steps of one plugin",
        taken["ten"],
        taken["one"],
        named="one step that does all",
        goal=Goal(1.3),
    )


def _through(before: str, steps: Sequence[str], after: str) -> str:
    """A workflow: a query, steps, another query with the output `found`."""
    calls = "".join(f"    | rewritten.{step}\n" for step in steps)
    return (
        f"workflow W {{\n  (from {before})\n{calls}    > between\n\n  (from between | {after}) > found\n}}\n"
    )


def opaque_step(bench: Bench) -> None:
    body = """\
workflow W {
  (
    from lineitem
    filter l_shipdate <= @1998-09-02
    select {
      l_returnflag,
      l_linestatus,
      price = (l_extendedprice | as float),
      discount = (l_discount | as float),
    }
  )
    | rewritten.charge
    > charged

  (
    from charged
    group { l_returnflag, l_linestatus } (aggregate { charge = sum charge, rows = count this })
    sort { l_returnflag, l_linestatus }
  )
    > found
}
"""
    sql = """
        select l_returnflag, l_linestatus,
               sum(l_extendedprice::double * (1 - l_discount::double)) as charge, count(*) as rows
        from lineitem where l_shipdate <= date '1998-09-02' group by all order by all
    """
    right = duckdb_answer(sql, lineitem=bench.lineitem)
    connection = bench.stack.enter_context(duckdb.connect())
    connection.read_parquet(str(bench.lineitem)).create_view("lineitem")
    by_duckdb = bench.folder / "duckdb.arrow"
    taken = bench.compare(
        heddle=bench.side("opaque", body, right),
        duckdb=checked(
            lambda: write(connection.sql(sql).to_arrow_table(), by_duckdb),
            {"duckdb": by_duckdb},
            {"duckdb": right},
        ),
    )
    bench.sheet.ratio(
        "opaque_step",
        "a step between two queries",
        taken["heddle"],
        taken["duckdb"],
        named="DuckDB, all in SQL",
        goal=Goal(3),
    )


def shared_prefix(bench: Bench) -> None:
    names = [f"W{i}" for i in range(1, WORKFLOWS + 1)]
    program = bench.program("shared", "\n".join(map(_workflow, names)))
    found = {name: bench.folder / f"{name}.arrow" for name in names}
    right = {
        name: duckdb_answer(
            f"""
            select count(*) as orders, sum(revenue) as total
            from (select sum(l_extendedprice) as revenue from lineitem group by l_orderkey)
            where revenue > {name[1:]}0000
            """,
            lineitem=bench.lineitem,
        )
        for name in names
    }

    def run(*workflows: str) -> RunResult:
        outputs = {f"{name}.found": str(found[name]) for name in workflows}
        return program.run(workflows=workflows, outputs=outputs)

    scanned: dict[str, int] = {}

    def one() -> None:
        scanned["one"] = run("W1").bytes_scanned

    def one_run() -> None:
        scanned["one_run"] = run(*names).bytes_scanned

    def runs() -> None:
        with ThreadPoolExecutor(WORKFLOWS) as pool:
            scanned["runs"] = sum(result.bytes_scanned for result in pool.map(run, names))

    taken = bench.compare(
        one=checked(one, {"W1": found["W1"]}, right),
        one_run=checked(one_run, found, right),
        runs=checked(runs, found, right),
    )
    for side, key, title in (
        ("one_run", "shared_prefix_one_run", f"{WORKFLOWS} workflows of a run that start the same"),
        ("runs", "shared_prefix", f"{WORKFLOWS} runs at a time that start the same"),
    ):
        bench.sheet.ratio(key, title, taken[side], taken["one"], named="one workflow", goal=Goal(1.3))
        if scanned["one"]:
            bench.sheet.add(
                f"{key}_bytes",
                "their bytes scanned",
                scanned[side] / scanned["one"],
                ours=f"{scanned[side]:,} bytes",
                other=f"one workflow: {scanned['one']:,} bytes",
                goal=Goal(1),
            )
        else:
            bench.sheet.skip(f"{key}_bytes", "the executor does not count the bytes that it scans")


def _workflow(name: str) -> str:
    return f"""\
workflow {name} {{
  (from lineitem | group l_orderkey (aggregate {{ revenue = sum l_extendedprice }})) > by_order

  (
    from by_order
    filter revenue > {name[1:]}0000
    aggregate {{ orders = count this, total = sum revenue }}
  )
    > found
}}
"""


REWRITES: Mapping[str, Callable[[Bench], None]] = {
    "filter_through_step": filter_through_step,
    "narrow_step": narrow_step,
    "fused_steps": fused_steps,
    "opaque_step": opaque_step,
    "placement": placement,
    "top_k": top_k,
    "shared_prefix": shared_prefix,
}


def values_file(rows: int, columns: int, *, keyed: bool = False) -> Path:
    """Columns of noise, `value_0` and so on; with keys also `rising` and `scattered`, each of 100 numbers."""
    path = CACHE / f"values-{rows}x{columns}{'-with-keys' if keyed else ''}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        noise = np.random.default_rng(1)
        made = pa.table({f"value_{i}": noise.random(rows) for i in range(columns)})
        if keyed:
            made = made.append_column("rising", pa.array(np.arange(rows) * BUCKETS // rows))
            made = made.append_column("scattered", pa.array(noise.integers(0, BUCKETS, rows)))
        pq.write_table(made, partial, row_group_size=ROW_GROUP_ROWS)
        partial.rename(path)
    return path


def main() -> None:
    parser = arguments(__doc__, repeats=REPEATS)
    parser.add_argument(
        "--rows",
        type=int,
        default=ROWS,
        help=f"of the tables of noise; the filter's has 10 times as many ({ROWS:,})",
    )
    parser.add_argument("--scale", type=float, default=SCALE, help=f"of TPC-H's lineitem ({SCALE:g})")
    names = tuple(REWRITES)
    parser.add_argument("--only", type=picked(*names), default=names, help=f"some of {','.join(names)} (all)")
    options = parser.parse_args()
    sheet = Sheet()
    with ExitStack() as stack:
        bench = Bench(
            sheet,
            Path(stack.enter_context(tempfile.TemporaryDirectory())),
            stack,
            options.repeats,
            values_file(10 * options.rows, 1, keyed=True),
            values_file(options.rows, COLUMNS),
            values_file(options.rows, 1),
            tables(options.scale)["lineitem"],
        )
        for name in options.only:
            REWRITES[name](bench)
    sheet.show()


if __name__ == "__main__":
    main()
