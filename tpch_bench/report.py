"""What was measured, as tables and bars on the terminal and as one line of JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from importlib.metadata import version

from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from benchmarks.harness import commit, machine
from tpch_bench.measure import Measured, Runs

NAMES = {
    "heddle": "Heddle",
    "duckdb": "DuckDB",
    "datafusion": "DataFusion",
    "polars": "Polars",
    "chdb": "chDB",
}
BAR_WIDTH = 30
SHORT_NAMES = {
    "geomean_vs_duckdb": "heddle_vs_duckdb_geomean",
    "worst_vs_duckdb": "heddle_vs_duckdb_worst",
    "geomean_vs_datafusion": "heddle_vs_datafusion_geomean",
    "rss_vs_duckdb": "heddle_vs_duckdb_rss",
}


def wall_s(runs: Runs) -> float:
    return runs.wall_s


def cpu_s(runs: Runs) -> float:
    return runs.cpu_s


def conditions(measured: Measured, scale: float) -> str:
    lines = [machine()]
    lines += [f"          {side} {version(side)}" for side in ("polars", "chdb") if side in measured.runs]
    lines.append(f"commit    {commit()}")
    lines.append(f"data      TPC-H at scale factor {scale:g}, Parquet, files in the page cache")
    lines += [f"skipped   {side}: it is not installed" for side in measured.skipped]
    return "\n".join(lines)


def times(title: str, measured: Measured) -> Table:
    """Medians in milliseconds of wall time, and Heddle's ratios of wall and CPU time to each other side."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for side in measured.runs:
        table.add_column(f"{NAMES[side]} ms", justify="right")
    for side in measured.others:
        table.add_column(f"/ {NAMES[side]}", justify="right")
        table.add_column("CPU", justify="right", style="dim")
    for task in next(iter(measured.runs.values())):
        cells = [f"{1e3 * measured.runs[side][task].wall_s:.0f}" for side in measured.runs]
        for side in measured.others:
            cells += [f"{measured.ratios(side, of)[task]:.2f}" for of in (wall_s, cpu_s)]
        table.add_row(task, *cells)
    table.add_section()
    table.add_row("geomean", *_summary(measured, statistics.geometric_mean))
    table.add_row("worst", *_summary(measured, max))
    return table


def _summary(measured: Measured, of_all: Callable[[Iterable[float]], float]) -> list[str]:
    cells = [
        f"{1e3 * of_all(runs.wall_s for runs in tasks.values()):.0f}" for tasks in measured.runs.values()
    ]
    for side in measured.others:
        cells += [f"{of_all(measured.ratios(side, of).values()):.2f}" for of in (wall_s, cpu_s)]
    return cells


def memory(warm: Measured, cold: Measured) -> Table:
    table = Table(title="Peak resident memory, MB", title_justify="left")
    table.add_column("")
    kinds = [(kind, measured) for kind, measured in (("warm", warm), ("cold", cold)) if has_runs(measured)]
    for side in warm.runs:
        table.add_column(NAMES[side], justify="right")
    for kind, measured in kinds:
        table.add_row(kind, *(f"{measured.peak_bytes(side) / 1e6:.0f}" for side in measured.runs))
    return table


def bars(measured: Measured) -> Table:
    """Heddle's wall time over that of each other side: a bar for each task, all on one scale."""
    ratios = {side: measured.ratios(side, wall_s) for side in measured.others}
    longest = max(max(by_task.values()) for by_task in ratios.values())
    table = Table(title="Ratio of wall times, warm", title_justify="left", box=None)
    table.add_column("")
    for side in ratios:
        table.add_column(f"/ {NAMES[side]}", width=BAR_WIDTH)
        table.add_column("", justify="right")
    for task in measured.runs["heddle"]:
        cells: list[Bar | str] = []
        for by_task in ratios.values():
            ratio = by_task[task]
            color = "green" if ratio <= 1.1 else "yellow" if ratio <= 1.3 else "red"
            cells += [Bar(longest, 0, ratio, width=BAR_WIDTH, color=color), f"{ratio:.2f}"]
        table.add_row(task, *cells)
    return table


def has_runs(measured: Measured) -> bool:
    return any(runs.of for tasks in measured.runs.values() for runs in tasks.values())


def result(warm: Measured, cold: Measured, scale: float) -> dict[str, float]:
    """Every ratio by name: `heddle_vs_SIDE_geomean`, `_worst`, `_cpu_geomean`, `_rss`, and the same of cold
    runs; those that are also known by a shorter name come first."""
    found: dict[str, float] = {}
    for prefix, measured in (("", warm), ("cold_", cold)):
        if not has_runs(measured):
            continue
        for side in measured.others:
            name = f"{prefix}heddle_vs_{side}"
            wall, cpu = measured.ratios(side, wall_s).values(), measured.ratios(side, cpu_s).values()
            found[f"{name}_geomean"] = statistics.geometric_mean(wall)
            found[f"{name}_worst"] = max(wall)
            found[f"{name}_cpu_geomean"] = statistics.geometric_mean(cpu)
            found[f"{name}_rss"] = measured.peak_bytes("heddle") / measured.peak_bytes(side)
    short = {name: found[long] for name, long in SHORT_NAMES.items() if long in found}
    return {"sf": scale} | {name: round(value, 3) for name, value in (short | found).items()}


def show(title: str, warm: Measured, cold: Measured, scale: float) -> None:
    console = Console(width=None if Console().is_terminal else 140)
    console.print(conditions(warm, scale), highlight=False)
    for kind, measured in (("warm", warm), ("cold", cold)):
        if has_runs(measured):
            console.print()
            console.print(times(f"{title}, {kind}", measured))
    console.print()
    console.print(memory(warm, cold))
    if warm.others and has_runs(warm):
        console.print()
        console.print(bars(warm))
    console.print()
    print("RESULT " + json.dumps(result(warm, cold, scale)))
