"""The order of a result: what a query is sorted by, and that the next query keeps it."""

from __future__ import annotations

import pytest

from heddle.frontend.prql.request import CompiledQuery
from tests.frontend.prql.queries import compiled, new_compiler, request, run_sql

Keys = tuple[tuple[str, bool], ...]


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("sort id", (("id", False),)),
        ("sort {-pieces, id}", (("pieces", True), ("id", False))),
        ("sort id | filter pieces > 1 | take 3", (("id", False),)),
        ("sort id | derive {x = pieces + 1} | select {x, id}", (("id", False),)),
        ("sort id | select {number = id}", (("number", False),)),
        ("sort {user_id, id} | select {user_id}", (("user_id", False),)),
        ("sort id | select pieces", ()),
        ("sort id | group user_id (aggregate {n = count this})", ()),
        ("sort id | append orders", ()),
        ("filter pieces > 1", ()),
        ("group user_id (sort id | take 1)", ()),
    ],
)
def test_what_a_result_is_sorted_by(text: str, order: Keys) -> None:
    assert compiled(text).order_by == order


@pytest.mark.parametrize(
    ("text", "sorts"), [("sort id | select pieces", True), ("sort id | aggregate {n = count this}", False)]
)
def test_whether_order_is_part_of_the_meaning(text: str, sorts: bool) -> None:
    assert compiled(text).sorts is sorts


def _chain(*texts: str) -> list[CompiledQuery]:
    requests = [
        request(text, key=f"q{i}", piped="orders" if i == 0 else f"q{i - 1}") for i, text in enumerate(texts)
    ]
    results = new_compiler().compile(requests)
    return [r for r in results.values() if isinstance(r, CompiledQuery)]


def test_sort_in_one_query_and_take_in_the_next_give_the_top() -> None:
    chain = _chain("sort {-pieces}", "filter id > 0", "select {n = id, pieces}", "take 2 | select n")
    assert [q.order_by for q in chain[:3]] == [(("pieces", True),)] * 3
    assert run_sql(chain[-1].sql, views=chain[:-1])["n"].to_pylist() == [4, 1]


def test_order_ends_where_rows_are_aggregated() -> None:
    chain = _chain("sort {-pieces}", "group user_id (aggregate {n = count this})", "take 2")
    assert [q.order_by for q in chain] == [(("pieces", True),), (), ()]


def test_a_sort_of_its_own_wins() -> None:
    chain = _chain("sort {-pieces}", "sort id | take 2")
    assert chain[1].order_by == (("id", False),)
    assert run_sql(chain[1].sql, views=chain[:1])["id"].to_pylist() == [1, 2]


def test_a_new_compile_of_a_relation_forgets_its_old_order() -> None:
    compiler = new_compiler()
    compiler.compile([request("sort id", key="q1")])
    compiler.compile([request("filter id > 1", key="q1")])
    (after,) = compiler.compile([request("take 1", key="q2", piped="q1")]).values()
    assert isinstance(after, CompiledQuery) and after.order_by == ()
