"""Rule pages: each `tests/logical/rules/*.md` shows what one rule of the optimizer does to a program.

A page has files (`LANGUAGE file=NAME`), the section Source, and the plan in the sections Before and After: as
it is without the optimizer, and with all rules. HEDDLE_REGENERATE=1 writes both anew. `engine=NAME` at the
source chooses where its queries run; it is datafusion otherwise. The program is run both ways, too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from heddle.engine import Engine, RunOptions
from heddle.logical import rules
from tests.engine.harness import run
from tests.markdown import Block, blocks, replace_texts

PAGES = sorted((Path(__file__).parent / "rules").glob("*.md"))
REGENERATE = os.environ.get("HEDDLE_REGENERATE") == "1"
OPTIMIZED = {"Before": False, "After": True}


@dataclass(frozen=True, slots=True)
class Program:
    path: Path
    engine: str

    def plan(self, *, optimize: bool) -> str:
        options = RunOptions(optimize=optimize, engine=self.engine)  # type: ignore[arg-type] # text of a page
        with Engine.open(self.path, environ={}) as engine:
            checked = engine.check()
            assert checked.program is not None, [f"{d.code} {d.message}" for d in checked.diagnostics]
            return engine.explain(checked.program, options).to_text()

    def printed(self, *, optimize: bool) -> list[str]:
        """The lines that it prints, in any order."""
        ran = run(self.path, optimize=optimize, inline=True, engine=self.engine)
        assert ran.result.error is None, ran.result.error
        return sorted(ran.out.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    found = blocks(text)
    program = _lay_out(found, tmp_path)
    actual = [
        (block, program.plan(optimize=OPTIMIZED[block.section]))
        for block in found
        if block.section in OPTIMIZED
    ]
    assert program.printed(optimize=True) == program.printed(optimize=False)
    if REGENERATE:
        page.write_text(replace_texts(text, actual))
        return
    for block, produced in actual:
        assert block.text == produced, f"{page.name}:{block.line} {block.section}"


def test_there_is_a_page_for_every_rule() -> None:
    files = {path.stem for path in Path(rules.__file__).parent.glob("[!_]*.py")}
    assert files <= {page.stem for page in PAGES}


def _lay_out(found: list[Block], folder: Path) -> Program:
    path = folder / "program.he"
    engine = "datafusion"
    for block in found:
        if "file" in block.settings:
            (folder / block.settings["file"]).write_text(block.text)
        elif block.section == "Source":
            path.write_text(block.text)
            engine = block.settings.get("engine", engine)
    return Program(path, engine)
