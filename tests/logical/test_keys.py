"""Content keys: equal for operators that compute the same, and only for these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from heddle.core.config import ConfigValue
from heddle.engine import Engine, RunOptions
from heddle.logical.beginnings import common_beginnings
from heddle.logical.keys import content_keys, is_anew
from heddle.logical.lower import Goals, lower
from heddle.logical.plan import LogicalPlan, Scan, Sink, Step

STEPS = """\
from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="steps")


class Row(Table):
    id: int
    kind: str | None
    price: float | None


class Config(StepConfig):
    by: int = 1
    names: dict[str, int] = {}


@plugin.step(name="pure", deterministic=True)
def pure(input: Row, config: Config) -> Row:
    return input


@plugin.step(name="loose")
def loose(input: Row) -> Row:
    return input
"""
HEAD = """\
import "./steps" steps

step rows = io.csv { path: "rows.csv" }

step more = io.csv { path: "more.csv" }

"""
HANDLER = "handler kept {\n  *\n    | (from input | select {error_msg})\n    | io.print\n}\n\n"


class Programs:
    """Plans and keys of small programs over two files of the same columns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "steps.py").write_text(STEPS)
        for name in ("rows.csv", "more.csv"):
            (folder / name).write_text("id,kind,price\n1,a,2.5\n")

    def plan(self, body: str, *, whole: bool = False) -> LogicalPlan:
        path = self.folder / "program.he"
        path.write_text(HEAD + body)
        with Engine.open(path) as engine:
            checked = engine.check()
            assert checked.program is not None, [d.message for d in checked.diagnostics]
            if whole:
                return lower(checked.program, Goals())
            return engine.plan(checked.program, RunOptions())

    def key(
        self,
        statement: str,
        *,
        files: Mapping[str, object] | None = None,
        base: str = "/",
        secret: bytes = b"",
        trap: str = "",
    ) -> str | None:
        """Of what is printed last. `files` has the state of each file; without one it is told by name."""

        def state(scan: Scan) -> tuple[object, ...] | None:
            path = scan.config["path"]
            found = (files or {}).get(str(path), path)
            return None if found is None else (found,)

        def settings(op: Scan | Step) -> Mapping[str, ConfigValue]:
            return dict(op.call.config if isinstance(op, Step) else op.config)  # type: ignore[arg-type]

        body = f"{HANDLER if trap else ''}workflow W{trap} {{\n  {statement}\n}}\n"
        plan = self.plan(body)
        keys = content_keys(plan, settings, state, base=base, secret=secret)
        *_, root = [op for op in plan.ops.values() if isinstance(op, Sink)]
        return keys.get(root.input)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return Programs(tmp_path_factory.mktemp("keys"))


GROUPED = "(from rows | group kind (aggregate { total = sum price }))"

EQUAL = [
    (GROUPED, GROUPED + " > by_kind"),
    (
        "(from rows | sort id) > a\n\n  (from a | filter id > 1)",
        "(from more | sort id)\n\n  (from rows | sort id) > a\n\n  (from a | filter id > 1)",
    ),
    (
        "(from rows | sort id) | steps.pure { by: 2, names: { a: 1, b: 2 } }",
        "(from rows | sort id) | steps.pure { names: { b: 2, a: 1 }, by: 2 }",
    ),
]
DIFFERENT = [
    GROUPED,
    "(from more | group kind (aggregate { total = sum price }))",
    "(from rows | group kind (aggregate { total = max price }))",
    "(from rows | group kind (aggregate { other = sum price }))",
    "(from rows | filter kind == 'a' | group kind (aggregate { total = sum price }))",
    "(from rows | filter kind == 'FROM rows' | sort id)",
    "(from rows | filter kind == 'FROM more' | sort id)",
    "(from rows | filter kind == 'FROM \"q0\"' | sort id)",
    "(from rows | filter kind == 'FROM {query 0}' | sort id)",
    "(from rows | sort id)",
    "(from rows | sort id) | steps.pure",
    "(from rows | sort id) | steps.pure { by: 2 }",
    "(from rows | sort id) | steps.pure { names: { a: 1 } }",
    "(from rows | sort id) | steps.pure | steps.pure",
    "(from more | sort id) | steps.pure",
]
WITHOUT = [
    "(from rows | derive { at = date.now } | sort id)",
    "(from rows | sort id) | steps.loose",
    "(from rows | sort id) | steps.loose > a\n\n  (from a | filter id > 1)",
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_names_and_order_do_not_matter(programs: Programs, one: str, other: str) -> None:
    assert programs.key(one) is not None
    assert programs.key(one) == programs.key(other)


def test_what_is_said_matters(programs: Programs) -> None:
    keys = {statement: programs.key(statement) for statement in DIFFERENT}
    assert None not in keys.values()
    assert len(set(keys.values())) == len(DIFFERENT)


@pytest.mark.parametrize("statement", WITHOUT)
def test_what_may_be_another_in_each_run_has_no_key(programs: Programs, statement: str) -> None:
    assert programs.key(statement) is None


def test_a_handler_gets_what_its_own_run_rejects(programs: Programs) -> None:
    statement = "(from rows | sort id) | steps.pure"
    assert programs.key(statement) is not None
    assert programs.key(statement, trap=" ? kept") is None


def test_files_places_and_secrets_matter(programs: Programs) -> None:
    statement = "(from rows | sort id) | steps.pure"
    keys = [
        programs.key(statement),
        programs.key(statement, files={"rows.csv": 2}),
        programs.key(statement, base="/elsewhere"),
        programs.key(statement, secret=b"a"),
        programs.key(statement, secret=b"b"),
    ]
    assert None not in keys and len(set(keys)) == len(keys)
    assert programs.key(statement, files={"more.csv": 2}) == keys[0]
    assert programs.key(statement, files={"rows.csv": None}) is None


BEGINNINGS = """\
workflow A {
  (from rows | group kind (aggregate { total = sum price })) > by_kind

  (from by_kind | filter total > 1) > found
}

workflow B {
  (from rows | group kind (aggregate { total = sum price })) > sums

  (from sums | filter total > 2) > found
}

workflow C {
  (from rows | filter price > 1) > some

  (from some | filter id > 2) > found
}

workflow D {
  (from rows | filter price > 1) > some

  (from some | filter id > 3) > found
}
"""


def test_workflows_begin_with_the_same(programs: Programs) -> None:
    plan = programs.plan(BEGINNINGS, whole=True)
    found = {plan.ops[i].path: names for i, names in common_beginnings(plan).items()}
    assert found == {"A/1.0:query": ("A", "B"), "B/1.0:query": ("A", "B")}, "what only filters is read again"


def test_one_workflow_has_nothing_in_common(programs: Programs) -> None:
    plan = programs.plan(
        f"workflow W {{\n  {GROUPED} > a\n\n  (from a | sort kind) > found\n}}\n", whole=True
    )
    assert common_beginnings(plan) == {}


@pytest.mark.parametrize(("options", "frames"), [({}, ["A/1.0:query"]), ({"alone": True}, [])])
def test_a_run_of_one_keeps_it_for_the_others(
    programs: Programs, options: dict[str, bool], frames: list[str]
) -> None:
    path = programs.folder / "program.he"
    path.write_text(HEAD + BEGINNINGS)
    with Engine.open(path) as engine:
        program = engine.check().program
        assert program is not None
        plan = engine.plan(program, RunOptions(workflows=("A",), **options))  # type: ignore[arg-type]
    assert [plan.ops[i].path for i in plan.spooled] == frames
    said = [note.text for note in plan.notes if note.rule == "share"]
    assert said == (["kept for other runs: A, B begin with the same"] if frames else [])


@pytest.mark.parametrize("gap", ["", " ", "\n\t", "/* ( */", " -- (\n", "/**/ --\n"])
@pytest.mark.parametrize("name", ["now", '"now"', "PG_SLEEP"])
def test_a_function_may_be_far_from_its_parenthesis(name: str, gap: str) -> None:
    assert is_anew(f"select {name}{gap}()")


@pytest.mark.parametrize("text", ["select id from nowhere", "select now from t", "select uuid, 1 from t"])
def test_a_name_is_no_call(text: str) -> None:
    assert not is_anew(text)


def test_long_texts_are_looked_through_once() -> None:
    assert not is_anew(f"select '{'now ' * 250_000}'")
    assert is_anew(f"select '{'now/*' * 200_000}'")
