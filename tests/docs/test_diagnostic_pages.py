"""Every diagnostic has a page, and the example on it gives that diagnostic with that message.

A page is a title, a paragraph, an example and a cure. The example's `heddle` block is the program (a page
on `heddle.toml` has none and gets an empty one), its blocks with `file=NAME` lie beside it, `mode=600`
sets a file's rights, and its plain `text` block starts with the diagnostic. `heddle profile=NAME` chooses
a profile. What checking does not find is found by running.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from heddle.diagnostics import Diagnostic
from heddle.engine import Engine, RunOptions
from heddle.errors import ProgramError
from heddle.physical.cancel import CancelToken
from heddle.std.sinks import Streams
from tests.markdown import Block, blocks

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "diagnostics").glob("*.md"))
FORM = re.compile(
    r"# (?P<code>HD\d{4}): \S[^\n]*\n+(?!#|```)\S.*?\n+## Example\n.+?\n## Cure\n+\S.*",
    re.DOTALL,
)
EMPTY = "workflow Empty {\n}\n"


@dataclass(frozen=True, slots=True)
class Page:
    """`shown` is the first line of the message; `asks` is what services are asked, "columns" or "health"."""

    code: str
    files: tuple[Block, ...]
    program: str
    profile: str | None
    asks: str | None
    shown: str
    cures: tuple[str, ...]


def read(path: Path) -> Page:
    text = path.read_text()
    form = FORM.fullmatch(text)
    assert form is not None, "the page has not the form: title, meaning, Example, Cure"
    assert form["code"] == path.stem
    found = blocks(text)
    example = [b for b in found if b.section == "Example"]
    programs = [b for b in example if b.language == "heddle" and "file" not in b.settings]
    messages = [b for b in example if b.language == "text" and "file" not in b.settings]
    assert len(programs) <= 1, "one program is enough"
    assert len(messages) == 1, "one block shows the message"
    return Page(
        code=path.stem,
        files=tuple(b for b in example if "file" in b.settings),
        program=programs[0].text if programs else EMPTY,
        profile=programs[0].settings.get("profile") if programs else None,
        asks=programs[0].settings.get("asks") if programs else None,
        shown=messages[0].text.splitlines()[0],
        cures=tuple(b.text for b in found if b.section == "Cure" and b.language == "heddle"),
    )


def findings(page: Page, program: str, folder: Path) -> list[Diagnostic]:
    """What checking finds, and if that is no error what running finds."""
    path = folder / "example.he"
    path.write_text(program)
    with Engine.open(path.relative_to(folder), profile=page.profile, environ={}) as engine:
        checked = engine.check(ask=page.asks == "columns")
        found = list(checked.diagnostics)
        if page.asks == "health" and checked.program is not None:
            found += [problem for problem in engine.health(checked.program).values() if problem is not None]
        if checked.program is not None and page.code not in {d.code for d in found}:
            try:
                streams = Streams(io.StringIO(), io.StringIO())
                engine.run(checked.program, RunOptions(), lambda event: None, CancelToken(), streams)
            except ProgramError as error:
                found += error.diagnostics
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, so that messages name files by short paths."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lay_out(page: Page, folder: Path) -> None:
    for block in page.files:
        target = folder / block.settings["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text)
        target.chmod(int(block.settings.get("mode", "644"), 8))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_example_gives_the_diagnostic(path: Path, folder: Path) -> None:
    page = read(path)
    lay_out(page, folder)
    shown = [
        f"{d.severity}[{d.code}]: {d.message}".splitlines()[0] for d in findings(page, page.program, folder)
    ]
    assert page.shown in shown


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_cure_cures(path: Path, folder: Path) -> None:
    page = read(path)
    lay_out(page, folder)
    for cure in page.cures:
        assert page.code not in {d.code for d in findings(page, cure, folder)}


def codes_in_the_source() -> Iterator[str]:
    for package in ("heddle", "fhub"):
        for file in (ROOT / package).rglob("*.py"):
            yield from re.findall(r'"(HD\d{4})"', file.read_text())


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert set(codes_in_the_source()) == {path.stem for path in PAGES}
