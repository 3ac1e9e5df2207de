"""The syntax tree of every construct of the grammar."""

from __future__ import annotations

import pytest

from heddle.frontend import ast
from tests.frontend.syntax.trees import errors, items_of, parse_text, statement_of


def call_of(text: str) -> ast.Call:
    operation = statement_of(text).head.operation
    assert isinstance(operation, ast.Call)
    return operation


def workflow_of(text: str) -> ast.WorkflowItem:
    (item,) = items_of(text)
    assert isinstance(item, ast.WorkflowItem)
    return item


def names(identifiers: tuple[ast.Ident, ...]) -> list[str]:
    return [identifier.text for identifier in identifiers]


# --- items ----------------------------------------------------------------------------------


def test_imports() -> None:
    items = items_of('import "std/io" io\nimport "fraud-score/detect"\nimport "./a/"')
    assert all(isinstance(item, ast.Import) for item in items)
    assert [item.name for item in items if isinstance(item, ast.Import)] == ["io", "detect", "a"]


def test_an_alias_stands_on_the_line_of_its_import() -> None:
    assert [d.code for d in errors(parse_text('import "std/io"\nio'))] == ["HD0113"]


def test_a_resource_and_its_documentation() -> None:
    (item,) = items_of(
        '// not this\n\n// The orders,\n//  all of them.\nresource db = pg.connection { host: "h" }'
    )
    assert isinstance(item, ast.ResourceItem)
    assert (item.name.text, item.call.callee, item.doc) == (
        "db",
        "pg.connection",
        "The orders,\n all of them.",
    )


def test_a_step_with_suffixes_in_any_order() -> None:
    for suffixes in ("? park ! { retry: 5 }", "! { retry: 5 } ? park", "\n  ! { retry: 5 }\n  ? park"):
        (item,) = items_of(f"step s = m.f {suffixes}")
        assert isinstance(item, ast.StepItem)
        assert item.stage.trap is not None and item.stage.trap.text == "park"
        assert isinstance(item.stage.policy, ast.DictValue)
        assert item.call.callee == "m.f"


def test_a_handler_reads_the_error_frame() -> None:
    (item,) = items_of("handler h {\n  *\n    | io.stderr\n  other\n    | io.print\n}")
    assert isinstance(item, ast.HandlerItem)
    assert [type(s.head.operation) for s in item.statements] == [ast.ErrorFrame, ast.Call]


def test_the_header_of_a_workflow() -> None:
    item = workflow_of(
        "workflow W(since: date, n: decimal( 10,2 )? = 1.5)"
        ' on cron.at { every: "1h" }, http.post {} ? h ! p { x }'
    )
    assert [(p.name.text, p.type_text) for p in item.params] == [("since", "date"), ("n", "decimal(10, 2)?")]
    assert item.params[0].default is None
    assert isinstance(item.params[1].default, ast.NumberValue)
    assert [trigger.callee for trigger in item.triggers] == ["cron.at", "http.post"]
    assert item.trap is not None and item.trap.text == "h"
    assert isinstance(item.policy, ast.Ident)
    assert len(item.statements) == 1


@pytest.mark.parametrize("header", ["on cron.daily", "on cron.daily {}", "on daily { at: 1 }"])
def test_the_body_behind_a_trigger(header: str) -> None:
    item = workflow_of(f"workflow W {header} {{\n  x\n}}")
    assert len(item.triggers) == 1
    assert len(item.statements) == 1


def test_policies_and_tests() -> None:
    policy, test = items_of(
        'policy patient { retry: 5 }\ntest "adds" {\n  [{ a: 1 }]\n    | expect [{ a: 1 }, { a: 2 }]\n}'
    )
    assert isinstance(policy, ast.PolicyItem)
    assert isinstance(test, ast.TestItem)
    expect = test.statements[0].stages[0].operation
    assert isinstance(expect, ast.Expect)
    assert len(expect.table.rows) == 2


def test_keywords_are_names_elsewhere() -> None:
    item = workflow_of(
        "workflow workflow {\n  step\n    | on.test { handler: 1, true: 2 }\n    > policy\n  import\n}"
    )
    assert item.name.text == "workflow"
    assert [s.name.text if s.name else None for s in item.statements] == ["policy", None]


# --- statements -----------------------------------------------------------------------------


def test_a_statement() -> None:
    statement = statement_of("orders ? h\n  | (from input) ! p\n\n  // why\n  | io.print\n  > done")
    assert statement.head.trap is not None
    assert isinstance(statement.stages[0].operation, ast.Query)
    assert isinstance(statement.stages[0].policy, ast.Ident)
    assert statement.name is not None and statement.name.text == "done"


def test_a_result_with_properties() -> None:
    statement = statement_of('orders\n  > kept { key: ["id"], materialize: true }')
    assert statement.name is not None and statement.name.text == "kept"
    assert statement.properties is not None
    assert [pair.key.text for pair in statement.properties.pairs] == ["key", "materialize"]
    assert statement.span.end == statement.properties.span.end
    assert statement_of("orders > plain").properties is None


@pytest.mark.parametrize("properties", ['{ key "id" }', "{ key: }", "{ = }", "\n  { key: 1 }"])
def test_a_mistake_in_properties_breaks_one_statement(properties: str) -> None:
    program = parse_text(f"workflow W {{\n  a > b {properties}\n\n  c > d\n\n  e\n    | f\n}}").program
    (workflow,) = program.items
    assert isinstance(workflow, ast.WorkflowItem)
    assert [s.name.text if s.name else None for s in workflow.statements] == ["d", None]
    assert [broken.name.text for broken in program.broken if broken.name] == ["b"]


def test_line_breaks_and_braces_end_statements() -> None:
    assert len(workflow_of("workflow W {\n  a\n  b\n\n  c > d\n  <x=y> e\n  f }").statements) == 5
    assert len(workflow_of("workflow W { (from a) > b }").statements) == 1


def test_indentation_means_nothing() -> None:
    item = workflow_of("workflow W {\na\n| b\n          > c\n      d\n}")
    assert [len(s.stages) for s in item.statements] == [1, 0]


@pytest.mark.parametrize(
    "text", ["<a=r, b=s> m.f { k: 1 }", "m.f <a=r, b=s> { k: 1 }", "m.f < a = r,\n b=s > { k: 1 }"]
)
def test_a_reference_leads_or_trails(text: str) -> None:
    call = call_of(text)
    assert call.callee == "m.f"
    assert call.ref is not None
    assert [(b.slot.text, b.resource.text) for b in call.ref.bindings] == [("a", "r"), ("b", "s")]
    assert call.config is not None and names(tuple(p.key for p in call.config.pairs)) == ["k"]


def test_a_reference_on_the_next_line_starts_a_statement() -> None:
    assert len(workflow_of("workflow W {\n  m.f\n  <a=b> n.g\n}").statements) == 2


def test_a_query_keeps_its_text_and_place() -> None:
    text = "workflow W {\n  (\n    from x # y\n  )\n}"
    query = workflow_of(text).statements[0].head.operation
    assert isinstance(query, ast.Query)
    assert query.text == "\n    from x # y\n  "
    assert text[query.body.start : query.body.end] == query.text
    assert text[query.span.start : query.span.end] == f"({query.text})"


def test_tables() -> None:
    table = statement_of("[{ id: 1, ok: true }\n  { id: -2, n: null },\n]").head.operation
    assert isinstance(table, ast.TableLiteral)
    assert [names(tuple(p.key for p in row.pairs)) for row in table.rows] == [["id", "ok"], ["id", "n"]]
    assert statement_of("[]").head.operation == ast.TableLiteral((), statement_of("[]").head.span)


def test_match() -> None:
    statement = statement_of("a\n  | match {\n    (filter x)\n      | b\n      | c\n    _\n  }\n  | d")
    block = statement.stages[0].operation
    assert isinstance(block, ast.Match)
    assert [(arm.condition is None, len(arm.stages)) for arm in block.arms] == [(False, 2), (True, 0)]
    assert len(statement.stages) == 2


def test_loop_and_atomic() -> None:
    statement = statement_of(
        "a\n  | loop max 3 until (filter x) { | b }\n  | atomic {\n  | c\n  | d\n  } ? h"
    )
    loop, atomic = (stage.operation for stage in statement.stages)
    assert isinstance(loop, ast.Loop)
    assert loop.max_turns is not None and loop.max_turns.value == 3
    assert isinstance(atomic, ast.Atomic)
    assert len(atomic.stages) == 2
    assert statement.stages[1].trap is not None


@pytest.mark.parametrize("text", ["match", "loop", "atomic { a: 1 }", "match { b: 2 }", "expect", "loop.max"])
def test_words_of_blocks_are_names_of_steps_elsewhere(text: str) -> None:
    assert isinstance(statement_of(f"a\n  | {text}").stages[0].operation, ast.Call)


# --- values ---------------------------------------------------------------------------------


def test_values() -> None:
    config = call_of(
        'm.f { s: "x", n: -1, f: .5, yes: true, no: false, none: null, l: [1, [2]\n3], d: {a: {}}, "q k": 1\n'
        '  e: env("A"), p: secret( "B" ), null: 1, }'
    ).config
    assert config is not None
    kinds = {pair.key.text: type(pair.value) for pair in config.pairs}
    assert kinds == {
        "s": ast.StringValue,
        "n": ast.NumberValue,
        "f": ast.NumberValue,
        "yes": ast.BoolValue,
        "no": ast.BoolValue,
        "none": ast.NullValue,
        "l": ast.ListValue,
        "d": ast.DictValue,
        "q k": ast.NumberValue,
        "e": ast.EnvValue,
        "p": ast.SecretValue,
        "null": ast.NumberValue,
    }
    assert [pair.key.text for pair in config.pairs if pair.quoted] == ["q k"]


def test_line_breaks_are_free_inside_brackets() -> None:
    text = 'm.f <\na\n=\nb\n> {\n  a\n  :\n  1\n\n  b: [\n 1\n\n 2 ]\n  c: env(\n"X"\n)\n}'
    config = call_of(text).config
    assert config is not None and names(tuple(p.key for p in config.pairs)) == ["a", "b", "c"]


# --- what is left out ------------------------------------------------------------------------


def test_broken_parts_are_left_out_and_named() -> None:
    program = parse_text(
        "resource r = { }\nworkflow W {\n  (from x > y\n\n  a\n    | io.print\n  b | | c > d\n}\nstep s m.f"
    ).program
    assert [broken.name.text for broken in program.broken if broken.name] == ["r", "y", "d", "s"]
    (workflow,) = program.items
    assert isinstance(workflow, ast.WorkflowItem)
    assert [len(statement.stages) for statement in workflow.statements] == [1]
