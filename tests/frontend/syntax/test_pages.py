"""The pages of the syntax and layout codes: each code has one, with an example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.frontend.syntax.trees import errors, parse_text
from tests.markdown import blocks

ROOT = Path(__file__).parents[3]
PAGES = sorted(ROOT.glob("docs/diagnostics/HD0[12]*.md"))


def test_every_code_has_a_page() -> None:
    emitted = {
        code
        for path in ROOT.glob("heddle/frontend/*.py")
        for code in re.findall(r'"(HD0[12]\d\d)"', path.read_text())
    }
    assert {page.stem for page in PAGES} == emitted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_example(page: Path) -> None:
    text = page.read_text()
    example, message, *cures = blocks(text)
    (finding,) = parse_text(example.text).diagnostics
    assert message.text == f"{finding.severity}[{finding.code}]: {finding.message}\n"
    assert text.startswith(f"# {finding.code}: ")
    assert finding.code == page.stem
    for cure in cures:
        assert not errors(parse_text(cure.text))
