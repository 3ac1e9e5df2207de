"""Measuring sides against each other: every run in random order beside the others, every answer checked.

`measure` takes a suite (its tasks and the module that has its sides) and gives the runs of each
side and task, warm and cold. Each side has one process that stays, for its warm runs; a cold run is a
process of its own, from its start to its end. The right answers are DuckDB's; a wrong one ends the benchmark.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from tpch_bench.answers import differences
from tpch_bench.data import tables
from tpch_bench.sides import Task, cold_heddle

REFERENCE = "duckdb"


@dataclass(frozen=True, slots=True)
class Suite:
    """`sides` is the module with `SIDES`."""

    tasks: Sequence[Task]
    sides: str


@dataclass(frozen=True, slots=True)
class Run:
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one side at one task, in the order in which they were made."""

    of: list[Run] = field(default_factory=list)

    @property
    def wall_s(self) -> float:
        return statistics.median(run.wall_s for run in self.of)

    @property
    def cpu_s(self) -> float:
        return statistics.median(run.cpu_s for run in self.of)


@dataclass(frozen=True, slots=True)
class Measured:
    """`runs[side][task]`; a side that is not installed is in `skipped`."""

    runs: Mapping[str, Mapping[str, Runs]]
    skipped: Sequence[str]

    @property
    def others(self) -> list[str]:
        """The sides that Heddle is compared with; none when Heddle was not measured."""
        return [side for side in self.runs if side != "heddle"] if "heddle" in self.runs else []

    def ratios(self, side: str, of: Callable[[Runs], float]) -> Mapping[str, float]:
        """Heddle's median over the side's, by task."""
        return {task: of(ours) / of(self.runs[side][task]) for task, ours in self.runs["heddle"].items()}

    def peak_bytes(self, side: str) -> int:
        """The most memory that any run of the side had."""
        return max(run.peak_bytes for runs in self.runs[side].values() for run in runs.of)


def installed(sides: Sequence[str]) -> list[str]:
    """A side has the name of its library."""
    return [side for side in sides if importlib.util.find_spec(side) is not None]


def measure(
    suite: Suite, sides: Sequence[str], scale: float, *, warm: int, cold: int, told: Callable[[str], None]
) -> tuple[Measured, Measured]:
    """The warm and the cold runs. `told` hears what is being done. Raises `SystemExit` for a wrong answer."""
    if not installed([REFERENCE]):
        raise SystemExit("the right answers are DuckDB's: pip install duckdb")
    present = installed(sides)
    skipped = [side for side in sides if side not in present]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        right = _right_answers(suite, scale, scratch, told)
        with ExitStack() as stack:
            works = {side: stack.enter_context(_warm(suite, side, scale)) for side in present}
            _interleaved(suite, works, right, scratch, 1, lambda done: told("warming up"))
            warm_runs = _interleaved(suite, works, right, scratch, warm, lambda done: told(f"warm, {done}"))
        commands = {side: _cold(suite, side, scale) for side in present}
        cold_runs = _interleaved(suite, commands, right, scratch, cold, lambda done: told(f"cold, {done}"))
    return Measured(warm_runs, skipped), Measured(cold_runs, skipped)


Side = Callable[[Task, Path], Run]


def _interleaved(
    suite: Suite,
    sides: Mapping[str, Side],
    right: Mapping[str, pa.Table],
    scratch: Path,
    repeats: int,
    told: Callable[[str], None],
) -> Mapping[str, Mapping[str, Runs]]:
    """`repeats` rounds over all tasks, each task's sides in random order."""
    order = random.Random(1)
    runs = {side: {task.name: Runs() for task in suite.tasks} for side in sides}
    for turn in range(repeats):
        told(f"round {turn + 1} of {repeats}")
        for task in suite.tasks:
            for side in order.sample(list(sides), len(sides)):
                answer = scratch / f"{side}.arrow"
                runs[side][task.name].of.append(sides[side](task, answer))
                compare(side, task, answer, right[task.name])
                answer.unlink()
    return runs


def compare(side: str, task: Task, answer: Path, right: pa.Table) -> None:
    found = differences(_read(answer), right)
    if found:
        raise SystemExit(f"{side}, {task.name}: the answer is not DuckDB's: {'; '.join(found[:3])}")


def _right_answers(
    suite: Suite, scale: float, scratch: Path, told: Callable[[str], None]
) -> Mapping[str, pa.Table]:
    told("the right answers, by DuckDB")
    answers: dict[str, pa.Table] = {}
    with _warm(suite, REFERENCE, scale) as work:
        for task in suite.tasks:
            path = scratch / f"right-{task.name}.arrow"
            work(task, path)
            answers[task.name] = _read(path)
    return answers


def _read(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _worker(suite: Suite, side: str, scale: float) -> list[str]:
    return [sys.executable, "-m", "tpch_bench.worker", suite.sides, side, f"{scale:g}"]


@contextmanager
def _warm(suite: Suite, side: str, scale: float) -> Iterator[Side]:
    """A process that stays and runs what it is told."""
    tables(scale)
    with subprocess.Popen(
        _worker(suite, side, scale), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        pipes = worker.stdin, worker.stdout

        def run(task: Task, answer: Path) -> Run:
            pipes[0].write(json.dumps([task.name, str(answer)]) + "\n")
            pipes[0].flush()
            line = pipes[1].readline()
            if not line:
                raise SystemExit(f"{side}, {task.name}: the run failed")
            return Run(**json.loads(line))

        yield run
        worker.stdin.close()


def _cold(suite: Suite, side: str, scale: float) -> Side:
    """A process for each run; its children count as well."""
    paths = tables(scale)

    def run(task: Task, answer: Path) -> Run:
        command = (
            cold_heddle(task, paths, answer)
            if side == "heddle"
            else [*_worker(suite, side, scale), task.name, str(answer)]
        )
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{side}, {task.name}: the cold run failed")
        return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    return run
