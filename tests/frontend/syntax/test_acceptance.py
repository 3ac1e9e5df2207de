"""Every program of the repository's tests parses, and formatting it is stable."""

from __future__ import annotations

from pathlib import Path

import pytest

from heddle.diagnostics import Source
from heddle.frontend.formatter import format_source
from heddle.frontend.source import read_source
from tests.frontend.syntax.trees import comment_texts, errors, parse_text, without_spans

ROOT = Path(__file__).parents[3]
PROGRAMS = sorted([*ROOT.glob("tests/acceptance/**/*.he"), *ROOT.glob("examples/**/*.he")])


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 7


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_program(path: Path) -> None:
    source = read_source(path)
    assert isinstance(source, Source)
    before = parse_text(source.text)
    assert not errors(before)
    text = format_source(source.text)
    after = parse_text(text)
    assert not after.diagnostics
    assert format_source(text) == text
    assert without_spans(after.program.items) == without_spans(before.program.items)
    assert comment_texts(after.program) == comment_texts(before.program)
