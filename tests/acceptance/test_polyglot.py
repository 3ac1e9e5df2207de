"""One program that mixes steps of all four languages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.plugin import PROJECTS
from tests.engine.harness import run

PROGRAM = """\
import "PYTHON" python
import "GO" go
import "RUST" rust
import "NODE" node

workflow Mixed {
  python.numbers { count: 100000 }
    | (from input | derive {x = n - 50000} | select {x})
    > rows

  rows
    | python.add { amount: 7 }
    | python.reject_negative ? count_them
    > of_python

  rows
    | go.add { amount: 7 }
    | go.reject_negative ? count_them
    > of_go

  rows
    | rust.add { amount: 7 }
    | rust.reject_negative ? count_them
    > of_rust

  rows
    | node.add { amount: 7 }
    | node.reject_negative ? count_them
    > of_node

  rows
    | go.keep_even
    | rust.repeat { times: 2 }
    | node.add { amount: 1 }
    | (from input | select {x = y})
    | python.total
    > chained
}

handler count_them {
  *
    | (from input | aggregate {errors = count this})
    | io.stderr
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    text = PROGRAM
    for language, project in PROJECTS.items():
        (folder / language).symlink_to(project)
        text = text.replace(f'"{language.upper()}"', f'"./{language}"')
    path = folder / "mixed.he"
    path.write_text(text)
    return path


def test_languages_agree(program: Path) -> None:
    names = ["of_python", "of_go", "of_rust", "of_node", "chained"]
    ran = run(program, names)
    assert ran.result.status == "handled", ran.result.error
    of_python = ran.outputs["of_python"]
    assert of_python.num_rows == 50_000
    for name in names[1:4]:
        assert ran.outputs[name].equals(of_python), name
    evens = range(-50_000, 50_000, 2)
    assert ran.rows("chained") == [{"total": sum(2 * (x + 1) for x in evens)}]
