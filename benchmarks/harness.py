"""What the benchmarks share: interleaved timing of sides, medians, and a description of the machine.

All sides of a comparison run in one process or as processes of one parent, in random order, so that
a busy machine slows all of them. A side is a function that does the work once, checks its answer and
returns how long the part that counts took; `interleaved` gives the times of any number of sides,
`compare` those of two as a `Comparison`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
PACKAGES = ("heddle", "pyarrow", "datafusion", "prqlc", "duckdb")

Side = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds of each repeat of both sides, in the order in which they were measured."""

    title: str
    heddle_s: tuple[float, ...]
    by_hand_s: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Heddle's median over the median by hand."""
        return statistics.median(self.heddle_s) / statistics.median(self.by_hand_s)

    def __str__(self) -> str:
        return (
            f"{self.title:<28} heddle {spread(self.heddle_s)}   by hand {spread(self.by_hand_s)}"
            f"   ratio {self.ratio:.3f}"
        )


def compare(title: str, heddle: Side, by_hand: Side, *, repeats: int, seed: int = 1) -> Comparison:
    """Run each side once to warm up, then `repeats` pairs, each pair in random order."""
    seconds = interleaved({"heddle": heddle, "by hand": by_hand}, repeats=repeats, seed=seed)
    return Comparison(title, seconds["heddle"], seconds["by hand"])


def interleaved(
    sides: Mapping[str, Side], *, repeats: int, warm_ups: int = 1, seed: int = 1
) -> dict[str, tuple[float, ...]]:
    """What each side counted in `repeats` rounds, each round in random order, after rounds to warm up."""
    order = random.Random(seed)
    counted: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm_ups + repeats):
        for name in order.sample(list(sides), len(sides)):
            value = sides[name]()
            if turn >= warm_ups:
                counted[name].append(value)
    return {name: tuple(values) for name, values in counted.items()}


def timed(work: Callable[[], object]) -> Side:
    """A side that counts the whole of `work`."""

    def side() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return side


def spread(seconds: tuple[float, ...]) -> str:
    """Median with the fastest and the slowest, in milliseconds."""
    median = statistics.median(seconds)
    return f"{median * 1e3:8.1f} ms ({min(seconds) * 1e3:.1f} to {max(seconds) * 1e3:.1f})"


def machine() -> str:
    """Cores, memory, versions and load, as one line each."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return "\n".join(
        (
            f"machine   {os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}",
            f"versions  Python {platform.python_version()}, " + ", ".join(map(_version, PACKAGES)),
            f"load      {load} (1, 5, 15 minutes)",
        )
    )


def conditions() -> str:
    """The machine and the commit, as one line each."""
    return f"{machine()}\ncommit    {commit()}"


def commit() -> str:
    """The checkout's commit, and whether files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = " with uncommitted changes" if git("status", "--porcelain") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} not installed"
