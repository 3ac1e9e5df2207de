"""Pushing into databases changes no answer: random queries over random tables in real servers, with the
queries in the database and with them here."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.engine.databases import (
    ClickHouseDatabase,
    Database,
    DuckDbDatabase,
    PostgresqlDatabase,
    SqliteDatabase,
)
from tests.engine.pushdown_programs import Pipeline, random_pipeline, random_table
from tests.engine.pushdown_runs import lay_out, run_program

PIPELINES = 40
ROUNDS = int(os.environ.get("HEDDLE_PUSHDOWN_ROUNDS", "1"))
"""More of them for a night."""


@pytest.fixture(scope="module", params=["postgresql", "clickhouse", "duckdb", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    match request.param:
        case "postgresql":
            yield PostgresqlDatabase(request.getfixturevalue("postgresql"))
        case "clickhouse":
            server = request.getfixturevalue("clickhouse")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("CLICKHOUSE_PASSWORD", server.password)
                yield ClickHouseDatabase(server)
        case "sqlite":
            yield SqliteDatabase(tmp_path_factory.mktemp("sqlite") / "pushed.sqlite")
        case _:
            yield DuckDbDatabase(tmp_path_factory.mktemp("duckdb") / "pushed.duckdb")


@pytest.mark.parametrize("seed", range(2 * ROUNDS))
def test_a_query_gives_the_same_there_as_here(database: Database, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    database.load("things", random_table(chance))
    database.load("others", random_table(chance, rows=30))
    pipelines = [random_pipeline(chance) for _ in range(PIPELINES)]
    path = lay_out(database, _bodies(database, pipelines), tmp_path)
    here, there = run_program(path, pushdown=False), run_program(path)
    for name, pipeline in zip(there.outputs, pipelines, strict=True):
        told = f"{pipeline.text}\n{there.asked.get(name)}"
        assert _types(there.outputs[name]) == _types(here.outputs[name]), told
        assert _rows(there.outputs[name], pipeline) == _rows(here.outputs[name], pipeline), told
    assert there.pushed > PIPELINES // 10, there.stayed


def test_where_nothing_stays_the_database_gives_only_what_is_asked(
    database: Database, tmp_path: Path
) -> None:
    database.load("things", random_table(random.Random(7)))
    text = "filter k > 2\n        group kind (aggregate { n = count this })"
    ran = run_program(lay_out(database, _bodies(database, [Pipeline(text, False, False)]), tmp_path))
    (statement,) = ran.asked["W0"]
    assert "GROUP BY" in statement and '"k" > 2' in statement
    assert not ran.stayed


def _bodies(database: Database, pipelines: list[Pipeline]) -> dict[str, str]:
    things, others = (f'{database.source("table")} {{ table: "{name}" }}' for name in ("things", "others"))
    return {
        f"W{number}": (f"  {others}\n    > others\n\n" if pipeline.joined else "")
        + f"  {things}\n    | (\n        from input\n        {pipeline.text}\n      )"
        for number, pipeline in enumerate(pipelines)
    }


def _types(table: pa.Table) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in table.schema]


def _rows(table: pa.Table, pipeline: Pipeline) -> list[tuple[object, ...]]:
    rows = [tuple(_comparable(value) for value in row.values()) for row in table.to_pylist()]
    return rows if pipeline.sorted else sorted(rows, key=repr)


def _comparable(value: object) -> object:
    """NaN equals itself, and the two zeros are one."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value
