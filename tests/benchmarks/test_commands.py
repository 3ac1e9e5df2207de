"""Every benchmark command at a size that takes no time: it checks its answers and ends with its result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, float]:
    assert done.returncode == 0, done.stderr
    word, _, told = done.stdout.splitlines()[-1].partition(" ")
    assert word == "RESULT"
    found: dict[str, float] = json.loads(told)
    return found


def test_compile() -> None:
    done = bench(
        "benchmarks.compile", "--repeats", "1", "--steps", "1,10", "--queries", "6", "--scale", "0.01"
    )
    found = result_of(done)
    assert list(found) == ["cold_ms_1", "cached_ms_1", "cold_ms_10", "cached_ms_10", "planning_vs_datafusion"]
    assert min(found.values()) > 0
    for expected in ("machine", "commit", "load", "≤ 10", "prqlc, 5 queries"):
        assert expected in done.stdout


def test_chain() -> None:
    done = bench("benchmarks.chain", "--repeats", "1", "--steps", "3", "--peers", "")
    assert list(result_of(done)) == ["inline_us", "plugin_us"]
    assert "Python loop" in done.stdout


def test_memo() -> None:
    found = result_of(
        bench("benchmarks.memo", *("--repeats", "1", "--steps", "4", "--milliseconds", "30", "--rows", "100"))
    )
    assert list(found) == ["memo_rerun", "memo_one_changed", "memo_calls"]
    assert found["memo_calls"] == 1


def test_lookup() -> None:
    sizes = ("--rows", "2000", "--probe-rows", "500", "--keys", "100")
    found = result_of(bench("benchmarks.lookup", "--repeats", "1", *sizes))
    assert list(found) == ["lookup_vs_rows", "lookup_vs_hand"]
    assert min(found.values()) > 0


def test_memory() -> None:
    found = result_of(
        bench(
            "benchmarks.memory",
            *("--repeats", "1", "--scale", "0.01", "--queries", "13", "--budgets", "512MB"),
        )
    )
    assert list(found) == ["finished", "worst_time_ratio", "worst_rss_over_budget_mb"]
    assert found["finished"] == 1
    assert found["worst_rss_over_budget_mb"] < 150


def test_memory_counts_what_does_not_finish() -> None:
    options = ("--repeats", "1", "--scale", "0.01", "--queries", "13", "--budgets", "1GB", "--timeout", "0.1")
    done = bench("benchmarks.memory", *options)
    found = result_of(done)
    assert found["finished"] == 0
    assert "worst_time_ratio" not in found
    assert "1 of 1 failed: not done after 0.1 s" in done.stdout


@pytest.mark.parametrize(
    ("only", "keys"),
    [
        (
            "filter_through_step,narrow_step",
            {"filter_through_step", "filter_through_step_scattered", "narrow_step"},
        ),
        ("fused_steps,opaque_step", {"fused_steps", "opaque_step"}),
        ("placement,top_k", {"placement", "top_k"}),
        ("shared_prefix", {"shared_prefix_one_run", "shared_prefix"}),
    ],
)
def test_rewrites(only: str, keys: set[str]) -> None:
    done = bench(
        "benchmarks.rewrites", "--repeats", "1", "--rows", "10000", "--scale", "0.01", "--only", only
    )
    found = result_of(done)
    assert {key for key in found if not key.endswith("_bytes")} == keys
    assert min(found.values()) > 0


def test_concurrent() -> None:
    found = result_of(
        bench(
            "benchmarks.concurrent",
            *("--repeats", "1", "--scale", "0.01", "--workflows", "2", "--queries", "1,6"),
        )
    )
    assert list(found) == ["throughput_vs_duckdb", "throughput_vs_datafusion"]
    assert min(found.values()) > 0


def test_all_of_them_make_one_report(tmp_path: Path) -> None:
    target = tmp_path / "report.md"
    done = bench("benchmarks", "--only", "compile", "--report", str(target))
    assert done.returncode == 0, done.stderr
    text = target.read_text()
    assert text in done.stdout
    for expected in (
        "# Benchmarks of Heddle",
        "commit",
        "## Compile and plan time",
        "| measured",
        "`RESULT {",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("module", "arguments", "complaint"),
    [
        ("compile", ("--queries", "23"), "there is no '23'"),
        ("memory", ("--budgets", "much"), "'much' is no size"),
        ("rewrites", ("--repeats", "0"), "nothing to measure without repeats"),
        ("cold", ("--peers", "make"), "there is no 'make'"),
        ("chain", ("--steps", "1"), "a chain has at least two steps"),
    ],
)
def test_what_cannot_be_measured_is_refused(module: str, arguments: tuple[str, ...], complaint: str) -> None:
    done = bench(f"benchmarks.{module}", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_postgres() -> None:
    found = result_of(
        bench("benchmarks.postgres", *("--repeats", "1", "--rows", "2000", "--write-rows", "500"))
    )
    assert list(found) == ["pushdown", "without_pushdown", "read_rate", "write_rate"]
    assert min(found.values()) > 0


def test_kafka() -> None:
    sizes = ("--messages", "2000", "--repeats", "1", "--steady-s", "1")
    found = result_of(bench("benchmarks.kafka", *sizes))
    assert list(found) == [
        "kafka_vs_bare",
        "kafka_vs_bare_with_start",
        "heddle_messages_per_s",
        "bare_messages_per_s",
        "heddle_messages_per_core_s",
        "bare_messages_per_core_s",
        "latency_p50_ms",
        "latency_p99_ms",
    ]
    assert found["latency_p99_ms"] >= found["latency_p50_ms"] > 0


def test_flightsql() -> None:
    sizes = ("--rows", "200000", "--point-rows", "100000")
    found = result_of(bench("benchmarks.flightsql", "--repeats", "1", "--peers", "", *sizes))
    assert list(found) == [
        *(
            "ingest_ratio",
            "ingest_native_ratio",
            "point_vs_datafusion",
            "point_served_vs_datafusion",
            "cancel_ms",
        ),
        *("idle_sessions_mb", "health_delay_ms", "slow_readers_mb"),
    ]
    assert found["ingest_ratio"] > 0
