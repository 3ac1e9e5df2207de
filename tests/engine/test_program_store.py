"""Programs on disk: a later process starts with what an earlier one compiled, and only with that."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.hello import PROGRAM
from heddle.engine import Engine, RunOptions
from heddle.program_cache import PROGRAMS, KnownProgram
from heddle.program_store import ENTRIES_MAX, ProgramStore
from tests.engine.test_program_cache import CONNECTED, kept
from tests.waiting import until

SCRIPT = """\
import json, sys
from heddle.cli.main import call
code = call(["run", *sys.argv[1:]])
print(json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""
COMPILING = {"heddle.frontend.parser", "heddle.frontend.checker", "heddle.frontend.prql", "prqlc"}


@dataclass
class Started:
    out: str
    err: str
    compiled: bool
    modules: frozenset[str]


def started(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Started:
    """A run of `w.he` in a process of its own, when a change of its files would show."""
    until(lambda: time.time_ns() - last_change_ns(folder) > 200_000_000)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "w.he", *arguments],
        cwd=folder,
        env={**os.environ, **cache(folder), **(environ or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    *out, last = done.stdout.splitlines()
    answer = json.loads(last)
    assert answer["code"] == 0, done.stderr
    modules = COMPILING & set(answer["modules"])
    assert modules in (set(), COMPILING)
    return Started("\n".join(out), done.stderr, bool(modules), frozenset(answer["modules"]))


def last_change_ns(folder: Path) -> int:
    places = (p for p in (folder, *folder.rglob("*")) if "cache" not in p.relative_to(folder).parts)
    return max(place.lstat().st_ctime_ns for place in places)


def cache(folder: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(folder / "cache"), "HEDDLE_PROGRAM_CACHE": "on"}


def files(folder: Path) -> list[Path]:
    return sorted((folder / "cache").rglob("*.program"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "w.he").write_text(PROGRAM)
    (tmp_path / "heddle.toml").write_text('[project]\nname = "shop"\n\n[profile.test.params]\n')
    return tmp_path


@pytest.fixture
def known(folder: Path) -> KnownProgram:
    """The program with a plan, not stored yet."""
    program = kept(folder)
    with Engine.open(folder / "w.he") as engine:
        engine.check()
        engine.plan(program, RunOptions())
    known = PROGRAMS.of_program(program)
    assert known is not None
    return known


@pytest.fixture
def store(folder: Path) -> ProgramStore:
    store = ProgramStore.of_user(cache(folder))
    assert store is not None
    return store


# --- in processes ------------------------------------------------------------------------------


def test_a_later_process_compiles_nothing(folder: Path) -> None:
    (folder / "w.he").write_text(PROGRAM.replace("workflow", 'import "std/col" col\n\nworkflow'))
    first, second = started(folder), started(folder)
    assert (first.compiled, second.compiled) == (True, False)
    assert first.out == second.out
    assert "grace" in second.out
    assert "warning" in second.err, "the import that is not used is warned about again"


def test_queries_that_run_on_duckdb_start_without_datafusion(folder: Path) -> None:
    pq.write_table(pa.table({"a": [1, 1, 2]}), folder / "rows.parquet")
    (folder / "w.he").write_text(
        'workflow W {\n  io.parquet { path: "rows.parquet" }\n'
        "    | (from input | group a (aggregate {n = count this}) | sort a)\n    | io.print\n}\n"
    )
    first, second = started(folder), started(folder)
    assert "datafusion" in first.modules
    assert "datafusion" not in second.modules
    assert first.out == second.out


def test_a_program_that_changed_is_compiled(folder: Path) -> None:
    started(folder)
    (folder / "w.he").write_text(PROGRAM.replace("1900", "1930"))
    again = started(folder)
    assert again.compiled
    assert "grace" not in again.out
    assert len(files(folder)) == 1, "the file of the earlier text is written over"


@pytest.mark.parametrize("arguments", [["--profile", "test"], ["--param", "a=1"]])
def test_other_settings_are_compiled(folder: Path, arguments: list[str]) -> None:
    started(folder)
    assert started(folder, *arguments).compiled


def test_parameters_of_the_command_line_are_not_stored(folder: Path) -> None:
    started(folder, "--param", "a=hunter2")
    assert files(folder) == []


def test_the_switch_turns_it_off(folder: Path) -> None:
    for _ in range(2):
        assert started(folder, environ={"HEDDLE_PROGRAM_CACHE": "off"}).compiled
    assert not (folder / "cache").exists()


def test_a_folder_that_cannot_be_made_does_not_hurt(folder: Path) -> None:
    (folder / "file").write_text("")
    for _ in range(2):
        assert started(folder, environ={"XDG_CACHE_HOME": str(folder / "file")}).compiled


def test_processes_at_once_leave_a_whole_file(folder: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, "w.he"]
    environ = {**os.environ, **cache(folder)}
    running = [
        subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    for process in running:
        out, _ = process.communicate()
        assert b"grace" in out
    assert [file.suffix for file in (folder / "cache" / "heddle" / "programs").iterdir()] == [".program"]
    assert not started(folder).compiled


@pytest.mark.parametrize("arguments", [[], ["--inline"]])
def test_steps_run_without_being_checked_again(folder: Path, arguments: list[str]) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "work.py").write_text(
        "import pyarrow as pa\nimport words\nfrom heddle.core import Table\n\n\n"
        "def shout(input: Table) -> Table:\n    rows = input.to_arrow()\n"
        "    word = pa.array([words.WORD] * len(rows))\n"
        '    return Table.from_arrow(rows.append_column("word", word))\n'
    )
    (folder / "words.py").write_text('WORD = "hello"\n')
    text = PROGRAM.replace("    | io.print", "    | work.shout\n    | io.print")
    (folder / "w.he").write_text('import "./lib/work" work\n\n' + text)
    first, second = started(folder, *arguments), started(folder, *arguments)
    assert (first.compiled, second.compiled) == (True, False)
    assert "hello" in first.out
    assert first.out == second.out
    (folder / "words.py").write_text('WORD = "bye"\n')
    third = started(folder, *arguments)
    assert third.compiled
    assert "bye" in third.out


# --- the files ---------------------------------------------------------------------------------


def test_a_stored_program_is_the_same(known: KnownProgram, store: ProgramStore) -> None:
    store.save(known)
    again = store.find(known.key)
    assert again is not None
    assert again.result == known.result
    assert again.plans == known.plans


def test_only_the_user_can_read_it(folder: Path, known: KnownProgram, store: ProgramStore) -> None:
    store.save(known)
    (file,) = files(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("keep", [0, 1, 20, 60, 200, -200, -1])
def test_a_file_that_is_cut_off_is_written_anew(
    folder: Path, known: KnownProgram, store: ProgramStore, keep: int
) -> None:
    store.save(known)
    (file,) = files(folder)
    file.write_bytes(file.read_bytes()[:keep])
    assert store.find(known.key) is None
    known.unsaved = True
    store.save(known)
    assert store.find(known.key) is not None


@pytest.mark.parametrize("at", [3, 17, 30, 300, -3])
def test_a_file_with_another_byte_is_ignored(
    folder: Path, known: KnownProgram, store: ProgramStore, at: int
) -> None:
    store.save(known)
    (file,) = files(folder)
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)
    assert store.find(known.key) is None


def test_a_file_that_others_may_write_is_ignored(
    folder: Path, known: KnownProgram, store: ProgramStore
) -> None:
    store.save(known)
    (file,) = files(folder)
    for changed, mode in ((file, 0o666), (file.parent, 0o770)):
        before = stat.S_IMODE(changed.stat().st_mode)
        changed.chmod(mode)
        assert store.find(known.key) is None
        changed.chmod(before)
        assert store.find(known.key) is not None


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_belongs_to_somebody_else_is_ignored(
    folder: Path, known: KnownProgram, store: ProgramStore
) -> None:
    store.save(known)
    (file,) = files(folder)
    for given in (file, file.parent):
        os.chown(given, 12345, -1)
        assert store.find(known.key) is None
        os.chown(given, 0, -1)


def test_a_link_in_its_place_is_ignored(folder: Path, known: KnownProgram, store: ProgramStore) -> None:
    store.save(known)
    (file,) = files(folder)
    file.rename(folder / "elsewhere")
    file.symlink_to(folder / "elsewhere")
    assert store.find(known.key) is None


def test_the_number_of_files_is_bounded(folder: Path, known: KnownProgram, store: ProgramStore) -> None:
    store.save(known)
    (file,) = files(folder)
    for number in range(ENTRIES_MAX + 5):
        other = file.with_name(f"{number:016x}.program")
        other.write_bytes(b"")
        os.utime(other, (number, number))
    known.unsaved = True
    store.save(known)
    left = files(folder)
    assert len(left) == ENTRIES_MAX
    assert file in left


def test_a_reference_to_a_secret_is_all_that_is_stored(folder: Path, store: ProgramStore) -> None:
    (folder / "w.he").write_text(CONNECTED)
    kept(folder)
    environ = {**os.environ, **cache(folder), "DB_PASSWORD": "hunter2"}
    with Engine.open(folder / "w.he", environ=environ, stored=True) as engine:
        program = engine.check().program
        assert program is not None
        engine.explain(program, RunOptions())
    (file,) = files(folder)
    assert b"DB_PASSWORD" in file.read_bytes()
    assert b"hunter2" not in file.read_bytes()


@pytest.mark.parametrize("written", ["program", "profile"])
def test_a_secret_that_is_written_out_is_not_stored(folder: Path, store: ProgramStore, written: str) -> None:
    if written == "program":
        (folder / "w.he").write_text(CONNECTED.replace('secret("DB_PASSWORD")', '"hunter2"'))
    else:
        (folder / "w.he").write_text(CONNECTED)
        settings = '[project]\nname = "shop"\n\n[profile.test.resources.db]\npassword = "hunter2"\n'
        (folder / "heddle.toml").write_text(settings)
    profile = "test" if written == "profile" else None
    program = kept(folder, profile=profile)
    with Engine.open(folder / "w.he", profile=profile) as engine:
        engine.plan(program, RunOptions())
    known = PROGRAMS.of_program(program)
    assert known is not None
    store.save(known)
    assert files(folder) == []
