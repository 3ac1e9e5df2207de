"""The benchmarks end to end, at a scale factor that takes no time: report, plot, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tpch_bench.answers import QUERIES
from tpch_bench.measure import Measured, Run, Runs, Suite, compare, measure
from tpch_bench.report import result

ROOT = Path(__file__).parents[2]


def bench(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, "--scale", "0.01", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, float]:
    assert done.returncode == 0, done.stderr
    word, _, told = done.stdout.splitlines()[-1].partition(" ")
    assert word == "RESULT"
    found: dict[str, float] = json.loads(told)
    return found


def test_report_and_plot(tmp_path: Path) -> None:
    plot = tmp_path / "plot.png"
    done = bench(
        "tpch_bench", "--queries", "1,6", "--repeats", "1", "--cold-repeats", "1", "--plot", str(plot)
    )
    found = result_of(done)
    assert found["sf"] == 0.01
    assert found["geomean_vs_duckdb"] == found["heddle_vs_duckdb_geomean"] > 0
    for engine in ("duckdb", "datafusion", "polars", "chdb"):
        assert found[f"heddle_vs_{engine}_worst"] >= found[f"heddle_vs_{engine}_geomean"] > 0
        assert found[f"cold_heddle_vs_{engine}_rss"] > 0
    for expected in ("machine", "commit", "TPC-H, warm", "TPC-H, cold", "geomean", "Peak resident memory"):
        assert expected in done.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_mixed_counts_the_plugins_process() -> None:
    done = bench("tpch_bench.mixed", "--pipelines", "tone", "--engines", "heddle,duckdb", "--repeats", "1")
    found = result_of(done)
    assert found["heddle_vs_duckdb_rss"] > 1
    assert "heddle_vs_polars_geomean" not in found


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--queries", "23"), "--queries: there is no '23'"),
        (("--engines", "heddle,sqlite"), "--engines: there is no 'sqlite'"),
        (("--repeats", "0", "--cold-repeats", "0"), "nothing to measure"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: tuple[str, ...], complaint: str) -> None:
    done = bench("tpch_bench", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "RESULT" not in done.stdout


def test_a_wrong_answer_ends_the_benchmark(tmp_path: Path) -> None:
    answer = tmp_path / "answer.arrow"
    table = pa.table({"revenue": [1]})
    with pa.OSFile(str(answer), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(SystemExit, match="heddle, 6: the answer is not DuckDB's: row 0, revenue"):
        compare("heddle", QUERIES[5], answer, pa.table({"revenue": [2]}))


def test_an_engine_that_is_not_installed_is_skipped() -> None:
    suite = Suite(QUERIES[5:6], "tpch_bench.sides")
    warm, _ = measure(suite, ["no_such_engine", "duckdb"], 0.01, warm=1, cold=0, told=lambda line: None)
    assert warm.skipped == ["no_such_engine"]
    assert list(warm.runs) == ["duckdb"]


def test_ratios_are_of_medians() -> None:
    def runs(*seconds: float) -> Runs:
        return Runs([Run(wall_s, 2 * wall_s, 100) for wall_s in seconds])

    warm = Measured(
        {
            "heddle": {"1": runs(1, 2, 90), "2": runs(8, 8, 8)},
            "duckdb": {"1": runs(1, 1, 50), "2": runs(1, 1, 1)},
        },
        [],
    )
    cold = Measured({"heddle": {"1": Runs()}, "duckdb": {"1": Runs()}}, [])
    found = result(warm, cold, 1)
    assert found["geomean_vs_duckdb"] == 4
    assert found["worst_vs_duckdb"] == 8
    assert found["rss_vs_duckdb"] == 1
    assert not any(name.startswith("cold") for name in found)
