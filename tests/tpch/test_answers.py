"""TPC-H at scale factor 0.1 through the real engine: each answer equals DuckDB's on the same files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.engine import Engine, RunOptions
from heddle.physical.cancel import CancelToken
from heddle.std.sinks import Streams
from tpch_bench.answers import QUERIES, Query, differences, duckdb_answer
from tpch_bench.data import tables

SCALE = 0.1


@pytest.fixture(scope="session")
def table_paths() -> Mapping[str, Path]:
    return tables(SCALE)


def heddle_answer(query: Query, table_paths: Mapping[str, Path], folder: Path) -> pa.Table:
    engine = Engine.open(query.program, params={table: str(path) for table, path in table_paths.items()})
    checked = engine.check()
    assert checked.program is not None, checked.diagnostics
    target = folder / "answer.parquet"
    options = RunOptions(outputs={query.output: str(target)})
    streams = Streams(io.StringIO(), io.StringIO())
    result = engine.run(checked.program, options, lambda event: None, CancelToken(), streams)
    assert result.status == "succeeded", result.error
    return pq.read_table(target)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.workflow)
def test_answer_equals_duckdbs(query: Query, table_paths: Mapping[str, Path], tmp_path: Path) -> None:
    ours = heddle_answer(query, table_paths, tmp_path)
    assert differences(ours, duckdb_answer(query, table_paths)) == []


def test_a_wrong_answer_is_noticed(table_paths: Mapping[str, Path]) -> None:
    right = duckdb_answer(QUERIES[0], table_paths)
    first_cent_off = pa.array([value + 1 for value in right["sum_qty"].to_pylist()], right["sum_qty"].type)
    wrong = right.set_column(right.column_names.index("sum_qty"), "sum_qty", first_cent_off)
    assert len(differences(wrong, right)) == right.num_rows
