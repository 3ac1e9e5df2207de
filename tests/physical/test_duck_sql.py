"""A fragment's SQL for DuckDB: its averages need no cast, and nothing else of the text changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from heddle.engine import Engine, RunOptions
from heddle.logical.plan import Fragment
from heddle.physical.duck_sql import duckdb_sql, parquet_table, stream_table, values_of


@pytest.fixture
def fragment(tmp_path: Path) -> Fragment:
    path = tmp_path / "main.he"
    path.write_text("workflow W {\n  [{ a: 1 }]\n    | (from input | take 1)\n    > one\n}\n")
    with Engine.open(path) as engine:
        program = engine.check().program
        assert program is not None
        plan = engine.plan(program, RunOptions())
    (found,) = (op for op in plan.ops.values() if isinstance(op, Fragment))
    return replace(found, columns=None, limit=None)


def rendered(fragment: Fragment, sql: str) -> str:
    return duckdb_sql(replace(fragment, queries=(replace(fragment.queries[-1], sql=sql),)), [])


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ('SELECT AVG(CAST("a" AS DOUBLE))', 'SELECT AVG("a")'),
        ('SELECT AVG(CAST("t"."a""b" AS DOUBLE))', 'SELECT AVG("t"."a""b")'),
        ('SELECT AVG(CAST(("a" * 2) AS DOUBLE))', 'SELECT AVG(CAST(("a" * 2) AS DOUBLE))'),
        ("""SELECT 'AVG(CAST("a" AS DOUBLE))'""", """SELECT 'AVG(CAST("a" AS DOUBLE))'"""),
        ("""SELECT 'it''s', AVG(CAST("a" AS DOUBLE))""", """SELECT 'it''s', AVG("a")"""),
    ],
)
def test_averages(fragment: Fragment, sql: str, expected: str) -> None:
    assert rendered(fragment, sql) == expected


def test_parameters_are_in_the_order_of_the_tables(fragment: Fragment, tmp_path: Path) -> None:
    tables = [parquet_table("a", [tmp_path / "1"]), stream_table("b"), parquet_table("c", [tmp_path / "2"])]
    assert values_of(tables) == [[str(tmp_path / "1")], [str(tmp_path / "2")]]
    assert duckdb_sql(fragment, tables).count("read_parquet(?") == 2
