"""The typed program: paths that do not depend on the layout, its hash, outputs, settings of a profile."""

from __future__ import annotations

from heddle.core.refresh_policy import RefreshPolicy
from heddle.frontend.formatter import format_source
from heddle.frontend.typed import NO_PROPERTIES, EnvRef, ParamRef, SecretRef, StepNode, TypedProgram
from tests.frontend.checker.checked import check

PROGRAM = """\
import "team/shop" shop
import "./steps" steps

resource desk = shop.till { drawer: env("DRAWER"), pin: secret("PIN") }
step priced = shop.price { rate: 1 } ? park

handler park { *
    | io.stderr
  * | (from input | select {error_msg}) | io.stderr }

workflow Orders ? park {
  [{ id: 1, amount: 2.5 }] > orders
  orders | priced { round: "down" } | (from input | select {id, price}) > prices

  // What is sent.
  (from prices | join orders (==id)) | <till=desk> shop.ship
  (from prices | take 3) > some
}
"""


def typed(text: str, profile: str | None = None, params: dict[str, str] | None = None) -> TypedProgram:
    result = check(text, profile, params)
    assert result.program is not None, [d.message for d in result.diagnostics]
    return result.program


def paths(program: TypedProgram) -> list[str]:
    return sorted(getattr(node, "path", "") for node in program.nodes)


def test_paths_name_statements_and_stages() -> None:
    assert paths(typed(PROGRAM)) == [
        "",
        "",
        "Orders/2.1:priced",
        "Orders/2.2:query",
        "Orders/3.0:query",
        "Orders/3.1:shop.ship",
        "Orders/4.0:query",
        "park/1.1:io.stderr",
        "park/2.1:query",
        "park/2.2:io.stderr",
    ]


def test_paths_do_not_depend_on_the_layout() -> None:
    assert paths(typed(format_source(PROGRAM))) == paths(typed(PROGRAM))


def test_the_two_stars_of_a_handler_are_one_error_frame() -> None:
    program = typed(PROGRAM)
    frame = program.handlers["park"].error_frame
    assert frame is not None
    assert len(program.consumers()[frame]) == 2


def test_a_call_lays_its_settings_over_those_of_the_bound_step() -> None:
    (priced,) = [n for n in typed(PROGRAM).nodes if isinstance(n, StepNode) and n.call.callee == "priced"]
    assert priced.call.config == {"rate": 1.0, "round": "down"}
    assert priced.trap == "park"


def test_a_profile_lays_its_settings_over_those_of_the_program() -> None:
    fast = typed(PROGRAM, "fast")
    (priced,) = [n for n in fast.nodes if isinstance(n, StepNode) and n.call.callee == "priced"]
    assert priced.call.config == {"rate": 2.0, "round": "down"}


def test_references_are_not_read() -> None:
    assert typed(PROGRAM).resources["desk"].config == {
        "drawer": EnvRef("DRAWER"),
        "pin": SecretRef("PIN"),
        "port": 7,
    }


def test_outputs_are_in_order_and_documented() -> None:
    workflow = typed(PROGRAM).workflows["Orders"]
    assert [o.name for o in workflow.outputs] == ["orders", "prices", "some"]
    assert workflow.trap == "park"
    documented = typed("workflow W {\n  // All of them.\n  [{ id: 1 }]\n    > rows\n}\n")
    assert [o.doc for o in documented.workflows["W"].outputs] == ["All of them."]


KEYED = """\
workflow Shop {
  [{ id: 1, line: 2, carrier: "x" }]
    > lines {
      key: ["id", "line"]
      references: [{ line: "Shop.lines.line", id: "Shop.lines.id" }, { carrier: "Stock.carriers.name" }]
      materialize: "every 90s"
    }

  [{ id: 1 }]
    > plain
}
"""


def test_properties_of_outputs() -> None:
    lines, plain = typed(KEYED).workflows["Shop"].outputs
    assert plain.properties == NO_PROPERTIES
    assert lines.properties.key == ("id", "line")
    assert lines.properties.materialize == RefreshPolicy("every", 90.0)
    assert [(r.columns, r.workflow, r.output, r.key) for r in lines.properties.references] == [
        (("line", "id"), "Shop", "lines", ("line", "id")),
        (("carrier",), "Stock", "carriers", ("name",)),
    ]
    for written, policy in (("true", RefreshPolicy("on start")), ("false", None)):
        first, _ = typed(KEYED.replace('"every 90s"', written)).workflows["Shop"].outputs
        assert first.properties.materialize == policy


def test_the_hash_names_properties() -> None:
    assert typed(KEYED).hash != typed(KEYED.replace('["id", "line"]', '["line", "id"]')).hash


def test_columns_that_are_known_only_in_a_run_are_not_looked_for() -> None:
    text = """\
import "./steps"

workflow W {
  [{ id: 1 }]
    | steps.same
    > open { key: "whatever", references: [{ other: "W.open.whatever" }] }
}
"""
    assert typed(text).workflows["W"].outputs[0].properties.key == ("whatever",)


def test_the_hash_names_what_would_run() -> None:
    first = typed(PROGRAM).hash
    assert first == typed(PROGRAM).hash
    assert first != typed(PROGRAM, "fast").hash
    assert first != typed(PROGRAM.replace("take 3", "take 4")).hash


def test_parameters_take_their_values_from_the_run_then_from_the_header() -> None:
    text = """\
workflow W(limit: int = 10, title: string?) {
  [{ id: 1 }]
    | io.print { limit: "@limit", title: "@title" }
}
"""
    without, given = typed(text).parameters, typed(text, params={"limit": "3", "title": "x"}).parameters
    assert (without["limit"].value, without["limit"].bound) == (10, True)
    assert (without["title"].value, without["title"].bound) == (None, False)
    assert (given["limit"].value, given["title"].value) == ("3", "x")
    (printed,) = [n for n in typed(text).nodes if isinstance(n, StepNode)]
    assert printed.call.config["limit"] == ParamRef("limit")


def test_a_parameter_without_a_declaration_has_the_type_of_its_setting() -> None:
    text = 'workflow W {\n  [{ id: 1 }]\n    | io.print { limit: "@limit", title: "@title" }\n}\n'
    types = {name: p.type_text for name, p in typed(text).parameters.items()}
    assert types == {"limit": "int", "title": "string"}
