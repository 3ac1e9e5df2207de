"""What holds for every text: the parser ends and tells what is wrong; the formatter keeps the tree and every
comment, and does nothing the second time."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heddle.diagnostics import Source
from heddle.frontend import ast
from heddle.frontend.formatter import format_program, format_source
from heddle.frontend.tokens import tokenize
from tests.frontend.programs import broken_programs, programs
from tests.frontend.syntax.trees import comment_texts, errors, parse_text, without_spans

usual = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

SYNTAX_TEXT = st.text(alphabet=st.sampled_from("{}[]()<>|?!=:,.*\"'`#/\\\n\r\t ;@-+_aw0é“\0"), max_size=120)


def assert_sound(text: str) -> None:
    """The tokens stand in order within the text, and every finding is at a place of the text."""
    tokens, comments, _ = tokenize(Source("program.he", text))
    ends = [0, *(token.end for token in tokens)]
    assert all(token.start >= end for token, end in zip(tokens, ends, strict=False))
    assert tokens[-1].kind == "end"
    assert all(text[c.span.start : c.span.end] == c.text for c in comments)
    for finding in parse_text(text).diagnostics:
        assert 0 <= finding.span.start <= finding.span.end <= len(text)
        assert finding.message and finding.help
        for span, _ in finding.fix.edits if finding.fix else ():
            assert 0 <= span.start <= span.end <= len(text)


@usual
@given(programs())
def test_programs_parse(text: str) -> None:
    result = parse_text(text)
    assert not errors(result)
    assert not result.program.broken
    assert not result.verbatim


@usual
@given(programs())
def test_formatting_keeps_the_tree_and_every_comment(text: str) -> None:
    before = parse_text(text).program
    after = parse_text(format_program(before)).program
    assert without_spans(after.items) == without_spans(before.items)
    assert comment_texts(after) == comment_texts(before)


@usual
@given(programs())
def test_formatting_twice_is_formatting_once(text: str) -> None:
    once = format_source(text)
    assert format_source(once) == once
    assert not [d for d in parse_text(once).diagnostics if d.code.startswith("HD02")]


@usual
@given(programs(comments=False))
def test_line_breaks_of_windows_mean_the_same(text: str) -> None:
    plain = text.replace("\r\n", "\n")
    windows = plain.replace("\n", "\r\n")
    assert without_spans(parse_text(windows).program.items) == without_spans(parse_text(plain).program.items)
    if "\n" in plain:
        assert format_source(windows).replace("\r\n", "\n") == format_source(plain)


@usual
@given(programs())
def test_spans_hold_the_text_of_their_node(text: str) -> None:
    for item in parse_text(text).program.items:
        if isinstance(item, ast.HandlerItem | ast.WorkflowItem | ast.TestItem):
            assert text[item.body.start] == "{"
            assert text[item.body.end - 1] == "}"
            for statement in item.statements:
                assert item.body.start < statement.span.start <= statement.span.end < item.body.end


@usual
@given(st.one_of(st.text(max_size=200), SYNTAX_TEXT, broken_programs()))
def test_any_text_parses(text: str) -> None:
    assert_sound(text)


@usual
@given(st.one_of(SYNTAX_TEXT, broken_programs()))
def test_broken_texts_format_stably_and_lose_nothing(text: str) -> None:
    once = format_source(text)
    assert format_source(once) == once
    before, after = parse_text(text), parse_text(once)
    assert [d.code for d in errors(after)] == [d.code for d in errors(before)]
    assert comment_texts(after.program) == comment_texts(before.program)
    assert without_spans(after.program.items) == without_spans(before.program.items)


@usual
@given(broken_programs())
def test_a_broken_region_is_kept_as_it_is(text: str) -> None:
    once = format_source(text).replace("\r\n", "\n")
    for span in parse_text(text).verbatim:
        assert text[span.start : span.end].replace("\r\n", "\n").rstrip() in once
