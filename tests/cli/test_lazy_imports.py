"""Commands that only read text start without the heavy libraries, and a run loads only what it uses.

A cold start is mostly imports: a module of ours takes about 0.2 ms, a pattern 0.1 ms, a class of the standard
`dataclass` 0.2 ms, against some 90 ms for a script with the same libraries.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import ROOT
from benchmarks.hello import PROGRAM

HEAVY = {"pyarrow", "datafusion", "prqlc", "rich", "watchfiles", "pandas", "polars", "numpy"}
SCRIPT = """\
import json, sys
from heddle.cli.main import call
code = call(sys.argv[1:])
print(json.dumps({"code": code, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def loaded(*arguments: str, folder: Path) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["code"], set(answer["modules"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["sql", "--help"], 0),
        (["version"], 0),
        (["completion", "bash"], 0),
        (["chek"], 2),
        (["new", "shop"], 0),
        (["fmt", "good.he"], 0),
        (["fmt", "broken.he"], 2),
        (["check", "broken.he"], 2),
        (["check", "--json", "broken.he"], 2),
        (["run", "broken.he"], 2),
        (["run", "nowhere.he"], 2),
        (["explain", "HD0720"], 0),
    ],
)
def test_no_heavy_library_is_loaded(tmp_path: Path, arguments: list[str], code: int) -> None:
    (tmp_path / "good.he").write_text("workflow W {\n  [{ a: 1 }]\n    | io.print\n}\n")
    (tmp_path / "broken.he").write_text("worklfow W\n")
    (tmp_path / "heddle.toml").write_text('[project]\nname = "shop"\n[profile.test.params]\na = 1\n')
    ended, modules = loaded(*arguments, folder=tmp_path)
    assert (ended, modules & HEAVY) == (code, set())


def test_no_code_of_ours_needs_numpy() -> None:
    """It is no dependency: where it is installed, pyarrow takes half as long again to import."""
    sources = [path for folder in ("heddle", "fhub") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    assert [path for path in sources if "numpy" in path.read_text()] == []


MODULES_MAX = 122
PATTERNS_MAX = 10

FOR_OTHER_PROGRAMS = {
    *("heddle.frontend.prql.appends", "heddle.frontend.prql.joins", "heddle.frontend.prql.normalise"),
    *("heddle.lockfile", "heddle.physical.calls", "heddle.physical.steps", "heddle.std.columns"),
    *("heddle.std.encoders", "heddle.std.file_sinks", "heddle.std.files", "heddle.std.readers"),
    *("heddle.sdk", "heddle.udf_bridge.connection", "heddle.cli.live", "grpc", "google.protobuf"),
}
FOR_MISTAKES = {
    *("heddle.frontend.prql.messages", "heddle.std.reader_errors", "heddle.std.locate"),
    *("heddle.toml_problems", "difflib"),
}
RUN = """\
import json, re, sys
from heddle.cli.main import call
code = call(["run", sys.argv[1]])
ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "heddle"}
values = [(name, value) for name, module in ours.items() for value in vars(module).values()]
classes = {value for name, value in values if isinstance(value, type) and value.__module__ == name}
print(json.dumps({
    "code": code,
    "modules": sorted(sys.modules),
    "ours": len(ours),
    "patterns": sum(isinstance(value, re.Pattern) for _, value in values),
    "hashing": sorted(name for name, value in values if value is sys.modules.get("hashlib", ours)),
    "standard": sorted(
        c.__qualname__ for c in classes if "__dataclass_fields__" in vars(c) and "_given" not in vars(c)
    ),
}))
"""


def test_a_run_loads_only_what_it_uses(tmp_path: Path) -> None:
    program = tmp_path / "hello.he"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(program)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0
    assert set(found["modules"]) & (FOR_OTHER_PROGRAMS | FOR_MISTAKES) == set()
    assert found["ours"] <= MODULES_MAX
    assert found["patterns"] <= PATTERNS_MAX, (
        "a pattern that few runs need stays text: `re` keeps what it compiles"
    )
    assert found["hashing"] == [], "hashlib loads a large library"
    assert found["standard"] == [], "`heddle.core.record` makes these classes many times as fast"
