"""Lookups in joins and pipes: the right rows, from one statement for all distinct values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.lookup_programs import Program, asked, lookup_program, tuples_of


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return lookup_program(tmp_path)


def test_an_inner_join_drops_what_finds_nothing(program: Program, tmp_path: Path) -> None:
    ran = program("(from orders | join customer (==user_id) | select {id, name} | sort {id, name}) > found")
    assert tuples_of(ran) == [(1, "Ann"), (2, "Bo"), (2, "Bob"), (3, "Bo"), (3, "Bob")]
    ((_, tuples),) = asked(tmp_path)
    assert sorted(t["user_id"] for t in tuples) == [1, 2, 9]


def test_a_left_join_fills_with_nulls(program: Program) -> None:
    ran = program(
        "(from orders | join side:left customer (==user_id) | select {id, name} | sort {id, name}) > found"
    )
    assert tuples_of(ran)[-2:] == [(4, None), (5, None)]
    assert len(tuples_of(ran)) == 7


def test_only_rows_before_the_join_are_looked_up(program: Program, tmp_path: Path) -> None:
    ran = program("(from orders | filter id < 2 | join customer (==user_id) | select {id, name}) > found")
    assert tuples_of(ran) == [(1, "Ann")]
    assert asked(tmp_path)[0][1] == [{"user_id": 1}]


def test_a_column_of_the_name_comes_before_what_is_compared(program: Program, tmp_path: Path) -> None:
    ran = program(
        "(from orders | filter id == 1 | derive {buyer = id + 1} "
        "| join side:left c=customer (this.buyer == c.user_id) | select {id, buyer, c.name}) > found"
    )
    assert tuples_of(ran) == [(1, 2, None)]
    assert asked(tmp_path)[0][1] == [{"user_id": 1}]


def test_a_derived_column_gives_the_values(program: Program, tmp_path: Path) -> None:
    ran = program(
        "(from orders | filter id <= 2 | select {id, user_id = id + 1} | join customer (==user_id) "
        "| select {id, name} | sort {id, name}) > found"
    )
    assert tuples_of(ran) == [(1, "Bo"), (1, "Bob"), (2, "Cy")]
    assert sorted(t["user_id"] for t in asked(tmp_path)[0][1]) == [2, 3]


def test_a_column_that_only_the_query_has(program: Program, tmp_path: Path) -> None:
    ran = program(
        "(from orders | filter id == 2 | select {id, buyer = id + 1} "
        "| join c=customer (this.buyer == c.user_id) | select {id, buyer, c.name}) > found"
    )
    assert tuples_of(ran) == [(2, 3, "Cy")]
    assert asked(tmp_path)[0][1] == [{"user_id": 3}]


def test_rows_belong_to_their_tuple_whatever_is_compared(program: Program, tmp_path: Path) -> None:
    """The statement gives the last rate of a day, and the join compares the currency only."""
    ran = program("(from orders | join price (==currency) | select {id, rate} | sort id) > found")
    assert tuples_of(ran) == [(1, 1.0), (2, 1.5), (3, 2.0), (4, 1.0), (5, 1.5)]
    ((_, tuples),) = asked(tmp_path)
    assert len(tuples) == 4


def test_two_lookups_take_their_values_before_the_first_join(program: Program, tmp_path: Path) -> None:
    ran = program(
        "(from orders | join customer (==user_id) | join side:left price (==currency) "
        "| select {id, name, rate} | sort {id, name}) > found"
    )
    assert tuples_of(ran)[:3] == [(1, "Ann", 1.0), (2, "Bo", 1.5), (2, "Bob", 1.5)]
    assert {len(tuples) for _, tuples in asked(tmp_path)} == {3, 4}


def test_a_lookup_behind_a_filter_on_another_asks_for_what_is_left(program: Program, tmp_path: Path) -> None:
    ran = program(
        """\
        (
          from orders
          join customer (==user_id)
          filter customer.name == "Ann"
          join price (==currency)
          select {id, customer.name, price.rate}
        ) > found
        """
    )
    assert tuples_of(ran) == [(1, "Ann", 1.0)]
    assert [len(tuples) for _, tuples in asked(tmp_path)] == [3, 1]


def test_a_lookup_by_what_another_found(program: Program, tmp_path: Path) -> None:
    head = """
    step again = <file=db> lite.query {
      query: "SELECT name, id FROM users WHERE name = @name"
      schema: { name: "string", id: "int" }
    }
    """
    ran = program(
        "(from orders | filter id == 1 | join customer (==user_id) | join again (==name) "
        "| select {order = orders.id, customer.name, user = again.id}) > found",
        head=head,
    )
    assert tuples_of(ran) == [(1, "Ann", 1)]


def test_the_first_rows_are_the_same_for_the_lookup_and_the_join(program: Program, tmp_path: Path) -> None:
    ran = program(
        "(from orders | sort {-day, id} | take 2 | join customer (==user_id) | select {id, name} "
        "| sort {id, name}) > found"
    )
    assert tuples_of(ran) == [(2, "Bo"), (2, "Bob"), (3, "Bo"), (3, "Bob")]
    assert asked(tmp_path)[0][1] == [{"user_id": 2}]


def test_the_order_of_the_rows_before_stays(program: Program) -> None:
    ran = program(
        "(from orders | sort {-id} | join side:left price (==currency) | select {id, rate}) > found"
    )
    assert [row[0] for row in tuples_of(ran)] == [5, 4, 3, 2, 1]


def test_names_of_relations_before_the_join_still_mean_them(program: Program) -> None:
    ran = program(
        """\
        [{ user_id: 2, id: 77 }] > others
        (
          from orders
          join others (orders.user_id == others.user_id)
          join customer (orders.user_id == customer.user_id)
          select {a = orders.id, b = others.id, customer.name}
          sort {a, name}
        ) > found
        """
    )
    assert tuples_of(ran) == [(2, 77, "Bo"), (2, 77, "Bob"), (3, 77, "Bo"), (3, 77, "Bob")]


def test_an_aggregate_may_stand_on_both_sides(program: Program, tmp_path: Path) -> None:
    ran = program(
        "(from orders | group user_id (aggregate {n = count this}) | join customer (==user_id) "
        "| group name (aggregate {n = sum n}) | sort name) > found"
    )
    assert tuples_of(ran) == [("Ann", 1), ("Bo", 2), ("Bob", 2)]
    assert len(asked(tmp_path)) == 1


def test_nothing_is_asked_for_no_rows(program: Program, tmp_path: Path) -> None:
    ran = program("(from orders | filter id > 99 | join customer (==user_id)) > found")
    assert ran.rows("found") == []
    assert ran.outputs["found"].column_names == ["id", "user_id", "currency", "day", "name"]
    assert asked(tmp_path) == []


def test_nothing_is_found(program: Program) -> None:
    ran = program("(from orders | filter id == 4 | join side:left customer (==user_id)) > found")
    assert tuples_of(ran) == [(4, 9, "EUR", 5, None)]


def test_values_of_the_workflow_beside_those_of_rows(program: Program, tmp_path: Path) -> None:
    head = """
    step named = <file=db> lite.query {
      query: "SELECT id AS user_id, name FROM users WHERE id = @user_id AND name >= @least"
      schema: { user_id: "int", name: "string" }
    }
    """
    ran = program(
        "(from orders | join named (==user_id) | select {id, name} | sort id) > found",
        head=head,
        params={"least": "Bob"},
    )
    assert tuples_of(ran) == [(2, "Bob"), (3, "Bob")]


def test_piped_rows_come_out_once_for_each_row_that_they_find(program: Program, tmp_path: Path) -> None:
    ran = program("orders | customer > found")
    assert tuples_of(ran) == [
        (1, 1, "EUR", 10, "Ann"),
        (2, 2, "EUR", 20, "Bob"),
        (2, 2, "EUR", 20, "Bo"),
        (3, 2, "USD", 20, "Bob"),
        (3, 2, "USD", 20, "Bo"),
    ]
    assert asked(tmp_path)[0][1] == [{"user_id": 1}, {"user_id": 2}, {"user_id": 9}]


def test_piped_tuples_of_two_values(program: Program, tmp_path: Path) -> None:
    ran = program("orders | price | (from input | select {id, rate} | sort id) > found")
    assert tuples_of(ran) == [(1, 1.0), (2, 1.5), (3, 2.0), (4, 1.0), (5, 1.5)]
    assert len(asked(tmp_path)[0][1]) == 4


def test_piped_batches_are_asked_one_by_one(program: Program, tmp_path: Path) -> None:
    ran = program("orders | customer > found", batch_rows=2)
    assert len(tuples_of(ran)) == 5
    assert [len(tuples) for _, tuples in asked(tmp_path)] == [2, 2]


def test_a_policy_limits_the_keys_of_a_call(program: Program, tmp_path: Path) -> None:
    head = """
    step few = <file=db> lite.query {
      query: "SELECT id AS user_id, name FROM users WHERE id = @user_id"
      schema: { user_id: "int", name: "string" }
    } ! { batch: { max_rows: 2 }, concurrency: 2 }
    """
    ran = program("(from orders | join few (==user_id) | select {id, name}) > found", head=head)
    assert len(tuples_of(ran)) == 5
    assert sorted(len(tuples) for _, tuples in asked(tmp_path)) == [1, 2]


def test_values_are_bound_whatever_they_hold(program: Program, tmp_path: Path) -> None:
    head = """
    step plain = <file=db> lite.query {
      query: "SELECT @word AS said, name FROM users WHERE id = 1 AND @word <> ''"
      schema: { said: "string", name: "string" }
    }
    """
    words = ["'); DROP TABLE users; --", r"a\u0000b", r"\"double\"", "Zoë ☕", "@user_id", ":word"]
    table = "\n".join(f'{{ n: {i}, word: "{word}" }}' for i, word in enumerate(words))
    ran = program(
        f"[\n{table}\n] > words\n"
        "(from words | join plain (words.word == plain.said) | sort n | select {n, said, name}) > found",
        head=head,
    )
    said = [json.loads(f'"{word}"') for word in words]
    assert tuples_of(ran) == [(n, word, "Ann") for n, word in enumerate(said)]


def test_a_policy_repeats_a_call(program: Program, tmp_path: Path) -> None:
    head = """
    step flaky = <file=db> lite.query {
      query: "SELECT id AS user_id, name FROM users WHERE id = @user_id"
      schema: { user_id: "int", name: "string" }
      fail: "once"
    } ! { retry: { attempts: 2, backoff: "fixed 1ms" } }
    """
    ran = program("(from orders | join flaky (==user_id) | select {id, name}) > found", head=head)
    assert len(tuples_of(ran)) == 5


def test_a_lookup_in_a_part_of_a_query(program: Program, tmp_path: Path) -> None:
    ran = program(
        """\
        (
          from orders
          filter id == 1
          join customer (==user_id)
          select {id, name}
          append (from orders | filter id == 3 | join again (==user_id) | select {id, again.name})
          sort {id, name}
        ) > found
        """,
        head="step again = customer\n",
    )
    assert tuples_of(ran) == [(1, "Ann"), (3, "Bo"), (3, "Bob")]
    assert sorted(str(tuples) for _, tuples in asked(tmp_path)) == ["[{'user_id': 1}]", "[{'user_id': 2}]"]


def test_a_lookup_in_a_declaration_of_the_query(program: Program, tmp_path: Path) -> None:
    ran = program(
        """\
        (
          let rich = (from orders | filter id == 1 | join customer (==user_id))
          from rich
          select {id, name}
        ) > found
        """
    )
    assert tuples_of(ran) == [(1, "Ann")]
    assert asked(tmp_path)[0][1] == [{"user_id": 1}]


def test_rows_put_together_behind_a_lookup(program: Program) -> None:
    ran = program(
        """\
        [{ id: 7, user_id: 70, currency: "CHF", day: 1, name: "Di" }] > more
        (
          from orders
          filter id == 1
          join customer (==user_id)
          select {id, user_id, currency, day, name}
          append more
          sort id
        ) > found
        """
    )
    assert tuples_of(ran) == [(1, 1, "EUR", 10, "Ann"), (7, 70, "CHF", 1, "Di")]


def test_all_columns_of_a_lookup(program: Program) -> None:
    ran = program(
        "(from orders | filter id == 1 | join c=customer (orders.user_id == c.user_id) "
        "| select {c.*, id}) > found"
    )
    assert ran.rows("found") == [{"user_id": 1, "name": "Ann", "id": 1}]
