"""TPC-H at scale factor 0.1: the answers of every side, the real engine's above all, equal DuckDB's."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from tpch_bench import mixed
from tpch_bench.answers import QUERIES, Query, differences, duckdb_answer
from tpch_bench.data import TABLES, tables
from tpch_bench.mixed import PIPELINES, Pipeline
from tpch_bench.mixed import sides as mixed_sides
from tpch_bench.polars_queries import QUERIES as BY_HAND
from tpch_bench.sides import SIDES, Work

SCALE = 0.1


@pytest.fixture(scope="module")
def table_paths() -> Mapping[str, Path]:
    return tables(SCALE)


@pytest.fixture(scope="module", params=["heddle", "datafusion", "polars"])
def side(request: pytest.FixtureRequest, table_paths: Mapping[str, Path]) -> Iterator[Work]:
    with SIDES[request.param](table_paths) as work:
        yield work


@pytest.fixture(scope="module", params=["heddle", "polars"])
def mixed_side(request: pytest.FixtureRequest, table_paths: Mapping[str, Path]) -> Iterator[Work]:
    with mixed_sides.SIDES[request.param](table_paths) as work:
        yield work


def answer_of(work: Work, name: str, folder: Path) -> pa.Table:
    target = folder / "answer.arrow"
    work(name, target)
    with pa.OSFile(str(target)) as file:
        return pa.ipc.open_file(file).read_all()


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.workflow)
def test_answer_equals_duckdbs(
    side: Work, query: Query, table_paths: Mapping[str, Path], tmp_path: Path
) -> None:
    right = duckdb_answer(query, table_paths)
    assert right.num_rows > 0
    assert differences(answer_of(side, query.name, tmp_path), right) == []


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda pipeline: pipeline.name)
def test_pipeline_equals_the_one_by_hand(
    mixed_side: Work, pipeline: Pipeline, table_paths: Mapping[str, Path], tmp_path: Path
) -> None:
    with mixed_sides.SIDES["duckdb"](table_paths) as by_hand:
        right = answer_of(by_hand, pipeline.name, tmp_path)
    assert right.num_rows > 0
    assert differences(answer_of(mixed_side, pipeline.name, tmp_path), right) == []


def test_all_queries_are_there() -> None:
    assert [query.number for query in QUERIES] == list(BY_HAND) == list(range(1, 23))
    assert sorted(path.name for path in QUERIES[0].program.parent.iterdir()) == [
        f"q{number:02}.he" for number in BY_HAND
    ]
    assert {path.stem for path in mixed.HERE.glob("*.he")} == {pipeline.name for pipeline in PIPELINES}


@pytest.mark.parametrize("profile", ["small", "sf1"])
def test_the_profiles_bind_every_table(profile: str) -> None:
    settings = tomllib.loads((QUERIES[0].program.parents[1] / "heddle.toml").read_text())
    assert tuple(settings["profile"][profile]["params"]) == TABLES


def test_a_wrong_answer_is_noticed(table_paths: Mapping[str, Path]) -> None:
    right = duckdb_answer(QUERIES[0], table_paths)
    first_cent_off = pa.array([value + 1 for value in right["sum_qty"].to_pylist()], right["sum_qty"].type)
    wrong = right.set_column(right.column_names.index("sum_qty"), "sum_qty", first_cent_off)
    assert len(differences(wrong, right)) == right.num_rows
