"""The programs of `bad_programs.md`: each mistake is reported once, at its place, with its cure."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from heddle.diagnostics import Diagnostic
from tests.frontend.syntax.trees import errors, parse_text
from tests.markdown import Block, blocks, replace_texts

PAGE = Path(__file__).with_name("bad_programs.md")
REGENERATE = os.environ.get("HEDDLE_REGENERATE") == "1"
CASES = [pair for pair in pairwise(blocks(PAGE.read_text())) if pair[0].language == "heddle"]
ROUNDS_MAX = 10


def shown(diagnostic: Diagnostic) -> str:
    place = diagnostic.source.position(diagnostic.span.start)
    lines = [f"{place.line}:{place.column} {diagnostic.code} {diagnostic.message}", f"    {diagnostic.help}"]
    if diagnostic.fix:
        lines.append(f"    fix: {diagnostic.fix.title}")
    return "".join(f"{line}\n" for line in lines)


def findings(text: str) -> str:
    return "".join(map(shown, errors(parse_text(text))))


def repaired(text: str) -> str:
    """The text with the first fix that is offered applied."""
    fix = next(d.fix for d in errors(parse_text(text)) if d.fix)
    for span, replacement in sorted(fix.edits, reverse=True):
        text = text[: span.start] + replacement + text[span.end :]
    return text


def test_the_page_is_large_enough() -> None:
    assert len(CASES) >= 30


@pytest.mark.skipif(not REGENERATE, reason="writes the page anew")
def test_regenerate() -> None:
    page = PAGE.read_text()
    PAGE.write_text(replace_texts(page, [(expected, findings(program.text)) for program, expected in CASES]))


@pytest.mark.parametrize(("program", "expected"), CASES, ids=[program.section for program, _ in CASES])
def test_findings(program: Block, expected: Block) -> None:
    assert findings(program.text) == expected.text


@pytest.mark.parametrize("program", [program for program, _ in CASES], ids=lambda program: program.section)
def test_a_fix_repairs_its_mistake_and_makes_no_other(program: Block) -> None:
    text = program.text
    for _ in range(ROUNDS_MAX):
        before = errors(parse_text(text))
        if not any(d.fix for d in before):
            return
        text = repaired(text)
        assert len(errors(parse_text(text))) < len(before)
    pytest.fail("the fixes do not come to an end")
