"""Where rows are dropped: before a step or behind it, and at the end of a file or in all of it.

Two of the numbers of `benchmarks.rewrites`. `placement` is a grid of step costs and of joins that keep more
or fewer rows: at each point the program's own plan is compared with the two that it chooses between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.programs import CheckedProgram
from benchmarks.sheet import Goal
from heddle.engine import RunOptions

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.rewrites import Bench

PLACED_ROWS_SHARE: Final = 0.1
KEPT: Final = (1, 20, 60, 100)
"""Percent of the rows that have a partner."""
STEPS: Final = ("score", "costly")
ALIKE: Final = 1.1
"""Plans whose times are no further apart are equally good."""
TAKEN: Final = 10


def placement(bench: Bench) -> None:
    rows, buckets = _placed(bench)
    points: list[str] = []
    right = 0
    for step in STEPS:
        for kept in KEPT:
            fired, below_s, above_s = _point(bench, step, kept, rows, buckets)
            chosen, other = (below_s, above_s) if fired else (above_s, below_s)
            right += chosen <= ALIKE * other
            points.append(f"`{step}` {kept} %: {'before' if fired else 'behind'}, {other / chosen:.2f} x")
    bench.sheet.add(
        "placement",
        "joins before or behind a step, the share that is placed right",
        right / len(points),
        ours=f"{right} of {len(points)}",
        other="the faster of both places",
        goal=Goal(1, at_least=True),
    )
    bench.sheet.note(f"Where each join is placed, and the time of the other place: {'; '.join(points)}.")


def _point(bench: Bench, step: str, kept: int, rows: Path, buckets: Path) -> tuple[bool, float, float]:
    """Whether the join goes before the step by itself; seconds of the fastest run with it there and behind,
    and of the fastest with the join only behind the step."""
    with duckdb.connect() as connection:
        right = connection.sql(
            "select count(*) as rows, sum(value * 2) as total from read_parquet($rows) "
            "join read_parquet($buckets) using (bucket) where place < $kept",
            params={"rows": str(rows), "buckets": str(buckets), "kept": kept},
        ).to_arrow_table()

    def body(*stages: str) -> str:
        chain = "".join(f"    | {stage}\n" for stage in stages)
        return f"""\
step rows = io.parquet {{ path: "{rows}" }}

step buckets = io.parquet {{ path: "{buckets}" }}

workflow W {{
  (from buckets | filter place < {kept}) > kept

  (from rows | select {{ value, bucket }})
{chain}    > between

  (from between | aggregate {{ rows = count this, total = sum score }}) > found
}}
"""

    def join(column: str) -> str:
        return f"(from input | join kept (==bucket) | select {{ input.value, input.{column} }})"

    name, own = f"placed_{step}_{kept}", body(f"rewritten.{step}", join("score"))
    taken = bench.compare(
        own=bench.side(name, own, right),
        before=bench.side(f"{name}_before", body(join("bucket"), f"rewritten.{step}", join("score")), right),
        behind=bench.side(f"{name}_behind", body(f"rewritten.{step}_still", join("score")), right),
    )
    fired = _goes_before(bench.program(f"{name}_planned", own))
    return fired, min(taken["before"]), min(taken["behind"])


def _goes_before(checked: CheckedProgram) -> bool:
    plan = checked.engine.plan(checked.program, RunOptions())
    return any(note.rule == "push_joins" and note.fired for note in plan.notes)


def _placed(bench: Bench) -> tuple[Path, Path]:
    """Rows with a key of 100 numbers, and a table of these."""
    keyed = pq.read_table(bench.keyed, columns=["value_0", "scattered"])
    rows = keyed.slice(0, int(keyed.num_rows * PLACED_ROWS_SHARE)).rename_columns(["value", "bucket"])
    numbers = pa.array(range(100))
    paths = bench.folder / "placed.parquet", bench.folder / "buckets.parquet"
    pq.write_table(rows, paths[0])
    pq.write_table(pa.table({"bucket": numbers, "place": pc.subtract(99, numbers)}), paths[1])
    return paths


def top_k(bench: Bench) -> None:
    """The last rows of a file that is in order, through a step; beside a step that must get all rows."""
    with duckdb.connect() as connection:
        right = connection.sql(
            "select count(*) as rows, sum(value_0 * 2) as total from (select value_0 "
            "from read_parquet($keyed) order by rising desc, value_0 desc limit $taken)",
            params={"keyed": str(bench.keyed), "taken": TAKEN},
        ).to_arrow_table()
    body = f"""\
workflow W {{{{
  (from keyed | select {{{{ value = value_0, rising }}}}) > before

  before | rewritten.{{}} > between

  (
    from between
    sort {{{{ -rising, -value }}}}
    take {TAKEN}
    aggregate {{{{ rows = count this, total = sum score }}}}
  )
    > found
}}}}
"""
    taken = bench.compare(
        through=bench.side("top", body.format("costly"), right),
        behind=bench.side("top_behind", body.format("costly_still"), right),
    )
    bench.sheet.speed_up(
        "top_k",
        f"the last {TAKEN} rows of a file in order through a step of 1 µs a row, times as fast",
        taken["through"],
        taken["behind"],
        named="a step that gets all rows",
        goal=Goal(10, at_least=True),
    )
