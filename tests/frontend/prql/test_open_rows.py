"""Queries over rows that are not all known: names and types as far as they go, and what is demanded."""

from __future__ import annotations

import pyarrow as pa
import pytest

from heddle.core.planning import PlanFailure, TypePlanner
from heddle.core.types import OPEN_ROW, Column, RowType
from heddle.frontend.prql.request import CompiledQuery
from tests.frontend.prql.queries import TABLES, compiled, failed, new_compiler, request, run_sql


def test_a_query_asks_for_what_it_names() -> None:
    result = compiled("from loose | filter amount > 100 | select {user_id, amount}")
    assert result.late
    assert result.demands == {"loose": frozenset({"user_id", "amount"})}
    assert result.row == RowType((Column("user_id", None), Column("amount", None)))


def test_known_columns_keep_their_types() -> None:
    result = compiled("from stream | derive {twice = user_id * 2, other = x + 1}")
    assert result.row.open
    assert result.row.column("user_id") == Column("user_id", pa.int64())
    assert result.row.column("twice") == Column("twice", pa.int64())
    assert result.row.column("other") == Column("other", None)


@pytest.mark.parametrize(
    ("expression", "type_"),
    [("a == b", pa.bool_()), ("(count this)", pa.int64()), ("f'{a}'", pa.string()), ("3", pa.int64())],
)
def test_what_has_one_type_whatever_it_reads(expression: str, type_: pa.DataType) -> None:
    found = compiled(f"from loose | select {{x = {expression}}}").row.column("x")
    assert found is not None
    assert found.type in (type_, None if expression.startswith("f") else type_)


def test_the_row_of_a_query_that_passes_everything_on_is_open() -> None:
    result = compiled("from loose | filter x > 3")
    assert result.row.open
    assert result.row.names == ("x",)


def test_a_column_that_is_computed_anew_stands_in_for_the_old_one() -> None:
    result = compiled("from loose | derive pieces = pieces + 1 | select !{note}")
    table = run_sql(result.sql, {"loose": TABLES["orders"]})
    assert "note" not in table.column_names
    assert table.column_names.count("pieces") == 1
    assert table["pieces"].to_pylist() == [8, -6, 4, 11, 1]


def test_a_clash_of_open_relations_that_is_known() -> None:
    query = "from loose | join stream (loose.x == stream.user_id && loose.user_id > 0)"
    assert compiled(query).row.names == ("x", "user_id", "stream_user_id")


def test_nothing_leaks_from_one_query_to_another() -> None:
    """Two queries of one call each know only the columns that they ask for themselves."""
    texts = ["from loose | filter a > 1", "from loose | filter b > 1"]
    requests = [request(t, key=f"q{i}", relations={"loose": "loose"}) for i, t in enumerate(texts)]
    results = new_compiler().compile(requests)
    assert [r.row.names for r in results.values() if isinstance(r, CompiledQuery)] == [("a",), ("b",)]


def test_a_reader_of_an_open_query_asks_that_query() -> None:
    first = request("from loose | filter a > 1", key="q1", relations={"loose": "loose"})
    second = request("from input | select {a, b}", key="q2", piped="q1")
    results = new_compiler().compile([first, second])
    reader = results["q2"]
    assert isinstance(reader, CompiledQuery)
    assert reader.demands == {"q1": frozenset({"a", "b"})}
    assert reader.inputs == ("q1",)


def test_a_late_query_is_typed_when_schemas_are_there() -> None:
    result = compiled("from loose | filter amount > 1 | derive {x = amount * pieces}")
    planner = TypePlanner()
    planner.define("loose", TABLES["orders"].schema)
    assert planner.schema(result.sql).field("x").type == pa.float64()
    planner.define("loose", TABLES["users"].schema)
    with pytest.raises(PlanFailure):
        planner.schema(result.sql)


def test_what_is_known_to_be_missing_is_missing_in_open_rows_no_more() -> None:
    """After a `select` the row is closed, so that an unknown name is an error again."""
    (found,) = failed("from loose | select {a, b} | filter c > 1").diagnostics
    assert found.code == "HD0601"
    assert found.help == "available columns: a, b"


def test_readers_of_a_failed_query_go_on() -> None:
    first = request("select nope", key="q1")
    second = request("filter x > 1", key="q2", piped="q1")
    third = request("filter nope > 1", key="q3")
    results = new_compiler({"unread": OPEN_ROW}).compile([first, second, third])
    assert [bool(r.diagnostics) for r in results.values()] == [True, False, True]
    reader = results["q2"]
    assert isinstance(reader, CompiledQuery) and reader.late
