"""Where `@name` takes its value from: what is piped in, what a lookup is joined to, or the run."""

from __future__ import annotations

import pytest

from heddle.frontend.typed import ParamBinding, StepNode, TypedProgram
from tests.frontend.checker.checked import check

HEAD = """\
import "team/shop" shop

resource desk = shop.till { drawer: "top" }

step customer = <till=desk> shop.lookup {
  query: "QUERY"
  schema: { user_id: "int", name: "string" }
}

"""
TABLE = "  [\n    { user_id: 1, buyer: 2 }\n  ]\n"


def program(query: str, statements: str, header: str = "workflow W") -> TypedProgram:
    result = check(f"{HEAD.replace('QUERY', query)}{header} {{\n{TABLE}{statements}    > rows\n}}\n")
    assert result.program is not None, [d.message for d in result.diagnostics]
    return result.program


def bindings(typed: TypedProgram) -> tuple[ParamBinding, ...]:
    (call,) = [n.call for n in typed.nodes if isinstance(n, StepNode) and n.call.callee == "customer"]
    return call.parameters


def joined(query: str, condition: str) -> tuple[ParamBinding, ...]:
    return bindings(program(query, f"    | (from input | join {condition} | select {{name}})\n"))


@pytest.mark.parametrize(
    ("join", "column"),
    [
        ("customer (input.buyer == customer.user_id)", "buyer"),
        ("customer side:left (input.buyer == customer.user_id)", "buyer"),
        ("c=customer (c.user_id == this.buyer)", "buyer"),
        ("customer (that.user_id == buyer)", "buyer"),
        ("customer (buyer == that.user_id) | filter buyer == 7", "buyer"),
        ("customer where buyer = customer.user_id and input.user_id >= 1 | take 3", "buyer"),
        ("side:left customer (input.buyer == customer.user_id && customer.name != 'x')", "buyer"),
        ("customer (==user_id)", "user_id"),
        ("customer", "user_id"),
    ],
)
def test_the_column_that_a_join_compares(join: str, column: str) -> None:
    query = "SELECT user_id, name FROM users WHERE same(user_id, @key)"
    assert joined(query, join) == (ParamBinding("key", "joined", column),)


def test_a_piped_column_comes_first() -> None:
    typed = program("SELECT name FROM users WHERE id = @user_id AND day = @day", "    | customer\n")
    assert bindings(typed) == (
        ParamBinding("user_id", "piped", "user_id"),
        ParamBinding("day", "workflow", "day"),
    )
    assert set(typed.parameters) == {"day"}


def test_a_column_of_the_rows_that_are_joined() -> None:
    query = "SELECT id AS user_id, name FROM users WHERE id = @user_id"
    assert joined(query, "customer (==user_id)") == (ParamBinding("user_id", "joined", "user_id"),)


def test_the_key_under_which_the_statement_selects_the_column() -> None:
    query = "SELECT u.id AS user_id, name FROM users u WHERE u.id = @id AND kind = @kind"
    assert joined(query, "side:left c=customer (==user_id)") == (
        ParamBinding("id", "joined", "user_id"),
        ParamBinding("kind", "workflow", "kind"),
    )


@pytest.mark.parametrize("condition", ["IN (@ids)", "= ANY(@ids)", "= @ids"])
def test_forms_of_comparison_in_the_statement(condition: str) -> None:
    query = f"SELECT id AS user_id, name, @top AS top FROM users WHERE id {condition}"
    first, _ = sorted(joined(query, "customer (input.buyer == customer.user_id)"), key=lambda b: b.name)
    assert first == ParamBinding("ids", "joined", "buyer")


def test_the_single_key_of_a_single_parameter() -> None:
    query = "SELECT user_id, name FROM users WHERE lookup_key(user_id, @key)"
    assert joined(query, "customer (input.buyer == customer.user_id)") == (
        ParamBinding("key", "joined", "buyer"),
    )


def test_a_declared_parameter_is_no_column_of_an_open_row() -> None:
    query = "SELECT id AS user_id, name FROM users WHERE id = @id AND day = @day"
    workflow = """\
workflow W(day: date = "2026-01-31") {
  shop.stream { query: "SELECT 1" }
    | (from input | join customer (==user_id))
    > rows
}
"""
    text = HEAD.replace("QUERY", query) + workflow
    result = check(text)
    assert result.program is not None, [d.message for d in result.diagnostics]
    assert bindings(result.program) == (
        ParamBinding("id", "joined", "user_id"),
        ParamBinding("day", "workflow", "day"),
    )


def test_a_lookup_belongs_to_its_query_and_a_plain_source_is_shared() -> None:
    join = "    | (from input | join customer (==user_id) | select {user_id})\n"
    lookups = program("SELECT user_id, name FROM users WHERE user_id = @user_id", join + join)
    plain = program("SELECT user_id, name FROM users", join + join)
    assert [n.path for n in lookups.nodes if isinstance(n, StepNode)] == [
        "W/1.1:query/customer",
        "W/1.2:query/customer",
    ]
    assert [n.path for n in plain.nodes if isinstance(n, StepNode)] == ["step/customer"]


def test_in_from_nothing_is_joined_so_the_run_gives_the_value() -> None:
    typed = program(
        "SELECT user_id, name FROM users WHERE user_id = @user_id", "    > unused\n\n  (from customer)\n"
    )
    assert bindings(typed) == (ParamBinding("user_id", "workflow", "user_id"),)
