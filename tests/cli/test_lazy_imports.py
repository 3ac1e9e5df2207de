"""Commands that only read text start without the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
