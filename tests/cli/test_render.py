"""Diagnostics as people, editors and programs read them, to the character."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.cli.frame import LINE_WIDTH_MAX, Note, cell_width, source_frame
from heddle.cli.render import failure, full, one_line, record, renderer, summary
from heddle.diagnostics import Diagnostic, Fix, Label, Source, Span
from heddle.errors import HeddleError, StageError

PROGRAM = """\
workflow Orders {
\t(from nope) > x
  (from x | filter país == "日本" && totl > 1) > z
}
"""


def finding(text: str, part: str | Span, **changes: object) -> Diagnostic:
    span = part if isinstance(part, Span) else Span(text.index(part), text.index(part) + len(part))
    values: dict[str, object] = {
        "code": "HD0301",
        "severity": "error",
        "message": "there is no relation `nope`",
        "source": Source("orders.he", text),
        "span": span,
        **changes,
    }
    return Diagnostic(**values)  # type: ignore[arg-type]


def frame(text: str, part: str | Span, **changes: object) -> str:
    """The frame alone: without the head, the arrow and the notes below."""
    return "\n".join(full(finding(text, part, **changes)).split("\n")[3:-1]) + "\n"


def test_everything_together() -> None:
    found = finding(
        PROGRAM,
        "nope",
        help="did you mean `note`?",
        fix=Fix("write `note`", ((Span(27, 31), "note"),)),
        labels=(Label(Span(9, 15), "in this workflow"),),
    )
    assert (
        full(found)
        == """\
error[HD0301]: there is no relation `nope`
 --> orders.he:2:8
  |
1 | workflow Orders {
  |          ------ in this workflow
2 |     (from nope) > x
  |           ^^^^
  |
  = help: did you mean `note`?
  = fix: write `note` (`heddle check --fix` does it)"""
    )


def test_marks_stand_below_wide_characters() -> None:
    assert (
        frame(PROGRAM, "totl")
        == """\
3 |   (from x | filter país == "日本" && totl > 1) > z
  |                                      ^^^^
"""
    )


def test_a_wide_character_is_marked_in_full() -> None:
    assert (
        frame(PROGRAM, "日本")
        == """\
3 |   (from x | filter país == "日本" && totl > 1) > z
  |                             ^^^^
"""
    )


def test_two_places_on_one_line() -> None:
    assert (
        frame("a b", Span(2, 3), labels=(Label(Span(0, 1), "first"),))
        == """\
1 | a b
  |   ^
  | - first
"""
    )


def test_a_span_of_several_lines() -> None:
    text = "one {\n  two\n  three\n  four\n}  // end\n"
    assert (
        frame(text, Span(4, text.index("}") + 1))
        == """\
1 | one {
  |     ^
...
5 | }  // end
  | ^
"""
    )


def test_one_line_between_two_marks_is_shown() -> None:
    assert (
        frame("a\nb\nc", Span(0, 1), labels=(Label(Span(4, 5), "here"),))
        == """\
1 | a
  | ^
2 | b
3 | c
  | - here
"""
    )


def test_a_span_that_ends_with_its_line() -> None:
    assert frame("ab\ncd\n", Span(0, 3)) == "1 | ab\n  | ^^\n"


@pytest.mark.parametrize(
    ("text", "line"), [("", "1 |"), ("ab", "1 | ab"), ("ab\n", "2 |"), ("ab\r\n", "2 |")]
)
def test_the_end_of_a_file(text: str, line: str) -> None:
    shown = frame(text, Span(len(text), len(text))).splitlines()
    assert shown[0] == line
    assert shown[1].strip() == "|" + " " * (shown[1].index("^") - shown[1].index("|") - 1) + "^"


def test_a_long_line_is_cut_around_the_place() -> None:
    text = "x" * 500 + "HERE" + "y" * 500
    shown, marks = frame(text, "HERE").splitlines()
    assert shown == "1 | …" + "x" * 24 + "HERE" + "y" * (LINE_WIDTH_MAX - 28) + "…"
    assert marks.index("^") == shown.index("HERE")


def test_control_and_direction_characters_do_no_harm() -> None:
    assert (
        frame("a\x1b[31m \u202eb\x7f \x00", Span(9, 10))
        == """\
1 | a␛[31m �b␡ ␀
  |          ^
"""
    )


def test_line_numbers_of_several_digits_are_aligned() -> None:
    text = "\n" * 8 + "a\nb\n"
    assert (
        frame(text, "b", labels=(Label(Span(8, 9), "x"),))
        == """\
 9 | a
   | - x
10 | b
   | ^
"""
    )


def test_one_line() -> None:
    found = finding(PROGRAM, "nope", severity="warning", message="two\nlines")
    assert one_line(found) == "orders.he:2:8: warning[HD0301]: two lines"


def test_json_holds_every_field() -> None:
    found = finding(PROGRAM, "nope", fix=Fix("write `x`", ((Span(0, 8), "x"),)))
    assert json.loads(renderer("json", color=True)(found)) == {
        "file": "orders.he",
        "line": 2,
        "column": 8,
        "end_line": 2,
        "end_column": 12,
        "code": "HD0301",
        "severity": "error",
        "message": "there is no relation `nope`",
        "help": None,
        "fix": {
            "title": "write `x`",
            "edits": [{"line": 1, "column": 1, "end_line": 1, "end_column": 9, "text": "x"}],
        },
    }


def test_colours_are_added_and_nothing_else() -> None:
    import click

    found = finding(PROGRAM, "nope", help="try\nthis")
    assert "\x1b[31m" in full(found, color=True)
    assert click.unstyle(full(found, color=True)) == full(found)
    assert click.unstyle(one_line(found, color=True)) == one_line(found)


def test_summary_counts() -> None:
    error, warning = finding("a", "a"), finding("a", "a", severity="warning")
    assert summary([error, error, warning], 3) == "2 errors and 1 warning in 3 files"
    assert summary([warning], 1) == "1 warning in 1 file"
    assert summary([], 1) == "no problems in 1 file"


def test_a_failure_has_its_help_below() -> None:
    error = HeddleError("it\nfailed", help="try again")
    assert failure(error) == "error: it\n  failed\n  help: try again"


def test_a_failure_in_user_code_shows_where() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "steps.py", line 5, in risk\n    raise E("no")\nE: no\n'
    )
    error = StageError("no", stage="s", step="risk", error_type="E", stack_trace=trace, attempt=3)
    assert (
        failure(error)
        == """\
error: `risk` failed at attempt 3: no (E)
  where:
    File "steps.py", line 5, in risk
      raise E("no")"""
    )


@given(st.text(max_size=60), st.integers(0, 70), st.integers(0, 70), st.integers(0, 70))
def test_any_text_and_span_has_a_frame(text: str, start: int, end: int, label: int) -> None:
    source = Source("x.he", text)
    found = finding(text, Span(start, end), labels=(Label(Span(label, label + 1), "here"),))
    lines = full(found).split("\n")
    assert sum("^" in line for line in lines[3:]) >= 1
    assert record(found)["line"] <= text.count("\n") + 1
    for pieces in source_frame(source, (Note(Span(start, end), primary=True),)):
        shown = "".join(piece for piece, _ in pieces)
        assert sum(map(cell_width, shown)) <= 2 * LINE_WIDTH_MAX + 20
        assert "\n" not in shown
        assert "\x1b" not in shown
