"""The programs of `bad_programs.md`: each mistake is reported once, at its place, with its cure."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from heddle.diagnostics import Diagnostic
from tests.frontend.checker.checked import check
from tests.markdown import Block, blocks, replace_texts

PAGE = Path(__file__).with_name("bad_programs.md")
REGENERATE = os.environ.get("HEDDLE_REGENERATE") == "1"
CASES = [pair for pair in pairwise(blocks(PAGE.read_text())) if pair[0].language == "heddle"]
PACKAGE = Path(__file__).parents[3] / "heddle" / "frontend" / "checker"
ROUNDS_MAX = 10


def shown(diagnostic: Diagnostic) -> str:
    place = diagnostic.source.position(diagnostic.span.start)
    lines = [f"{place.line}:{place.column} {diagnostic.severity} {diagnostic.code} {diagnostic.message}"]
    lines += [f"    {diagnostic.help}"] if diagnostic.help else []
    lines += [f"    fix: {diagnostic.fix.title}"] if diagnostic.fix else []
    for label in diagnostic.labels:
        there = diagnostic.source.position(label.span.start)
        lines.append(f"    {there.line}:{there.column} {label.text}")
    return "".join(f"{line}\n" for line in lines)


def findings(program: Block) -> str:
    return "".join(map(shown, check(program.text, program.settings.get("profile")).diagnostics))


def test_the_page_is_large_enough() -> None:
    assert len(CASES) >= 45


def test_the_page_has_every_code() -> None:
    """Names, types, settings and resources are the checker's; other stages have tests of their own."""
    codes = {c for file in PACKAGE.rglob("*.py") for c in re.findall(r'"(HD0[3578]\d\d)"', file.read_text())}
    on_page = set(re.findall(r" (HD\d{4}) ", "".join(expected.text for _, expected in CASES)))
    assert codes <= on_page


@pytest.mark.skipif(not REGENERATE, reason="writes the page anew")
def test_regenerate() -> None:
    page = PAGE.read_text()
    PAGE.write_text(replace_texts(page, [(expected, findings(program)) for program, expected in CASES]))


@pytest.mark.parametrize(("program", "expected"), CASES, ids=[program.section for program, _ in CASES])
def test_findings(program: Block, expected: Block) -> None:
    assert findings(program) == expected.text


@pytest.mark.parametrize("program", [program for program, _ in CASES], ids=lambda program: program.section)
def test_every_error_says_what_to_do(program: Block) -> None:
    found = check(program.text, program.settings.get("profile")).diagnostics
    assert [d.message for d in found if not d.help] == []


@pytest.mark.parametrize("program", [program for program, _ in CASES], ids=lambda program: program.section)
def test_a_fix_repairs_its_mistake(program: Block) -> None:
    """Applied one after the other, the fixes come to an end, and each takes its own finding away."""
    text, profile = program.text, program.settings.get("profile")
    for _ in range(ROUNDS_MAX):
        found = [d for d in check(text, profile).diagnostics if d.fix]
        if not found:
            return
        assert found[0].fix is not None
        for span, replacement in sorted(found[0].fix.edits, reverse=True):
            text = text[: span.start] + replacement + text[span.end :]
        left = [d.message for d in check(text, profile).diagnostics]
        assert left.count(found[0].message) < [d.message for d in found].count(found[0].message)
    pytest.fail("the fixes do not come to an end")
