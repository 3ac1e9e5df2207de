"""A program under the values of a query: what depends on a parameter is there once for each of its values."""

from __future__ import annotations

import pytest

from heddle.engine import Engine
from heddle.frontend.typed import NodeId, QueryNode, StepNode, TypedProgram
from heddle.logical.lower import read_by, relation_names
from heddle.logical.parametrised import Instances, taken_by
from heddle.logical.sql import reading_others

PROGRAM = """
import "fhub/sqlite" sqlite

resource db = sqlite.connection { path: "@file" }

workflow W(file: string = "a.db", since: date, key: string = secret("KEY")) {
  <connection=db> sqlite.query {
    query: "SELECT id, name FROM t WHERE day >= @since AND mail <> 'x@since' AND name <> @file"
    schema: { id: "int", name: "string" }
  }
    > rows

  [ { id: 1 } ]
    > plain

  (from rows | filter name != 'FROM plain' | join plain (==id) | select {rows.id, rows.name})
    > named

  <connection=db> sqlite.query { query: "SELECT @key AS k", schema: { k: "string" } }
    > keyed
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> TypedProgram:
    path = tmp_path_factory.mktemp("parametrised") / "w.he"
    path.write_text(PROGRAM)
    with Engine.open(path) as engine:
        checked = engine.check()
    assert checked.program is not None, checked.diagnostics
    return checked.program


def node(program: TypedProgram, name: str) -> NodeId:
    return next(o.node for o in program.workflows["W"].outputs if o.name == name)


def statements(program: TypedProgram, of: NodeId) -> list[str]:
    steps = [n for n in read_by(program, [of]) if isinstance(n, StepNode)]
    return [str(step.call.config["query"]) for step in steps]


def test_what_an_output_takes(program: TypedProgram) -> None:
    taken = taken_by(program, node(program, "named"))
    assert [p.name for p in taken.open] == ["since"]
    assert taken.reasons == {"file": "a resource depends on it"}
    assert taken_by(program, node(program, "plain")).fixed == ()
    assert taken_by(program, node(program, "keyed")).reasons["key"] == "it is a secret"


def test_the_first_values_are_those_of_the_programs_own_nodes(program: TypedProgram) -> None:
    instances = Instances(program)
    named = node(program, "named")
    assert instances.node(named, {"since": "2026-01-01"}) == named
    assert instances.node(named, {"since": "2026-01-01"}) == named
    given = instances.program
    assert given.nodes == program.nodes
    assert {name: p.value for name, p in given.parameters.items()} == {"file": "a.db", "since": "2026-01-01"}


def test_other_values_have_copies_of_what_depends_on_them(program: TypedProgram) -> None:
    instances = Instances(program)
    named, plain = node(program, "named"), node(program, "plain")
    first = instances.node(named, {"since": "2026-01-01"})
    second = instances.node(named, {"since": "2026-01-02"})
    assert instances.node(named, {"since": "2026-01-02"}) == second
    assert instances.node(plain, {}) == plain
    given = instances.program
    assert len(given.nodes) == len(program.nodes) + 2
    assert statements(given, first) == statements(program, named)
    (statement,) = statements(given, second)
    assert statement == (
        "SELECT id, name FROM t WHERE day >= @since_2 AND mail <> 'x@since' AND name <> @file"
    )
    assert given.parameters["since"].value == "2026-01-01"
    assert given.parameters["since_2"].value == "2026-01-02"
    own, copy = given.nodes[first], given.nodes[second]
    assert isinstance(own, QueryNode)
    assert isinstance(copy, QueryNode)
    assert plain in [i.node for i in copy.inputs]
    assert "'FROM plain'" in copy.sql
    names = relation_names(given)
    assert len(set(names.values())) == len(names)
    assert all(names[i.node] == i.relation and f'"{i.relation}"' in copy.sql for i in copy.inputs)
    assert second in given.workflows["W"].nodes


def test_a_resource_never_reads_what_a_query_gives(program: TypedProgram) -> None:
    """Also where the very name is given, which no front end lets through for such a step."""
    instances = Instances(program)
    instances.node(node(program, "rows"), {"since": "2026-01-01", "file": "/etc/passwd"})
    assert instances.program.parameters["file_2"].value == "/etc/passwd"
    assert "file" not in instances.program.parameters
    instances.node(node(program, "rows"), {"since": "2026-01-01", "file": "a.db"})
    assert instances.program.parameters["file"].value == "a.db"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ('SELECT a FROM "q0" AS "x"', 'SELECT a FROM "r9" AS "x"'),
        ('SELECT "q0"."a" FROM q0', 'SELECT "q0"."a" FROM "r9" AS "q0"'),
        ('SELECT \'FROM q0\' FROM "q1" JOIN "q0" AS "y"', 'SELECT \'FROM q0\' FROM "q1" JOIN "r9" AS "y"'),
        ('SELECT "FROM q0", "a""FROM q0" FROM t', 'SELECT "FROM q0", "a""FROM q0" FROM t'),
    ],
)
def test_a_query_reads_another_relation(sql: str, expected: str) -> None:
    assert reading_others(sql, {"q0": "r9"}) == expected
