"""The quick set: every benchmark at a size that takes seconds, and one report in Markdown.

`python -m benchmarks [--only chain,compile] [--report FILE]` runs the commands one after the other, prints
the report and writes it to `.cache/bench/report.md`: the machine and the commit, and of each command both
sides of every number. A command that fails is in the report with its last words, and the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import CACHE, ROOT, conditions
from benchmarks.sheet import picked

REPORT = CACHE / "bench" / "report.md"


@dataclass(frozen=True, slots=True)
class Command:
    """`title` heads its part of the report."""

    name: str
    title: str
    module: str
    arguments: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        return " ".join(["python -m", self.module, *(a or "''" for a in self.arguments)])


def _of(name: str, title: str, *arguments: str) -> Command:
    return Command(name, title, f"benchmarks.{name}", arguments)


QUICK = (
    _of("cold", "Cold start", "--repeats", "2"),
    _of("compile", "Compile and plan time", "--repeats", "7"),
    _of("chain", "Cost of a step"),
    _of("rewrites", "Rewrites", "--repeats", "3"),
    _of("memory", "Memory budgets", "--scale", "1"),
    _of("memo", "Memo of steps", "--repeats", "2", "--milliseconds", "10"),
    _of("concurrent", "Workflows at a time", "--scale", "0.1"),
    _of("handoff", "Hand-off to plugins", "--rows", "2500000", "--repeats", "3", "--languages", ""),
    _of("batching", "Merged calls", "--seconds", "2"),
    _of("streaming", "Streaming", "--rows", "2000000"),
    _of("overhead", "Cost over the same by hand", "--quick"),
    Command(
        "tpch",
        "TPC-H",
        "tpch_bench",
        ("--repeats", "3", "--cold-repeats", "0", "--engines", "heddle,duckdb,datafusion"),
    ),
)


@dataclass(frozen=True, slots=True)
class Part:
    """What a command said, ready for the report."""

    command: Command
    seconds: float
    said: str
    failed: bool

    def __str__(self) -> str:
        head = f"## {self.command.title}\n\n`{self.command.line}`, {self.seconds:.0f} s"
        return f"{head}\n\n{self.said}\n"


def run(command: Command) -> Part:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", command.module, *command.arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = done.returncode != 0
    if failed:
        said = f"It failed: {_complaint(done.stderr) or f'exit code {done.returncode}'}"
    else:
        said = _said(done.stdout)
    return Part(command, time.perf_counter() - started, said, failed)


def _said(output: str) -> str:
    """A command's tables as they are, what has no table as text; the result and the load after it."""
    lines = output.strip().splitlines()
    result = lines.pop()
    tables = [i for i, line in enumerate(lines) if line.startswith("| ")]
    if not tables:
        return f"```text\n{output.strip()}\n```"
    load = next((line for line in lines if line.startswith("at end")), "")
    shown = "\n".join(lines[tables[0] :]).strip()
    return "\n\n".join([shown, f"`{result}`", *([f"`{load}`"] if load else [])])


def _complaint(stderr: str) -> str:
    """The last line that names an error, else the last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")


def report(parts: Sequence[Part]) -> str:
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    head = f"# Benchmarks of Heddle\n\n```text\n{conditions()}\nended     {when}\n```\n"
    reading = "What is measured and how to read it: docs/internals/benchmarks.md.\n"
    return "\n".join([head, reading, *map(str, parts)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = tuple(command.name for command in QUICK)
    parser.add_argument("--only", type=picked(*names), default=names, help=f"some of {','.join(names)} (all)")
    parser.add_argument("--report", type=Path, default=REPORT, metavar="FILE", help=f"({REPORT})")
    options = parser.parse_args()
    parts = []
    for command in QUICK:
        if command.name in options.only:
            print(command.line, file=sys.stderr, flush=True)
            parts.append(run(command))
    text = report(parts)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(text)
    print(text)
    print(f"written to {options.report}", file=sys.stderr)
    if any(part.failed for part in parts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
