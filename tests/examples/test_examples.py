"""Every program in `examples/` runs from a copy of its folder and prints what its `expected.txt` holds.

HEDDLE_REGENERATE=1 writes the expected outputs anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES, MAKEFILE = ROOT / "examples", ROOT / "Makefile"
REGENERATE = os.environ.get("HEDDLE_REGENERATE") == "1"
ARGUMENTS = {"parameters": ("--profile", "real")}
ENVIRONMENT = {"parameters": {"SALES_FILE": "sales.csv"}}
FOCUSED = ("hello", "cleaning", "joins", "handlers", "python_steps", "parameters")


def copy_of(name: str, folder: Path) -> Path:
    target = folder / name
    shutil.copytree(
        EXAMPLES / name, target, ignore=shutil.ignore_patterns("data", "out", "__pycache__", ".heddle")
    )
    return target


def heddle(
    *arguments: str, folder: Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("heddle")), *arguments]
    environ = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **(environ or {})}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FOCUSED)
def test_example_prints_what_it_says(name: str, tmp_path: Path) -> None:
    folder = copy_of(name, tmp_path)
    done = heddle("run", f"{name}.he", *ARGUMENTS.get(name, ()), folder=folder, environ=ENVIRONMENT.get(name))
    assert done.returncode == 0, done.stderr
    expected = EXAMPLES / name / "expected.txt"
    if REGENERATE:
        expected.write_text(done.stdout)
    assert done.stdout == expected.read_text()


@pytest.mark.parametrize("name", (*FOCUSED, "demo"))
def test_example_is_laid_out_by_fmt(name: str, tmp_path: Path) -> None:
    folder = copy_of(name, tmp_path)
    done = heddle("fmt", "--check", f"{name}.he", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cleaning_writes_the_cleaned_file(tmp_path: Path) -> None:
    folder = copy_of("cleaning", tmp_path)
    assert heddle("run", "cleaning.he", folder=folder).returncode == 0
    lines = (folder / "out" / "people.csv").read_text().splitlines()
    assert len(lines) == 4
    assert "ada@example.org" in lines[1]


def test_handlers_set_aside_the_rejected_rows(tmp_path: Path) -> None:
    folder = copy_of("handlers", tmp_path)
    done = heddle("run", "handlers.he", folder=folder)
    assert "handled" in done.stderr
    rows = [json.loads(line) for line in (folder / "out" / "set_aside.jsonl").read_text().splitlines()]
    reasons = {json.loads(row["payload"])["invoice"]: row["error_msg"] for row in rows}
    assert reasons == {2: "unknown currency", 4: "negative amount"}
    assert {row["step"] for row in rows} == {"rates.to_euro"}


def test_parameters_of_another_profile(tmp_path: Path) -> None:
    folder = copy_of("parameters", tmp_path)
    done = heddle("run", "parameters.he", "--profile", "test", "--param", "percent=50", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "20.25" in done.stdout
    assert "10.0" in done.stdout


def test_demo_prices_and_sets_aside_every_order_and_answers(tmp_path: Path) -> None:
    folder = copy_of("demo", tmp_path)
    generate = [sys.executable, str(folder / "generate.py")]
    subprocess.run(generate, cwd=folder, check=True, capture_output=True)
    done = heddle("run", "demo.he", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "handled" in done.stderr

    orders = pq.read_table(folder / "data" / "orders.parquet", columns=["order_id", "quantity", "unit_price"])
    unpriced = set(orders.filter(orders["unit_price"].is_null())["order_id"].to_pylist())
    lines = (folder / "out" / "rejected_orders.jsonl").read_text().splitlines()
    rejected = {
        json.loads(json.loads(line)["payload"])["order_id"]: json.loads(line)["error_msg"] for line in lines
    }
    priced = pq.read_table(folder / "out" / "priced_orders.parquet")
    assert len(lines) == len(rejected) > 1_000
    assert {order for order, reason in rejected.items() if reason == "no unit price"} <= unpriced
    assert not unpriced & set(priced["order_id"].to_pylist())
    assert not set(rejected) & set(priced["order_id"].to_pylist())
    assert priced["euro"].null_count == 0
    assert "plus" in done.stdout

    (query,) = re.findall(r'heddle sql examples/demo/demo\.he -c "(.*?)"', MAKEFILE.read_text(), re.DOTALL)
    asked = heddle("sql", "demo.he", "-c", query.replace("\\\n", ""), folder=folder)
    assert asked.returncode == 0, asked.stderr
    plus = priced.filter(pc.equal(priced["tier"], "plus")).group_by("country").aggregate([("euro", "sum")])
    best = plus.sort_by([("euro_sum", "descending")])["country"].to_pylist()[:3]
    assert [line.split()[0] for line in asked.stdout.splitlines()[2:5]] == best
