"""What the memo saves: a run in which nothing has changed, and one in which one step of many has.

`python -m benchmarks.memo [--repeats N] [--steps 100] [--milliseconds 20] [--rows N]` runs a chain of steps
over whole tables, each of which takes its time: with an empty memo, again with nothing changed, and with the
settings of one step changed, three quarters down the chain. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import io
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import interleaved
from benchmarks.programs import project
from benchmarks.sheet import Goal, Sheet, arguments
from heddle.engine import Engine, RunOptions
from heddle.physical.cancel import CancelToken
from heddle.physical.events import Event, StageFinished
from heddle.physical.memo import Memo, memo_folder
from heddle.std.sinks import Streams

STEPS = 100
REPEATS = 5
MILLISECONDS = 20.0
ROWS = 10_000
MEMO_BYTES = 1 << 30
SETTLED_S = 0.2
"""A file that was written just now is not trusted by the memo."""
PLUGIN = Path(__file__).parent / "plugins" / "memoised.py"


class Chain:
    """The program, with a memo of its own; `changed` is the number of the step that adds 2."""

    def __init__(self, folder: Path, stack: ExitStack, steps: int, milliseconds: float, rows: int) -> None:
        self.folder = folder
        self.steps = steps
        self.changed = steps * 3 // 4
        self.rows = rows
        self._environ = {"XDG_CACHE_HOME": str(folder / "cache"), "HEDDLE_PROGRAM_CACHE": "off"}
        pq.write_table(pa.table({"number": pa.array(range(rows), pa.int64())}), folder / "rows.parquet")
        project(folder, PLUGIN)
        self._engines: dict[bool, Engine] = {}
        for one_changed in (False, True):
            calls = "".join(
                f"    | memoised.work {{ by: {1 + (one_changed and i == self.changed)}, "
                f"milliseconds: {milliseconds:g} }}\n"
                for i in range(steps)
            )
            path = folder / f"{'changed' if one_changed else 'chain'}.he"
            path.write_text(
                'import "bench-memoised" memoised\n\nstep rows = io.parquet { path: "rows.parquet" }\n\n'
                f"workflow Chain {{\n  (from rows | sort number)\n{calls}    > found\n}}\n"
            )
            self._engines[one_changed] = stack.enter_context(Engine.open(path, environ=self._environ))
        time.sleep(SETTLED_S)

    def clear(self) -> None:
        Memo(memo_folder(self._environ), MEMO_BYTES).clear()

    def run(self, *, one_changed: bool = False) -> tuple[float, int]:
        """Seconds, and how many steps were called. Stops the benchmark for a wrong answer."""
        engine, found = self._engines[one_changed], self.folder / "found.arrow"
        program = engine.check().program
        if program is None:
            raise SystemExit("the program has errors")
        options = RunOptions(outputs={"found": str(found)}, memo_bytes=MEMO_BYTES)
        events: list[Event] = []
        streams = Streams(io.StringIO(), io.StringIO())
        started = time.perf_counter()
        result = engine.run(program, options, events.append, CancelToken(), streams)
        taken = time.perf_counter() - started
        if result.status != "succeeded":
            raise SystemExit(f"the run {result.status}: {result.error}")
        added = self.steps + one_changed
        with pa.OSFile(str(found)) as file:
            numbers = pa.ipc.open_file(file).read_all()["number"].to_pylist()
        if numbers != list(range(added, added + self.rows)):
            raise SystemExit("the answer is wrong")
        stages = [event.stage for event in events if isinstance(event, StageFinished)]
        return taken, sum("memoised.work" in stage for stage in stages)


def main() -> None:
    parser = arguments(__doc__, repeats=REPEATS)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"the length of the chain ({STEPS})")
    parser.add_argument("--milliseconds", type=float, default=MILLISECONDS, help=f"a step ({MILLISECONDS:g})")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of every table ({ROWS:,})")
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps: a chain has at least two steps")
    sheet = Sheet()
    called: dict[str, int] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chain = Chain(folder, stack, options.steps, options.milliseconds, options.rows)

        def first() -> float:
            chain.clear()
            taken, called["first"] = chain.run()
            return taken

        def again() -> float:
            chain.run()
            taken, called["again"] = chain.run()
            return taken

        def one_changed() -> float:
            chain.clear()
            chain.run()
            taken, called["changed"] = chain.run(one_changed=True)
            return taken

        taken = interleaved(
            {"first": first, "again": again, "changed": one_changed}, repeats=options.repeats, warm_ups=0
        )
    sheet.ratio(
        "memo_rerun",
        f"{options.steps} steps again, nothing changed",
        taken["again"],
        taken["first"],
        named="first run",
        goal=Goal(0.05),
    )
    sheet.ratio(
        "memo_one_changed",
        f"1 of {options.steps} steps changed, {options.steps - chain.changed} depend on it",
        taken["changed"],
        taken["first"],
        named="first run",
    )
    depend = options.steps - chain.changed
    sheet.add(
        "memo_calls",
        "steps called over those that depend on the change",
        called["changed"] / depend,
        ours=f"{called['changed']} called, {called['again']} when nothing changed",
        other=f"{depend} of {called['first']} depend on it",
        goal=Goal(1),
    )
    sheet.show()


if __name__ == "__main__":
    main()
