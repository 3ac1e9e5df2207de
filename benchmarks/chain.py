"""What the engine costs per step: chains of steps that do nothing, in process and in a plugin.

`python -m benchmarks.chain [--repeats N] [--steps 100] [--peers hamilton]` runs a chain of map steps over
one row with Heddle (`--inline`, and in a plugin's process), as a loop of Python over the same functions, and
in Hamilton. A step's time is what a step more adds: the difference of the long chain and a chain of one step,
divided by the steps between; for the engine's time what the functions take in the loop is taken off. The
last line is `RESULT {json}`, in microseconds a step.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa

from benchmarks.harness import Side, interleaved, timed
from benchmarks.peers import BY_NAME, HERE, NotInstalled, python_of
from benchmarks.plugins.chained import Numbered, add_one
from benchmarks.programs import CheckedProgram, project
from benchmarks.sheet import Goal, Sheet, arguments, picked

STEPS = 100
REPEATS = 15
WARM_UPS = 3
PLUGIN = Path(__file__).parent / "plugins" / "chained.py"


def main() -> None:
    parser = arguments(__doc__, repeats=REPEATS)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"the length of the long chain ({STEPS})")
    parser.add_argument("--peers", type=picked("hamilton"), default=("hamilton",), help="hamilton, or none")
    options = parser.parse_args()
    if (steps := options.steps) < 2:
        parser.error("--steps: a chain has at least two steps")
    sheet = Sheet()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides: dict[str, Side] = {"loop": timed(lambda: loop(steps))}
        for count in (1, steps):
            program = stack.enter_context(chain(folder / str(count), count))
            for place, inline in (("inline", True), ("plugin", False)):
                sides[f"{place}, {count}"] = heddle_side(program, folder / "counted.arrow", count, inline)
        for name in options.peers:
            try:
                sides[name] = stack.enter_context(hamilton(steps))
            except NotInstalled as reason:
                sheet.skip(name, str(reason))
        seconds = interleaved(sides, repeats=options.repeats, warm_ups=WARM_UPS)

    median_us = {name: statistics.median(taken) * 1e6 for name, taken in seconds.items()}
    loop_us = median_us["loop"] / steps
    peers = [f"Python loop {loop_us:.1f} µs"]
    if "hamilton" in median_us:
        peers.append(f"Hamilton {median_us['hamilton'] / steps:.1f} µs")
    for place, goal in (("inline", Goal(50)), ("plugin", None)):
        step_us = (median_us[f"{place}, {steps}"] - median_us[f"{place}, 1"]) / (steps - 1)
        sheet.add(
            f"{place}_us",
            f"engine time of a step, {place}, µs",
            step_us - loop_us,
            ours=f"{step_us:.0f} µs a step, {median_us[f'{place}, 1'] / 1e3:.1f} ms for one",
            other=", ".join(peers),
            goal=goal,
        )
    sheet.show()


@contextmanager
def chain(folder: Path, steps: int) -> Iterator[CheckedProgram]:
    project(folder, PLUGIN)
    calls = "".join("    | chained.add_one\n" for _ in range(steps))
    text = f"workflow Chain {{\n  [{{ number: 0 }}]\n{calls}    > counted\n}}\n"
    program = CheckedProgram.of_text(folder, f'import "bench-chained" chained\n\n{text}')
    with program.engine:
        yield program


def heddle_side(program: CheckedProgram, counted: Path, steps: int, inline: bool) -> Side:
    def side() -> float:
        started = time.perf_counter()
        program.run(outputs={"counted": str(counted)}, inline=inline)
        taken = time.perf_counter() - started
        with pa.OSFile(str(counted)) as file:
            found = pa.ipc.open_file(file).read_all()["number"].to_pylist()
        if found != [steps]:
            raise SystemExit(f"the chain gave {found} instead of {steps}")
        return taken

    return side


def loop(steps: int) -> None:
    table = Numbered.from_arrow(pa.table({"number": [0]}))
    for _ in range(steps):
        table = add_one(table)
    assert table.to_arrow()["number"].to_pylist() == [steps]


@contextmanager
def hamilton(steps: int) -> Iterator[Side]:
    """In a process that stays. Raises `NotInstalled`."""
    command = [str(python_of(BY_NAME["hamilton"])), str(HERE / "chain_hamilton.py"), str(steps)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        pipes = process.stdin, process.stdout

        def side() -> float:
            pipes[0].write("run\n")
            pipes[0].flush()
            line = pipes[1].readline()
            if not line:
                raise SystemExit("Hamilton's chain failed")
            return float(line)

        yield side
        process.stdin.close()


if __name__ == "__main__":
    main()
