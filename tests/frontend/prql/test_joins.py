"""`join t (==k)` has one column `k`, whatever the side; other clashes get a name and a warning."""

from __future__ import annotations

import pytest

from heddle.core.types import OPEN_ROW
from tests.frontend.prql.queries import TABLES, compiled, new_compiler, request, rows_of, run_sql

NAMES = ("id", "user_id", "amount", "pieces", "note", "paid", "day", "at", "users_note", "Country")


@pytest.mark.parametrize("side", ["inner", "left", "right", "full"])
def test_one_key_column_at_the_left_ones_place(side: str) -> None:
    result = compiled(f"join side:{side} users (==user_id)")
    assert result.row.names == NAMES
    assert run_sql(result.sql).column_names == list(NAMES)
    assert result.reduces and not result.sorts


def test_a_clash_is_a_warning_at_the_query() -> None:
    (warning,) = compiled("join users (==user_id)").diagnostics
    assert (warning.code, warning.severity) == ("HD0616", "warning")
    assert "`note`" in warning.message and "`users_note`" in warning.message


def test_no_warning_where_the_query_chooses() -> None:
    assert compiled("join users (==user_id) | select {id, n = users.note}").diagnostics == ()


def test_a_relation_called_as_a_new_column() -> None:
    result = compiled("join users (==user_id) | derive {users = 1, input = users.Country}")
    assert result.row.names == (*NAMES, "users", "input")
    assert len(result.diagnostics) == 1


def test_a_second_join_means_the_same_key() -> None:
    rows = rows_of("join u=users (==user_id) | join v=users (==user_id) | select {id, v.Country} | sort id")
    assert rows == [(1, "GB"), (2, "US"), (3, "GB")]


def test_two_keys_in_three_spellings() -> None:
    answers = [
        rows_of(f"join other=orders {keys} | select {{id, x = other.pieces}} | sort id")
        for keys in ("(==id && ==user_id)", "(==id, ==user_id)", "{==id, ==user_id}")
    ]
    assert answers == [[(1, 7), (2, -7), (3, 3), (4, 10)]] * 3


def test_a_key_and_another_condition() -> None:
    rows = rows_of('join users (==user_id && that.note == "new") | select {id, user_id}')
    assert rows == [(2, 20)]


def test_the_right_key_of_an_inner_join_can_still_be_named() -> None:
    assert rows_of("join users (==user_id) | filter users.user_id == 20 | select {users.user_id}") == [(20,)]
    assert compiled("join users (==user_id) | select {users.user_id}").row.names == ("user_id",)


def test_the_right_key_of_a_left_join_tells_what_found_nothing() -> None:
    rows = rows_of("join side:left users (==user_id) | filter users.user_id == null | select id | sort id")
    assert rows == [(4,), (5,)]


def test_both_keys_of_a_full_join_can_be_named() -> None:
    rows = rows_of(
        "join side:full users (==user_id)\n"
        "select {user_id, l = input.user_id, r = users.user_id}\nsort {user_id, l}\ntake 3..6"
    )
    assert rows == [(20, 20, 20), (30, 30, None), (40, None, 40), (None, None, None)]


def test_the_left_key_of_a_right_join_can_be_named() -> None:
    rows = rows_of(
        "join side:right users (==user_id) | filter input.user_id == null | select {user_id, Country}"
    )
    assert rows == [(40, "NL")]


def test_a_pipeline_can_be_joined() -> None:
    rows = rows_of("join (from users | filter note == 'new') (==user_id) | select {id, Country}")
    assert rows == [(2, "US")]


def test_a_natural_join_is_on_all_shared_columns() -> None:
    result = compiled("select {id, user_id} | join users | sort id")
    assert result.row.names == ("id", "user_id", "note", "Country")
    assert run_sql(result.sql).num_rows == 3


def test_a_natural_join_with_a_relation_of_the_same_call() -> None:
    compiler = new_compiler()
    first = request("from users | select {user_id, land = Country}", key="a", relations={"users": "users"})
    second = request("select {id, user_id} | join a", key="b", piped="orders", relations={"a": "a"})
    results = compiler.compile([first, second])
    assert results["b"].row.names == ("id", "user_id", "land")  # type: ignore[union-attr]


def test_legal_joins_keep_their_meaning() -> None:
    result = compiled("select {id, user_id} | join users (input.user_id == users.user_id)")
    assert result.row.names == ("id", "user_id", "users_user_id", "note", "Country")


def test_lineage_leaves_out_what_a_join_may_fill_with_nulls() -> None:
    lineage = compiled("join side:left users (==user_id)").lineage
    assert lineage["id"] == ("orders", "id")
    assert "Country" not in lineage


def test_keys_of_open_relations() -> None:
    compiler = new_compiler({"more": OPEN_ROW})
    query = request("from loose | join more (==user_id)", relations={"loose": "loose", "more": "more"})
    result = compiler.compile([query])["q1"]
    renamed = TABLES["users"].rename_columns(["user_id", "more_note", "Land"])
    table = run_sql(result.sql, {"loose": TABLES["orders"], "more": renamed})  # type: ignore[union-attr]
    assert table.column_names == [*TABLES["orders"].column_names, "more_note", "Land"]
    assert table.num_rows == 3


def test_two_joins_of_open_relations_on_one_key() -> None:
    compiler = new_compiler({"more": OPEN_ROW})
    names = ("loose", "more", "stream")
    text = "from loose | join more (==user_id) | join side:left stream (==user_id)"
    result = compiler.compile([request(text, relations={n: n for n in names})])["q1"]
    assert result.diagnostics == ()
    tables = {
        "loose": TABLES["orders"].select(["id", "user_id"]),
        "more": TABLES["users"].select(["user_id", "note"]),
        "stream": TABLES["users"].select(["user_id", "Country"]),
    }
    table = run_sql(result.sql, tables)  # type: ignore[union-attr]
    assert table.column_names == ["id", "user_id", "note", "Country"]
    assert table.num_rows == 3
