"""Long programs: seconds to check and to plan 250, 500 and 1,000 statements in three shapes.

`python -m benchmarks.scaling [--quick]` prints them and, for each doubling, how the time grew; the last
line is `RESULT {json}`. The shapes: a chain (each statement reads the one before), a fan-out (all read
the first) and independent statements (each has its own table).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import machine
from heddle.engine import Engine, RunOptions
from heddle.program_cache import PROGRAMS

REPEATS = 3
SIZES = (250, 500, 1_000)


def chain(statements: int) -> str:
    lines = ["  [{ id: 1, amount: 10.0 }, { id: 2, amount: 20.0 }] > t0"]
    lines += [
        f"  (from t{i - 1} | filter amount > {i % 7} | derive amount = amount + 1) > t{i}"
        for i in range(1, statements)
    ]
    return _workflow(lines, f"t{statements - 1}")


def fan_out(statements: int) -> str:
    lines = ["  [{ id: 1, amount: 10.0 }, { id: 2, amount: 20.0 }] > t0"]
    lines += [f"  (from t0 | filter id == {i}) | io.print" for i in range(1, statements)]
    return _workflow(lines, None)


def independent(statements: int) -> str:
    return _workflow(
        [
            f"  [{{ id: {i}, amount: 1.5 }}] | (from input | filter amount > 1) | io.print"
            for i in range(statements)
        ],
        None,
    )


SHAPES: dict[str, Callable[[int], str]] = {"chain": chain, "fan-out": fan_out, "independent": independent}


def _workflow(lines: list[str], printed: str | None) -> str:
    last = [f"  {printed} | io.print"] if printed else []
    return "workflow Long {\n" + "\n".join(lines + last) + "\n}\n"


def check_and_plan_s(text: str, folder: Path) -> float:
    path = folder / "long.he"
    path.write_text(text)
    engine = Engine.open(path)
    PROGRAMS.clear()
    started = time.perf_counter()
    checked = engine.check()
    if checked.program is None:
        raise SystemExit("\n".join(f"{d.code} {d.message}" for d in checked.diagnostics[:5]))
    engine.explain(checked.program, RunOptions())
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="25, 50 and 100 statements")
    sizes = tuple(size // 10 for size in SIZES) if parser.parse_args().quick else SIZES
    print(machine(), end="\n\n")
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        check_and_plan_s(chain(5), Path(scratch))
        for shape, make in SHAPES.items():
            medians = [
                statistics.median(check_and_plan_s(make(size), Path(scratch)) for _ in range(REPEATS))
                for size in sizes
            ]
            growth = "  ".join(f"x{b / a:.2f}" for a, b in itertools.pairwise(medians))
            times = "  ".join(f"{size}: {median:.3f} s" for size, median in zip(sizes, medians, strict=True))
            print(f"{shape:<12} {times}   growth {growth}")
            result[shape.replace("-", "_") + "_s"] = round(medians[-1], 3)
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
