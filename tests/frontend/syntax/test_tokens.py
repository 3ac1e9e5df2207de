"""The lexer: kinds, line breaks, comments, and where a query ends."""

from __future__ import annotations

import pytest

from heddle.diagnostics import Source
from heddle.frontend.tokens import Token, tokenize


def tokens_of(text: str) -> list[Token]:
    tokens, _, diagnostics = tokenize(Source("program.he", text))
    assert not diagnostics, [d.message for d in diagnostics]
    return tokens[:-1]


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokens_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user-id _x B2", ["user-id", "_x", "B2"]),
        ("-1 +2 .5 5. 1e5 1_000 -2.5e-3", ["-1", "+2", ".5", "5.", "1e5", "1_000", "-2.5e-3"]),
        ('"a\\"b" "" """x"y"""', ['"a\\"b"', '""', '"""x"y"""']),
        ("a.b<c=d>", ["a", ".", "b", "<", "c", "=", "d", ">"]),
        ("io.csv{a:1}", ["io", ".", "csv", "{", "a", ":", "1", "}"]),
    ],
)
def test_texts_of_tokens(text: str, expected: list[str]) -> None:
    assert [token.text for token in tokens_of(text)] == expected


@pytest.mark.parametrize(
    "query",
    [
        "(from x)",
        "(from (y | take 1) | select {a, b})",
        "(filter a == ')')",
        '(filter a == "(" )',
        r"(filter a == '\')')",
        r"(filter a == r'\' | take 1)",
        '(derive z = """a "quoted) part" """)',
        "(derive z = f'{a})')",
        "(select `odd)name`)",
        "(from x # it's (unfinished\n)",
        "(derive half = a // 2)",
        "(filter a == '' && b == \"\")",
        "(derive m = 'two\nlines)')",
    ],
)
def test_a_query_is_one_token(query: str) -> None:
    assert kinds(f"a | {query} | b") == [
        ("name", "a"),
        ("|", "|"),
        ("query", query),
        ("|", "|"),
        ("name", "b"),
    ]


def test_parentheses_that_hold_no_query() -> None:
    assert ("query", "(from x)") in kinds("workflow W(a: decimal(1, 2)) { (from x) }")
    assert "query" not in dict(kinds('resource r = m.c { a: env("A"), b: secret("B") }'))
    assert kinds("env\n(from x)")[1] == ("query", "(from x)")


def test_line_breaks() -> None:
    marks = [(token.text, token.after_break) for token in tokens_of("a b\nc // d\ne /* \n */ f\r\ng")]
    assert marks == [("a", True), ("b", False), ("c", True), ("e", True), ("f", True), ("g", True)]


def test_comments_with_their_places() -> None:
    text = "// own  \na // behind\n  /* own too */ b /* mid */ c\n// last"
    _, comments, _ = tokenize(Source("program.he", text))
    assert [(c.text, c.kind, c.own_line) for c in comments] == [
        ("// own", "line", True),
        ("// behind", "line", False),
        ("/* own too */", "block", True),
        ("/* mid */", "block", False),
        ("// last", "line", True),
    ]


def test_comment_marks_in_strings_and_queries_are_text() -> None:
    _, comments, _ = tokenize(Source("program.he", 'a { b: "// no", c: "/* no */" } | (derive x = a // b)'))
    assert not comments


def test_a_byte_order_mark_at_the_start_is_no_text() -> None:
    assert kinds("\ufeffworkflow") == [("name", "workflow")]
