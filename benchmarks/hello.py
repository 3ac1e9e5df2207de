"""Cold start: from the start of a process to the first row on stdout, `heddle run hello.he` against a script.

The script imports pyarrow, datafusion and prqlc and runs the same query. Heddle compiles the program each
time; beside it stands a run that finds the program compiled by an earlier one. All run in the environment
that `pip install heddle` makes, with this checkout in it: `import pyarrow` takes half as long again where
NumPy is installed, and `import datafusion` several times as long where pandas is, neither of which Heddle
asks for. The environment is made at the first use.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import CACHE, ROOT, Comparison, Side, interleaved

ENVIRONMENT = CACHE / "core"
PYTHON = ENVIRONMENT / "bin" / "python"
LOCK = ROOT / "requirements.lock"

PROGRAM = """\
workflow Hello {
  [
    { name: "ada", born: 1815 }
    { name: "grace", born: 1906 }
    { name: "barbara", born: 1939 }
  ]
    | (from input | filter born > 1900 | select {name, born})
    | io.print
}
"""

SCRIPT = """\
import datafusion
import prqlc
import pyarrow as pa

people = pa.table({"name": ["ada", "grace", "barbara"], "born": [1815, 1906, 1939]})
options = prqlc.CompileOptions(target="sql.glaredb", signature_comment=False)
sql = prqlc.compile("from people | filter born > 1900 | select {name, born}", options)
context = datafusion.SessionContext()
context.from_arrow(people, name="people")
for batch in context.sql(sql).execute_stream():
    for row in batch.to_pyarrow().to_pylist():
        print(row["name"], row["born"], flush=True)
"""

FIRST_ROW = b"grace"
OTHER_ROW, NO_ROW = rb"\bbarbara\b", rb"\bada\b"


def measure(repeats: int) -> tuple[Comparison, Comparison]:
    """Compiled each time, and compiled before, each against the script."""
    with sides() as (heddle, by_hand), compiled_before() as known:
        seconds = interleaved({"heddle": heddle, "known": known, "by hand": by_hand}, repeats=repeats)
    return (
        Comparison("hello, cold to first row", seconds["heddle"], seconds["by hand"]),
        Comparison("the same, compiled before", seconds["known"], seconds["by hand"]),
    )


@contextmanager
def compiled_before() -> Iterator[Side]:
    """Heddle's, with a cache folder of its own, which the first run fills."""
    _ensure_environment()
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch, "hello.he")
        program.write_text(PROGRAM)
        yield first_row(_run(program), {"HEDDLE_PROGRAM_CACHE": "on", "XDG_CACHE_HOME": scratch})


@contextmanager
def sides() -> Iterator[tuple[Side, Side]]:
    """Heddle's, which compiles the program each time, and the one by hand."""
    _ensure_environment()
    with tempfile.TemporaryDirectory() as scratch:
        program, script = Path(scratch, "hello.he"), Path(scratch, "by_hand.py")
        program.write_text(PROGRAM)
        script.write_text(SCRIPT)
        yield (
            first_row(_run(program), {"HEDDLE_PROGRAM_CACHE": "off"}),
            first_row([str(PYTHON), str(script)]),
        )


def _run(program: Path) -> list[str]:
    return [str(ENVIRONMENT / "bin" / "heddle"), "run", str(program)]


def first_row(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Side:
    """Counts from the start of the process to its first row on stdout; looks at the other rows, too.

    A checkout gets its bytecode at its first run, where an installed package has it: so it may be written.
    """
    environment = {**os.environ, **(environ or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def side() -> float:
        started = time.perf_counter()
        with (
            tempfile.TemporaryFile() as stderr,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment) as process,
        ):
            assert process.stdout is not None
            seen = b""
            while FIRST_ROW not in seen:
                chunk = os.read(process.stdout.fileno(), 65_536)
                if not chunk:
                    stderr.seek(0)
                    raise SystemExit(f"{command} printed no row: {stderr.read().decode()}")
                seen += chunk
            took = time.perf_counter() - started
            seen += process.stdout.read()
        if not re.search(OTHER_ROW, seen) or re.search(NO_ROW, seen):
            raise SystemExit(f"{command} printed other rows than it should: {seen.decode()}")
        return took

    return side


def _ensure_environment() -> None:
    stamp = ENVIRONMENT / "made-of.txt"
    made_of = LOCK.read_text() + (ROOT / "pyproject.toml").read_text()
    if stamp.exists() and stamp.read_text() == made_of:
        return
    print(f"making {ENVIRONMENT}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", str(LOCK)], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)
    stamp.write_text(made_of)
