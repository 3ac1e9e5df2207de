"""The layouts of `layouts.md`, and line endings."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from heddle.frontend.formatter import format_source
from tests.frontend.syntax.trees import comment_texts, errors, parse_text, without_spans
from tests.markdown import Block, blocks, replace_texts

PAGE = Path(__file__).with_name("layouts.md")
REGENERATE = os.environ.get("HEDDLE_REGENERATE") == "1"
CASES = list(pairwise(blocks(PAGE.read_text())))[::2]


@pytest.mark.skipif(not REGENERATE, reason="writes the page anew")
def test_regenerate() -> None:
    page = PAGE.read_text()
    PAGE.write_text(replace_texts(page, [(after, format_source(before.text)) for before, after in CASES]))


@pytest.mark.parametrize(("before", "after"), CASES, ids=[before.section for before, _ in CASES])
def test_layout(before: Block, after: Block) -> None:
    assert format_source(before.text) == after.text
    assert format_source(after.text) == after.text
    source, result = parse_text(before.text), parse_text(after.text)
    assert len(errors(source)) == len(errors(result))
    assert without_spans(result.program.items) == without_spans(source.program.items)
    assert comment_texts(result.program) == comment_texts(source.program)


def test_line_endings_are_kept() -> None:
    assert format_source("workflow W {a}\r\n// c\r\n") == "workflow W {\r\n  a\r\n}\r\n// c\r\n"
    assert format_source("workflow W {a}\n\r\n") == "workflow W {\n  a\n}\n"


@pytest.mark.parametrize("text", ["", "\n\n", " \t", "\ufeff"])
def test_nothing(text: str) -> None:
    assert format_source(text) == ""


def test_what_an_unclosed_comment_hides_is_kept() -> None:
    assert format_source('import   "a"\n/* b\n   c\n') == 'import   "a"\n/* b\n   c\n'
    text = 'import "a"\n\nworkflow W {\n  b\n  /* c\n     d "\n'
    assert format_source(text) == text


def test_a_damaged_text_is_kept() -> None:
    assert format_source("workflow   W {a}\ufffd\ufffd") == "workflow   W {a}\ufffd\ufffd"


def test_only_comments() -> None:
    assert format_source("\n\n  // a\n\n\n/* b */") == "// a\n\n/* b */\n"
