"""Layout findings: warnings that `fmt` repairs, errors when the layout is strict."""

from __future__ import annotations

import pytest

from heddle.diagnostics import Diagnostic
from heddle.frontend.formatter import format_source
from tests.frontend.syntax.trees import errors, parse_text, without_spans


def layout(text: str, *, strict: bool = False) -> list[Diagnostic]:
    return [d for d in parse_text(text, strict_layout=strict).diagnostics if d.code.startswith("HD02")]


CASES = [
    ("HD0201", "workflow W {\n  a | b\n}\n", [(2, 5)]),
    ("HD0201", "workflow W {\n  a\n    | b | c\n}\n", [(3, 9)]),
    ("HD0201", "workflow W {\n  a |\n    b\n}\n", [(2, 5)]),
    ("HD0201", "workflow W { a | b }\n", [(1, 16)]),
    ("HD0201", "workflow W {\n  a\n    | atomic { | b }\n}\n", [(3, 16)]),
    ("HD0202", "workflow W {\n  <a=b>\n  m.f\n}\n", [(2, 7)]),
    ("HD0202", "workflow W {\n  m.f <a=b>\n  { c: 1 }\n}\n", [(2, 11)]),
    ("HD0203", "workflow W {\n  a\n\t\t| b\n}\n", [(3, 1)]),
    ("HD0203", "workflow W {\n\ta\n\t  | b\n}\n", [(3, 1)]),
]


@pytest.mark.parametrize(("code", "text", "places"), CASES)
def test_findings(code: str, text: str, places: list[tuple[int, int]]) -> None:
    found = layout(text)
    assert [(d.code, d.severity) for d in found] == [(code, "warning")] * len(places)
    positions = [d.source.position(d.span.start) for d in found]
    assert [(p.line, p.column) for p in positions] == places


@pytest.mark.parametrize(("code", "text", "places"), CASES)
def test_strict_layout_makes_errors(code: str, text: str, places: list[tuple[int, int]]) -> None:
    assert [d.severity for d in layout(text, strict=True)] == ["error"] * len(places)
    assert not errors(parse_text(text))


@pytest.mark.parametrize("text", [text for _, text, _ in CASES])
def test_fmt_repairs(text: str) -> None:
    assert layout(format_source(text)) == []


@pytest.mark.parametrize("text", [text for _, text, _ in CASES if "{ |" not in text])
def test_the_fix_repairs_and_keeps_the_meaning(text: str) -> None:
    before = parse_text(text).program.items
    repaired = text
    for finding in layout(text):
        assert finding.fix is not None
        for span, replacement in sorted(finding.fix.edits, reverse=True):
            repaired = repaired[: span.start] + replacement + repaired[span.end :]
    assert layout(repaired) == []
    assert without_spans(parse_text(repaired).program.items) == without_spans(before)


@pytest.mark.parametrize(
    "text",
    [
        "workflow W {\n  (from x | take 1)\n    | b\n    > c\n}\n",
        "workflow W { (from x) > c }\n",
        "workflow W {\n\ta\n\t\t| b\n}\n",
        'step q = m.f {\n  s: """\n\ta\n  """\n}\n',
        "/*\n\t tabs of a comment\n*/\nworkflow W {\n  a\n}\n",
    ],
)
def test_what_is_no_finding(text: str) -> None:
    assert layout(text) == []
