"""Fixes are applied together where they do not touch, and none twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heddle.cli.check import apply_edits
from heddle.diagnostics import Span


def test_edits_of_several_fixes() -> None:
    text = "one two three"
    fixes = [((Span(8, 13), "3"),), ((Span(0, 3), "1"), (Span(4, 7), "2"))]
    assert apply_edits(text, fixes) == ("1 2 3", 2)


def test_a_fix_that_touches_an_earlier_one_is_left_out_as_a_whole() -> None:
    text = "one two three"
    fixes = [((Span(4, 7), "2"),), ((Span(0, 3), "1"), (Span(6, 9), "x")), ((Span(8, 13), "3"),)]
    assert apply_edits(text, fixes) == ("one 2 3", 2)


def test_two_insertions_at_one_place_are_not_both_made() -> None:
    assert apply_edits("ab", [((Span(1, 1), "x"),), ((Span(1, 1), "x"),)]) == ("axb", 1)


@given(
    st.text("abc", max_size=20),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), st.text("XY", max_size=2))),
)
def test_what_no_edit_covers_stays(text: str, edits: list[tuple[int, int, str]]) -> None:
    fixes = [((Span(min(at, len(text)), min(at + size, len(text))), new),) for at, size, new in edits]
    result, count = apply_edits(text, fixes)
    covered = {i for fix in fixes for i in range(fix[0][0].start, fix[0][0].end)}
    kept = "".join(char for i, char in enumerate(text) if i not in covered)
    remaining = iter(char for char in result if char in "abc")
    assert count <= len(fixes)
    assert all(char in remaining for char in kept), "in order"
