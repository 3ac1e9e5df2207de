"""Whatever the text, the checker gives findings at places in it, in order, each once, and raises nothing."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.frontend.checker.checked import check
from tests.frontend.programs import broken_programs, programs
from tests.markdown import blocks

PAGES = [Path(__file__).with_name(name) for name in ("bad_programs.md", "rows.md")]
TEXTS = [b.text for page in PAGES for b in blocks(page.read_text()) if b.language == "heddle"]
WORD = re.compile(r'\w+|"[^"\n]*"|\s+|.')
WORDS = sorted({word for text in TEXTS for word in WORD.findall(text)})


@st.composite
def mixed_up(draw: st.DrawFn) -> str:
    """A program of the pages with some words exchanged, taken out or put in."""
    words = WORD.findall(draw(st.sampled_from(TEXTS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(words) - 1))
        taken = draw(st.integers(0, 2))
        words[at : at + taken] = draw(st.lists(st.sampled_from(WORDS), max_size=2))
        words = words or [" "]
    return "".join(words)


@given(st.one_of(mixed_up(), programs(), broken_programs()))
@settings(max_examples=150)
def test_any_program_is_checked(text: str) -> None:
    found = [d for d in check(text).diagnostics if not d.code.startswith(("HD01", "HD02"))]
    assert all(0 <= d.span.start <= d.span.end <= len(text) for d in found)
    assert [d.span for d in found] == sorted(d.span for d in found)
    assert len({(d.code, d.span, d.message) for d in found}) == len(found)
    assert [d for d in found if d.severity == "error" and d.code[:4] != "HD06" and not d.help] == []
