"""User code by content: versions side by side, sibling imports, problems with their place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from heddle.core import Table
from heddle.sdk.code import closure_of
from heddle.sdk.loader import LoadedModule, LoadProblem, load_module, loaded

STEP = "from heddle.core import Table\ndef f(input: Table) -> Table:\n    {body}\n"


def load(path: Path, text: str) -> LoadedModule:
    path.write_text(text)
    return load_module(path, f"./{path.stem}")


def answer(module: LoadedModule) -> object:
    call = module.steps["f"].call
    assert call is not None
    return call(Table.from_pylist([]))


def test_two_versions_live_side_by_side(tmp_path: Path) -> None:
    first = load(tmp_path / "a.py", STEP.format(body="return 1"))
    second = load(tmp_path / "a.py", STEP.format(body="return 2"))
    assert (answer(first), answer(second)) == (1, 2)
    assert first.signature.code_hash != second.signature.code_hash
    assert answer(loaded(first.signature)) == 1
    assert answer(loaded(second.signature)) == 2


def test_a_file_that_was_written_just_before_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "values.py"
    hashes = set()
    for number in range(100, 200):
        file.write_text(f"VALUE = {number}\n")
        hashes.add(closure_of(file, ()).hash)
    assert len(hashes) == 100


def test_the_same_content_runs_once(tmp_path: Path) -> None:
    counter = tmp_path / "runs"
    text = f"open({str(counter)!r}, 'a').write('x')\n" + STEP.format(body="return 1")
    load(tmp_path / "a.py", text)
    load(tmp_path / "a.py", text)
    assert counter.read_text() == "x"


def test_siblings_are_found_and_are_part_of_the_hash(tmp_path: Path) -> None:
    path_before = list(sys.path)
    (tmp_path / "helpers.py").write_text("import deeper\ndef value(): return deeper.V\n")
    (tmp_path / "deeper.py").write_text("V = 1\n")
    body = "from helpers import value; return value()"
    first = load(tmp_path / "a.py", STEP.format(body=body))
    assert answer(first) == 1
    (tmp_path / "deeper.py").write_text("V = 2\n")
    second = load(tmp_path / "a.py", STEP.format(body=body))
    assert (answer(first), answer(second)) == (1, 2)
    assert sys.path == path_before
    assert "helpers" not in sys.modules


def test_packages_and_relative_imports(tmp_path: Path) -> None:
    package = tmp_path / "risk"
    package.mkdir()
    (package / "numbers.py").write_text("V = 5\n")
    text = "from .numbers import V\nimport risk.numbers\n" + STEP.format(body="return V + risk.numbers.V")
    (package / "__init__.py").write_text(text)
    assert answer(load_module(package / "__init__.py", "./risk")) == 10


def test_only_annotated_public_functions_are_steps(tmp_path: Path) -> None:
    text = (
        "from heddle.core import Table\nfrom json import dumps\nfrom helpers import imported\n"
        "def step(input: Table) -> Table: ...\n"
        "def source() -> Table: ...\n"
        "def _private(input: Table) -> Table: ...\n"
        "def number(x: int) -> int: ...\n"
        "def bare(x): ...\n"
        "def sink(input: Table) -> None: ...\n"
    )
    (tmp_path / "helpers.py").write_text(STEP.format(body="return 1").replace("def f", "def imported"))
    module = load(tmp_path / "a.py", text)
    assert list(module.steps) == ["step", "source", "sink"]
    assert set(module.ignored) == {"number", "bare"}


@pytest.mark.parametrize(
    ("text", "kind", "line", "message"),
    [
        ("x = (\n", "syntax", 1, "a.py is not valid Python: '(' was never closed"),
        (
            "\nimport nowhere_x\n",
            "import",
            2,
            "a.py imports `nowhere_x`, which is not installed and not beside it",
        ),
        ("\n\n1 / 0\n", "import", 3, "a.py fails while it is loaded: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", "import", 2, "a.py fails while it is loaded: SystemExit: 3"),
        ("X = 1\n", "empty", None, "a.py offers no step: it has no public function"),
        (
            "from heddle.core import Table\nfrom heddle.sdk.plugin import Plugin\np = Plugin(namespace='x')\n"
            "@p.step(name='s', rows='all')\ndef f(input: Table) -> Table: ...\n",
            "registration",
            4,
            'step `s` (function `f`): rows="all" is not one of',
        ),
    ],
)
def test_problems_have_a_place_and_no_traceback(
    tmp_path: Path, text: str, kind: str, line: int | None, message: str
) -> None:
    with pytest.raises(LoadProblem) as caught:
        load(tmp_path / "a.py", text)
    assert (caught.value.kind, caught.value.line) == (kind, line)
    assert message in caught.value.message
    assert "Traceback" not in caught.value.message


def test_a_problem_in_a_sibling_names_the_sibling(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("\n1 / 0\n")
    with pytest.raises(LoadProblem) as caught:
        load(tmp_path / "a.py", "import helpers\n" + STEP.format(body="return 1"))
    assert caught.value.place == f"{tmp_path}/helpers.py:2"


def test_code_that_failed_can_be_loaded_once_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("1 / 0\n")
    text = "import helpers\n" + STEP.format(body="return helpers.V")
    with pytest.raises(LoadProblem):
        load(tmp_path / "a.py", text)
    (tmp_path / "helpers.py").write_text("V = 3\n")
    assert answer(load(tmp_path / "a.py", text)) == 3


def test_namespaces_must_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("from heddle.sdk.plugin import Plugin\nplugin = Plugin(namespace='risk')\n")
    assert load_module(path, "risk", namespace="risk").signature.namespace == "risk"
    with pytest.raises(LoadProblem, match='has the namespace "risk", not "rsk"'):
        load_module(path, "rsk", namespace="rsk")


def test_what_code_prints_while_it_is_loaded_goes_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(tmp_path / "a.py", "print('hello')\n" + STEP.format(body="return 1"))
    assert capsys.readouterr() == ("", "hello\n")
