"""The measured times as a picture: a group of bars for each task, and Heddle's ratios below."""

from __future__ import annotations

from pathlib import Path

from tpch_bench.measure import Measured
from tpch_bench.report import NAMES, wall_s

COLORS = {
    "heddle": "#d1495b",
    "duckdb": "#e6b325",
    "datafusion": "#3b6fb6",
    "polars": "#6b8f71",
    "chdb": "#8a6fb0",
}


def write_plot(path: Path, title: str, measured: Measured) -> None:
    """`path` ends in a format of matplotlib: `.png`, `.svg`, `.pdf`."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    tasks = list(next(iter(measured.runs.values())))
    places = range(len(tasks))
    figure, (times, ratios) = pyplot.subplots(2, 1, figsize=(13, 8), sharex=True, layout="constrained")
    width = 0.8 / len(measured.runs)
    for index, (side, runs) in enumerate(measured.runs.items()):
        lefts = [place - 0.4 + (index + 0.5) * width for place in places]
        times.bar(
            lefts, [1e3 * runs[task].wall_s for task in tasks], width, label=NAMES[side], color=COLORS[side]
        )
    times.set_title(title)
    times.set_ylabel("wall time, ms, median")
    times.legend()
    for side in measured.others:
        by_task = measured.ratios(side, wall_s)
        ratios.plot(
            places,
            [by_task[task] for task in tasks],
            "o",
            label=f"Heddle / {NAMES[side]}",
            color=COLORS[side],
        )
    ratios.axhline(1, color="black", linewidth=0.8)
    ratios.set_ylabel("ratio of wall times")
    ratios.set_ylim(bottom=0)
    ratios.set_xticks(places, tasks)
    if measured.others:
        ratios.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
