"""The examples of the documentation work: each page is carried out from top to bottom in a folder of its own.

What a fenced block's info string says: `LANGUAGE file=NAME` is written to that file. `heddle` alone is
a complete program that checks without an error and is laid out as `heddle fmt` does; `heddle error=CODE`
is one that gives that diagnostic; `heddle part` is an excerpt, which is not checked. `sh` is run in the
folder and exits with 0, or with `exit=N`; `sh skip` is for commands that need what a test has not.
`text output` is what the `sh` block before it prints. HEDDLE_REGENERATE=1 writes those anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from heddle.engine import Engine
from heddle.frontend.formatter import format_source
from tests.markdown import Block, blocks, replace_texts

ROOT = Path(__file__).parents[2]
REGENERATE = os.environ.get("HEDDLE_REGENERATE") == "1"
TIMEOUT_S = 120
PAGES = sorted(
    page for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if page.parent.name != "diagnostics"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    printed = ""
    new_outputs: list[tuple[Block, str]] = []
    for block in blocks(text):
        place = f"{page.relative_to(ROOT)}:{block.line}"
        if "file" in block.settings:
            _write(tmp_path, block)
        match block.language:
            case "heddle" if "part" not in block.flags:
                _check_program(tmp_path, block, place)
            case "sh" if "skip" not in block.flags:
                printed = _run(tmp_path, block, place)
            case "text" if "output" in block.flags and REGENERATE:
                new_outputs.append((block, printed))
            case "text" if "output" in block.flags:
                assert block.text.splitlines() == printed.splitlines(), place
    if new_outputs:
        page.write_text(replace_texts(text, new_outputs))


def test_links_lead_somewhere() -> None:
    """Every relative link of a page names a file of the repository."""
    lost = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert lost == []


def _write(folder: Path, block: Block) -> None:
    target = folder / block.settings["file"]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(block.text)


def _check_program(folder: Path, block: Block, place: str) -> None:
    path = folder / block.settings.get("file", "example.he")
    path.write_text(block.text)
    found = Engine.open(path).check().diagnostics
    if expected := block.settings.get("error"):
        assert expected in {d.code for d in found}, place
        return
    assert [f"{d.code} {d.message}" for d in found if d.severity == "error"] == [], place
    assert format_source(block.text) == block.text, f"{place} is not laid out as `heddle fmt` does"


def _run(folder: Path, block: Block, place: str) -> str:
    beside_python = str(Path(sys.executable).parent)
    environ = {
        **os.environ,
        "PATH": f"{beside_python}{os.pathsep}{os.environ['PATH']}",
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", block.text],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == int(block.settings.get("exit", "0")), f"{place}\n{done.stdout}{done.stderr}"
    return done.stdout
