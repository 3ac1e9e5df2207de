"""How lookups are called: steps that are joined, failures, columns, caches, rows known only in the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heddle.engine import Engine, RunOptions
from tests.engine.lookup_programs import (
    FAILING,
    LOOSE,
    OPEN,
    STEPS,
    Program,
    asked,
    lookup_program,
    metric,
    tuples_of,
)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return lookup_program(tmp_path)


@pytest.mark.parametrize("trap", [" ? note", ""])
def test_a_failing_lookup_goes_to_the_trap_of_its_query_with_its_values(program: Program, trap: str) -> None:
    if trap:
        ran = program(f"orders | (from input | join broken (==user_id)){trap} > found", head=FAILING)
        assert ran.result.status == "handled", ran.result.error
        payloads = [json.loads(json.loads(line)["payload"]) for line in ran.out.splitlines()]
        assert payloads == [{"user_id": 1}, {"user_id": 2}, {"user_id": 9}]
        return
    ran = program("orders | (from input | join broken (==user_id)) > found", head=FAILING)
    assert ran.result.status == "failed"
    assert ran.result.error is not None and "no such luck" in ran.result.error.message
    assert ran.result.error.stage == "W/2.1:query/broken"


def test_unoptimized_gives_the_same(program: Program) -> None:
    text = (
        "(from orders | filter day > 5 | join customer (==user_id) | join price (==currency) "
        "| select {id, name, rate} | sort {id, name}) > found"
    )
    assert tuples_of(program(text)) == tuples_of(program(text, optimize=False))


def test_a_map_step_is_called_with_the_distinct_columns_that_it_takes(program: Program) -> None:
    ran = program(
        "(from orders | join side:left score (orders.user_id * 10 == score.score) "
        "| select {id, score = score.score} | sort id) > found",
        head=STEPS,
    )
    assert tuples_of(ran) == [(1, 10), (2, 20), (3, 20), (4, 90), (5, None)]
    assert metric(ran, "scored") == 3


def test_a_map_step_takes_two_columns(program: Program) -> None:
    ran = program(
        "(from orders | join s=pair_score (s.score > 0) | select {id, s.score} | sort id) > found", head=STEPS
    )
    assert tuples_of(ran) == [(1, 11), (2, 22), (3, 22), (4, 14)]


def test_a_step_that_returns_what_it_took(program: Program) -> None:
    ran = program(
        "(from orders | join twice (==user_id) | select {id, score} | sort {id, score}) > found", head=STEPS
    )
    assert tuples_of(ran) == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]


def test_rows_that_a_map_step_rejects_are_not_joined(program: Program) -> None:
    ran = program(
        "orders | (from input | join choosy (choosy.score > 0) | select {id, choosy.score}) ? note > found",
        head=STEPS + FAILING[FAILING.index("handler") :],
    )
    assert ran.result.status == "handled", ran.result.error
    assert sorted(tuples_of(ran)) == [(1, 10), (2, 20), (3, 20)]
    assert [json.loads(json.loads(line)["payload"]) for line in ran.out.splitlines()] == [{"user_id": 9}]


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        (
            "join side:full customer (==user_id)",
            "HD0625",
            "a join of side:full cannot ask for its other rows",
        ),
        (
            "join c=customer (==user_id) | join d=customer (==user_id)",
            "HD0625",
            "`customer` is looked up twice in this query",
        ),
        ("select {user_id} | join s=pair_score (s.score > 0)", "HD0625", "`pair_score` needs a column `day`"),
        ("join lost (==user_id)", "HD0625", "`lost` does not return `day`"),
        ("select {user_id = currency} | join s=score (s.score > 0)", "HD0502", "takes `user_id` as int"),
    ],
)
def test_joins_that_cannot_be(program: Program, query: str, code: str, message: str) -> None:
    with pytest.raises(AssertionError) as refused:
        program(f"(from orders | {query}) > found", head=STEPS)
    assert any(code in line and message in line for line in refused.value.args[0])


def test_only_the_columns_that_are_read_are_asked_for(program: Program, tmp_path: Path) -> None:
    head = """
    step whole = <file=db> lite.query {
      query: "SELECT id AS user_id, name, id * 2 AS twice FROM users WHERE id = @user_id"
      schema: { user_id: "int", name: "string", twice: "int" }
    }
    """
    ran = program("(from orders | join whole (==user_id) | select {id, twice} | sort id) > found", head=head)
    assert tuples_of(ran) == [(1, 2), (2, 4), (2, 4), (3, 4), (3, 4)]
    assert asked(tmp_path)[0][0] == "SELECT id AS user_id, id * 2 AS twice FROM users WHERE id = :user_id"


def test_a_piped_lookup_is_asked_for_what_is_read(program: Program, tmp_path: Path) -> None:
    ran = program("orders | customer | (from input | select {id, name} | sort {id, name}) > found")
    assert tuples_of(ran)[0] == (1, "Ann")
    assert asked(tmp_path)[0][0].startswith("SELECT id AS user_id, name FROM")


def test_a_cache_knows_what_was_found_and_what_was_not(program: Program, tmp_path: Path) -> None:
    head = f"""
    resource cached = lite.file {{
      path: "{tmp_path / "shop.db"}"
      lookup_cache: "1MB"
      lookup_cache_age: "10m"
    }}

    step known = <file=cached> lite.query {{
      query: "SELECT id AS user_id, name FROM users WHERE id = @user_id"
      schema: {{ user_id: "int", name: "string" }}
    }}
    """
    text = (
        "orders | (from input | filter id {} | join side:left known (==user_id) | select {id, name} "
        "| sort {id, name}) > found"
    )
    first = program(text.replace("{}", "< 4", 1), head=head)
    second = program(text.replace("{}", "> 2", 1), head=head)
    assert tuples_of(first) == [(1, "Ann"), (2, "Bo"), (2, "Bob"), (3, "Bo"), (3, "Bob")]
    assert tuples_of(second) == [(3, "Bo"), (3, "Bob"), (4, None), (5, None)]
    assert [tuples for _, tuples in asked(tmp_path)] in (
        [[{"user_id": 1}, {"user_id": 2}], [{"user_id": 9}]],
        [[{"user_id": 2}, {"user_id": 1}], [{"user_id": 9}]],
    )
    assert (metric(first, "lookup_cache_hits"), metric(second, "lookup_cache_hits")) == (0, 1)
    assert (metric(first, "lookup_keys"), metric(second, "lookup_keys")) == (2, 1)
    program(text.replace("{}", "> 2", 1), head=head)
    assert len(asked(tmp_path)) == 2


def test_a_cache_of_no_size(program: Program, tmp_path: Path) -> None:
    head = f"""
    resource cached = lite.file {{ path: "{tmp_path / "shop.db"}", lookup_cache: "much" }}

    step known = <file=cached> lite.query {{
      query: "SELECT id AS user_id, name FROM users WHERE id = @user_id"
      schema: {{ user_id: "int", name: "string" }}
    }}
    """
    ran = program("orders | (from input | join known (==user_id)) > found", head=head)
    assert ran.result.error is not None
    assert '`lookup_cache: "much"`; write a number and a unit' in ran.result.error.message


def test_rows_whose_columns_are_known_in_the_run(program: Program, tmp_path: Path) -> None:
    (tmp_path / "loose.py").write_text(LOOSE)
    ran = program(
        "loose.rows | (from input | filter id < 3 | derive {n = id + 1} "
        "| join side:left customer (==user_id)) > found",
        head=OPEN,
    )
    assert ran.result.error is None
    found = sorted(ran.rows("found"), key=lambda row: (row["id"], row["name"]))
    assert [(row["id"], row["more"], row["n"], row["name"]) for row in found] == [
        (1, "a", 2, "Ann"), (2, "b", 3, "Bo"), (2, "b", 3, "Bob"),
    ]  # fmt: skip
    assert not any(name.startswith("_heddle") for name in ran.outputs["found"].column_names)
    assert sorted(t["user_id"] for t in asked(tmp_path)[0][1]) == [1, 2]


def test_rows_taken_of_an_open_relation_before_a_lookup(program: Program, tmp_path: Path) -> None:
    (tmp_path / "loose.py").write_text(LOOSE)
    with pytest.raises(AssertionError) as refused:
        program("loose.rows | (from input | take 2 | join customer (==user_id)) > found", head=OPEN)
    assert any("HD0625 rows are taken before the join" in line for line in refused.value.args[0])


def test_held_to_what_steps_declare(program: Program) -> None:
    text = (
        "(from orders | join customer (==user_id) | join score (score.score > 0) "
        "| select {id, name, s = score.score} | sort {id, name}) > found"
    )
    ran = program(text, head=STEPS, check_steps=True)
    assert tuples_of(ran) == [(1, "Ann", 10), (2, "Bo", 20), (2, "Bob", 20), (3, "Bo", 20), (3, "Bob", 20)]
    assert tuples_of(program("orders | customer > found", check_steps=True))[0][-1] == "Ann"


def test_in_a_process_of_its_own(program: Program) -> None:
    ran = program(
        "(from orders | join customer (==user_id) | join twice (==user_id) | select {id, name, score} "
        "| sort {id, name, score}) > found",
        head=STEPS,
        inline=False,
    )
    assert tuples_of(ran)[:3] == [(1, "Ann", 1), (1, "Ann", 2), (2, "Bo", 1)]
    assert len(tuples_of(ran)) == 10


def test_a_statement_that_takes_nothing_of_what_is_piped(program: Program) -> None:
    head = """
    step one = <file=db> lite.query {
      query: "SELECT 1 AS one"
      schema: { one: "int" }
    }
    """
    with pytest.raises(AssertionError) as refused:
        program("orders | one > found", head=head)
    assert any("HD0314 `one` takes nothing of the rows" in line for line in refused.value.args[0])


def test_the_plan_says_what_is_looked_up(program: Program, tmp_path: Path) -> None:
    program("(from orders | join customer (==user_id) | select {id, name}) > found")
    with Engine.open(tmp_path / "main.he", environ={}) as engine:
        checked = engine.check().program
        assert checked is not None
        text = engine.explain(checked, RunOptions()).to_text()
    assert "lookup customer  [W/2.0:query/customer]" in text
    assert "[W/2.0:query/customer:keys]" in text
    assert "- choose_lookups: its rows are always looked up: nothing tells how many there are" in text


def test_no_rows_whose_columns_are_known_in_the_run(program: Program, tmp_path: Path) -> None:
    (tmp_path / "loose.py").write_text(LOOSE)
    ran = program("loose.rows | (from input | filter id > 99 | join customer (==user_id)) > found", head=OPEN)
    assert ran.rows("found") == []
    assert set(ran.outputs["found"].column_names) == {"id", "user_id", "more", "name"}
    assert asked(tmp_path) == []


def test_names_that_are_no_ascii(program: Program, tmp_path: Path) -> None:
    (tmp_path / "loose.py").write_text(
        "from heddle.core import Table\n\n\n"
        "class Size(Table):\n    größe: int\n\n\n"
        "class Twice(Table):\n    größe: int\n    zweifach: int\n\n\n"
        "def twice(input: Size) -> Twice:\n"
        "    rows = input.to_pylist()\n"
        "    return Twice.from_pylist([{**row, 'zweifach': row['größe'] * 2} for row in rows])\n"
    )
    ran = program(
        "(from orders | select {id, `größe` = day} | join `doppelt` (==`größe`) | select {id, zweifach} "
        "| sort id | take 2) > found",
        head=OPEN + "step doppelt = loose.twice\n",
    )
    assert tuples_of(ran) == [(1, 20), (2, 40)]
