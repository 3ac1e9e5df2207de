"""`python -m heddle.sdk.host`: modules that do not serve themselves, on the code that was planned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from heddle.sdk.bundle import BundleError, load_bundle, save_bundle
from heddle.sdk.code import Code, closure_of
from heddle.sdk.loader import load_code
from tests.sdk.raw_client import RawPlugin, host

HELPER = "VERSION = {version}\n"
MODULE = """
from heddle.core import Table
import helper

def version() -> Table:
    import lazy
    return Table.from_pylist([{{"version": {version}, "helper": helper.VERSION, "lazy": lazy.VERSION,
        "file": __file__}}])

def fail() -> Table:
    raise ValueError("version {version}")

if __name__ == "__main__":
    raise AssertionError("not run by the host")
"""


def write(folder: Path, version: int) -> Path:
    for name in ("helper", "lazy"):
        (folder / f"{name}.py").write_text(HELPER.format(version=version))
    file = folder / "steps.py"
    file.write_text(MODULE.format(version=version))
    return file


def planned(folder: Path) -> tuple[Path, Code, Path]:
    """A module that was planned with version 1 and then edited, and its bundle."""
    file = write(folder, 1)
    code = closure_of(file, [])
    bundle = folder / "bundle" / code.hash
    save_bundle(code, bundle)
    return file, code, bundle


def versions(plugin: RawPlugin, file: Path) -> set[int]:
    (row,) = plugin.call("version", source=True).table.to_pylist()
    assert row.pop("file") == str(file)
    return set(row.values())


def test_a_plain_module_is_served(tmp_path: Path) -> None:
    file = write(tmp_path, 1)
    code = closure_of(file, [])
    with host(file, "--import-path", "./steps", "--hash", code.hash) as plugin:
        assert plugin.hello.namespace == "./steps"
        assert versions(plugin, file) == {1}
        failure = plugin.call("fail", source=True).failure
    assert failure is not None
    assert 'raise ValueError("version 1")' in failure.stack_trace
    assert not plugin.folder.exists()


def test_a_run_ends_on_the_code_that_it_was_planned_with(tmp_path: Path) -> None:
    file, code, bundle = planned(tmp_path)
    write(tmp_path, 2)
    (tmp_path / "lazy.py").unlink()
    arguments = (file, "--import-path", "./steps", "--hash", code.hash, "--bundle", bundle)
    for _ in range(2):  # after a crash too
        with host(*arguments) as plugin:
            assert versions(plugin, file) == {1}
            failure = plugin.call("fail", source=True).failure
        assert failure is not None
        assert 'raise ValueError("version 1")' in failure.stack_trace


def test_without_a_bundle_changed_code_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, 1)
    code = closure_of(file, [])
    write(tmp_path, 2)
    said = refused(file, "--import-path", "./steps", "--hash", code.hash)
    assert f"error: ./steps has changed since the program was planned: its code was {code.hash[:12]}" in said
    assert "help: run the program again" in said


def test_a_bundle_that_was_touched_is_refused(tmp_path: Path) -> None:
    _, code, bundle = planned(tmp_path)
    assert load_bundle(bundle) == code
    (bundle / "0").write_text("VERSION = 3\n")
    with pytest.raises(BundleError, match="its hash differs"):
        load_bundle(bundle)
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(tmp_path / "nowhere")


def test_saving_a_bundle_twice_does_no_harm(tmp_path: Path) -> None:
    _, code, bundle = planned(tmp_path)
    save_bundle(code, bundle)
    assert [f.name for f in bundle.parent.iterdir()] == [code.hash]


def test_code_runs_as_it_was_hashed(tmp_path: Path) -> None:
    file, code, _ = planned(tmp_path)
    write(tmp_path, 2)
    module = load_code(code, "./steps")
    call = module.steps["version"].call
    assert call is not None
    assert set(call().to_pylist()[0].values()) == {1, str(file)}  # type: ignore[attr-defined]


def test_roots_and_namespaces(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "common.py").write_text("WORD = 'shared'\n")
    (tmp_path / "local").mkdir()
    file = tmp_path / "local" / "words.py"
    file.write_text(
        "from heddle.sdk import Plugin, Table\nfrom common import WORD\n"
        "plugin = Plugin(namespace='words', version='2')\n"
        "@plugin.step(name='word')\ndef word() -> Table:\n"
        "    return Table.from_pylist([{'word': WORD}])\n"
        "plugin.serve()\n"  # without a guard: it must not serve while it is loaded
    )
    arguments = (file, "--import-path", "words", "--root", tmp_path / "shared", "--namespace")
    with host(*arguments, "words") as plugin:
        assert (plugin.description.namespace, plugin.description.version) == ("words", "2")
        assert plugin.call("word", source=True).table.to_pylist() == [{"word": "shared"}]
    assert 'the plugin in words.py has the namespace "words", not "word"' in refused(*arguments, "word")


def test_installed_modules_are_served_by_name() -> None:
    with host("--installed", "fhub.kafka", "--import-path", "fhub/kafka") as plugin:
        declared = [s.name for s in plugin.description.steps]
    assert declared


def test_what_does_not_load_says_why_and_where(tmp_path: Path) -> None:
    file = tmp_path / "steps.py"
    file.write_text("x = (\n")
    said = refused(file, "--import-path", "./steps")
    assert said.startswith("error: steps.py is not valid Python: '(' was never closed\n")
    assert f"  at {file}:1" in said
    assert "started by the engine" in by_hand(file, "--import-path", "./steps")


def test_a_module_that_hangs_while_it_loads_ends_with_the_engine(tmp_path: Path) -> None:
    file = tmp_path / "steps.py"
    file.write_text("import threading, sys\nprint('loading')\nsys.stderr.flush()\nthreading.Event().wait()\n")
    plugin = host(file, "--import-path", "./steps", introduce=False)
    plugin.wait_for_error("loading")
    plugin.end_stdin()
    assert plugin.wait() == 0
    assert not plugin.folder.exists()


def refused(*arguments: object) -> str:
    plugin = host(*arguments, introduce=False)
    assert plugin.wait() == 1
    plugin.close()
    return plugin.errors


def by_hand(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "heddle.sdk.host", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


def test_user_output_before_the_ready_line_is_output(tmp_path: Path) -> None:
    file = tmp_path / "steps.py"
    file.write_text(
        "import sys\nfrom heddle.sdk import Plugin, Table\nprint('hello')\nplugin = Plugin(namespace='p')\n"
        "@plugin.step(name='s')\ndef s() -> Table:\n    print('in a step')\n"
        "    return Table.from_pylist([])\n"
        "plugin.serve()\n"
    )
    with RawPlugin([sys.executable, str(file)]) as plugin:
        plugin.call("s", source=True)
    assert plugin.output == ["hello", "in a step"]
