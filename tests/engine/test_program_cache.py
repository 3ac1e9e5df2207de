"""A program that was compiled before is not compiled again until something that it is made of has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.engine import CheckResult, Engine, RunOptions
from heddle.frontend.typed import TypedProgram
from heddle.program_cache import PLANS_MAX, PROGRAMS, PROGRAMS_MAX

PROGRAM = """\
import "./work" work
import "std/io" io

workflow W {
  io.parquet { path: "data/*.parquet" }
    | work.label
    | (from input | filter a > 0)
    | io.print
}
"""
SETTINGS = """\
[project]
name = "shop"

[profile.test.params]
"""
WITHIN_S = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "w.he").write_text(PROGRAM)
    (tmp_path / "heddle.toml").write_text(SETTINGS)
    module(tmp_path, "label")
    (tmp_path / "words.py").write_text('WORD = "first"\n')
    rows(tmp_path / "data" / "a.parquet", a=pa.int64())
    return tmp_path


def module(folder: Path, *steps: str) -> None:
    bodies = "\n\n\n".join(f"def {step}(input: Table) -> Table:\n    return input" for step in steps)
    (folder / "work.py").write_text(f"import words\nfrom heddle.core import Table\n\n\n{bodies}\n")


def rows(file: Path, **types: pa.DataType) -> None:
    columns = {name: pa.array([1], pa.int64()).cast(type_) for name, type_ in types.items()}
    pq.write_table(pa.table(columns), file)


def check(folder: Path, **settings: object) -> CheckResult:
    with Engine.open(folder / "w.he", **settings) as engine:  # type: ignore[arg-type]
        return engine.check()


def program_of(result: CheckResult) -> TypedProgram:
    assert result.program is not None, [d.message for d in result.diagnostics]
    return result.program


def kept(folder: Path, **settings: object) -> TypedProgram:
    """The program once it is kept, which is when its files were not written just before."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        first = program_of(check(folder, **settings))
        if check(folder, **settings).program is first:
            return first
        time.sleep(0.02)
    raise AssertionError("the program is compiled again and again")


def test_another_engine_gets_the_same_program_and_plan(folder: Path) -> None:
    program = kept(folder)
    options = RunOptions()
    plans = []
    for _ in range(2):
        with Engine.open(folder / "w.he") as engine:
            assert engine.check().program is program
            plans.append(engine.plan(program, options))
    assert plans[0] is plans[1]
    with Engine.open(folder / "w.he") as engine:
        assert engine.plan(program, RunOptions(limit=1)) is not plans[0]


def _text(folder: Path) -> None:
    (folder / "w.he").write_text(PROGRAM.replace("a > 0", "a > 1"))


def _touched(name: str) -> Callable[[Path], None]:
    def touch(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes())

    return touch


def _module(folder: Path) -> None:
    module(folder, "label", "other")


def _imported(folder: Path) -> None:
    (folder / "words.py").write_text('WORD = "other"\n')


def _imported_nearer(folder: Path) -> None:
    (folder / "words.py").rename(folder / "was_words.py")
    (folder / "words").mkdir()
    (folder / "words" / "__init__.py").write_text("")


def _data(folder: Path) -> None:
    rows(folder / "data" / "a.parquet", a=pa.float64())


def _data_added(folder: Path) -> None:
    rows(folder / "data" / "b.parquet", a=pa.int64())


def _settings(folder: Path) -> None:
    (folder / "heddle.toml").write_text(SETTINGS + "a = 1\n")


CHANGES = (_text, _module, _imported, _imported_nearer, _data, _data_added, _settings)


@pytest.mark.parametrize("change", [*CHANGES, _touched("work.py"), _touched("data/a.parquet")])
def test_whatever_changes_is_seen(folder: Path, change: Callable[[Path], None]) -> None:
    program = kept(folder)
    change(folder)
    assert check(folder).program is not program


def test_a_plugin_project_in_the_place_of_a_module_is_seen(folder: Path) -> None:
    program = kept(folder)
    (folder / "work").mkdir()
    (folder / "work" / "heddle-plugin.toml").write_text("")
    assert check(folder).program is not program


@pytest.mark.parametrize("settings", [{"profile": "test"}, {"params": {"a": "1"}}])
def test_profile_and_parameters_tell_programs_apart(folder: Path, settings: Mapping[str, object]) -> None:
    program = kept(folder)
    assert check(folder, **settings).program is not program
    assert check(folder).program is program


def test_the_working_directory_tells_programs_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = kept(folder)
    monkeypatch.chdir(folder)
    assert check(folder).program is not program


CONNECTED = """\
import "fhub/postgresql" pg

resource db = pg.connection { host: "localhost", password: secret("DB_PASSWORD") }

workflow W {
  <connection=db> pg.query { query: "SELECT 1 AS one" }
    | io.print
}
"""


def test_a_link_that_leads_elsewhere_is_seen(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    above = tmp_path_factory.mktemp("above")
    copytree(folder, above / "first")
    copytree(folder, above / "second")
    for release in ("first", "second"):
        (above / release / "heddle.toml").unlink()
    (above / "heddle.toml").write_text(SETTINGS)
    (above / "current").symlink_to(above / "first")
    program = kept(above / "current")
    (above / "current").unlink()
    (above / "current").symlink_to(above / "second")
    assert check(above / "current").program is not program


def test_a_lock_file_that_appears_is_read(tmp_path: Path) -> None:
    (tmp_path / "w.he").write_text(CONNECTED)
    program = kept(tmp_path)
    assert [d.code for d in check(tmp_path).diagnostics] == ["HD0409"]
    (tmp_path / "heddle.lock").write_text("{}")
    again = check(tmp_path)
    assert again.program is not program
    assert [d.code for d in again.diagnostics] == ["HD0411"]


def test_a_file_that_was_missing_is_read_once_it_is_there(folder: Path) -> None:
    (folder / "data" / "a.parquet").rename(folder / "a.parquet")
    assert [d.code for d in check(folder).diagnostics] == ["HD0407"]
    (folder / "a.parquet").rename(folder / "data" / "a.parquet")
    assert check(folder).diagnostics == ()


def test_warnings_are_shown_again(folder: Path) -> None:
    (folder / "w.he").write_text(PROGRAM.replace('import "std/io" io', 'import "std/col" col'))
    program = kept(folder)
    result = check(folder)
    assert result.program is program
    assert {d.severity for d in result.diagnostics} == {"warning"}


def test_a_program_with_errors_is_not_kept(folder: Path) -> None:
    (folder / "w.he").write_text(PROGRAM.replace("io.print", "io.nope"))
    first, second = check(folder), check(folder)
    assert first.program is second.program is None
    assert first is not second
    assert first.diagnostics == second.diagnostics


def test_the_cache_is_bounded(folder: Path) -> None:
    program = kept(folder)
    known = PROGRAMS.of_program(program)
    assert known is not None
    with Engine.open(folder / "w.he") as engine:
        for limit in range(1, PLANS_MAX + 3):
            engine.plan(program, RunOptions(limit=limit))
        assert len(known.plans) == PLANS_MAX
        for number in range(PROGRAMS_MAX):
            engine.check(PROGRAM.replace("a > 0", f"a > {number + 2}"))
    assert PROGRAMS.of_program(program) is None


def test_many_threads_compile_at_once(folder: Path) -> None:
    program = kept(folder)

    def compiled(number: int) -> bool:
        with Engine.open(folder / "w.he") as engine:
            if number % 3 == 0:
                other = program_of(engine.check(PROGRAM.replace("a > 0", f"a > {number % 9}")))
                return engine.plan(other, RunOptions()) is not None
            return engine.check().program is program

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(compiled, range(64)))
