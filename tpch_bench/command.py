"""The command line that both suites have: what to measure, how often, and where the plot goes."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from tpch_bench.measure import Suite, measure
from tpch_bench.report import has_runs, show


def run(suite: Suite, title: str, description: str, noun: str, sides: Sequence[str]) -> None:
    """Parse `sys.argv`, measure, show. `noun` names the option that picks tasks."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [task.name for task in suite.tasks]
    parser.add_argument("--scale", type=float, default=1.0, help="the scale factor of TPC-H (1)")
    parser.add_argument(f"--{noun}", dest="tasks", help=f"some of {','.join(names)} (all)")
    parser.add_argument("--repeats", type=int, default=5, help="warm runs of each task and side (5)")
    parser.add_argument("--cold-repeats", type=int, default=2, help="the same, each in a new process (2)")
    parser.add_argument("--engines", default=",".join(sides), help=f"some of {','.join(sides)} (all)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the warm times")
    options = parser.parse_args()
    engines = _picked(parser, "--engines", options.engines, sides)
    picked = _picked(parser, f"--{noun}", options.tasks or ",".join(names), names)
    if options.repeats < 0 or options.cold_repeats < 0 or options.repeats + options.cold_repeats == 0:
        parser.error("there is nothing to measure without repeats")
    if options.plot and (not options.repeats or importlib.util.find_spec("matplotlib") is None):
        parser.error("--plot draws warm runs, with matplotlib: pip install 'heddle[bench]'")

    warm, cold = measure(
        Suite([task for task in suite.tasks if task.name in picked], suite.sides),
        engines,
        options.scale,
        warm=options.repeats,
        cold=options.cold_repeats,
        told=lambda line: print(line, file=sys.stderr),
    )
    show(title, warm, cold, options.scale)
    if options.plot and has_runs(warm):
        from tpch_bench.plot import write_plot

        write_plot(options.plot, f"{title}, scale factor {options.scale:g}", warm)


def _picked(parser: argparse.ArgumentParser, option: str, text: str, known: Sequence[str]) -> list[str]:
    picked = [name.strip() for name in text.split(",")]
    for name in picked:
        if name not in known:
            parser.error(f"{option}: there is no {name!r}; it takes some of {', '.join(known)}")
    return picked
