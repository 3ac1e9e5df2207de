"""Values of workflow parameters in statements: what a step is given of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heddle.errors import ProgramError
from tests.engine.harness import Ran, run

STEPS = """
import json

from heddle.core import Table
from heddle.sdk import Plugin, Statement, StepConfig, StepContext

plugin = Plugin(namespace="db")


class QueryConfig(StepConfig):
    query: Statement


class Said(Table):
    values: str


@plugin.step(name="query", rows="flat", effect=False)
def query(config: QueryConfig, context: StepContext) -> Said:
    return Said.from_pylist([{"values": json.dumps(dict(context.parameters), sort_keys=True)}])

"""


def run_program(folder: Path, head: str, query: str, **options: object) -> Ran:
    (folder / "heddle.toml").write_text('[plugins]\n"db" = "db.py"\n[profile.test.params]\nn = 9\n')
    (folder / "db.py").write_text(STEPS)
    (folder / "program.he").write_text(
        f'import "db" db\n\nworkflow W{head} {{\n  db.query {{ query: "{query}" }}\n    > said\n}}\n'
    )
    return run(folder / "program.he", ["said"], **options)  # type: ignore[arg-type]


def said(ran: Ran) -> object:
    assert ran.result.status == "succeeded", ran.result.error
    return json.loads(str(ran.rows("said")[0]["values"]))


@pytest.mark.parametrize("inline", [False, True])
def test_values_have_the_types_of_their_parameters(tmp_path: Path, inline: bool) -> None:
    head = (
        '(n: int, part: float = 0.5, on: bool = true, day: date = "2026-01-31", '
        'at: timestamp = "2026-01-31T12:00:00Z", price: decimal(6,2) = 1.5, name: string = "x")'
    )
    query = "SELECT @n, @part, @on, @day, @at, @price, @name, '@quoted'"
    ran = run_program(tmp_path, head, query, params={"n": "7", "name": "O'Neil\"; DROP"}, inline=inline)
    assert said(ran) == {
        "n": 7,
        "part": 0.5,
        "on": True,
        "day": "2026-01-31",
        "at": "2026-01-31T12:00:00+00:00",
        "price": "1.50",
        "name": "O'Neil\"; DROP",
    }


def test_a_profile_gives_values(tmp_path: Path) -> None:
    assert said(run_program(tmp_path, "(n: int)", "SELECT @n", profile="test")) == {"n": 9}


def test_a_parameter_that_no_header_declares_is_a_text(tmp_path: Path) -> None:
    assert said(run_program(tmp_path, "", "SELECT @word", params={"word": "12"})) == {"word": "12"}


def test_a_value_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNT", "12")
    assert said(run_program(tmp_path, '(n: int = env("COUNT"))', "SELECT @n")) == {"n": 12}
    monkeypatch.setenv("COUNT", "many")
    with pytest.raises(ProgramError, match=r"the parameter `@n` of `db\.query` does not hold an int"):
        run_program(tmp_path, '(n: int = env("COUNT"))', "SELECT @n")


def test_a_secret_does_not_go_into_a_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret-word")
    with pytest.raises(ProgramError) as raised:
        run_program(tmp_path, '(word: string = secret("TOKEN"))', "SELECT @word")
    assert [d.code for d in raised.value.diagnostics] == ["HD0816"]
    assert "s3cret-word" not in str(raised.value)


def test_without_a_value_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="the parameter `@n` has no value"):
        run_program(tmp_path, "(n: int)", "SELECT @n")
