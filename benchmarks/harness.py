"""What the benchmarks share: interleaved timing of two sides, medians, and a description of the machine.

Both sides of a comparison run in one process or as processes of one parent, in random order, so that
a busy machine slows both. A side is a function that does the work once and returns how long the part
that counts took; `compare` turns two sides into a `Comparison`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
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
    order = random.Random(seed)
    heddle()
    by_hand()
    seconds: dict[Side, list[float]] = {heddle: [], by_hand: []}
    for _ in range(repeats):
        pair = [heddle, by_hand]
        order.shuffle(pair)
        for side in pair:
            seconds[side].append(side())
    return Comparison(title, tuple(seconds[heddle]), tuple(seconds[by_hand]))


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


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} not installed"
