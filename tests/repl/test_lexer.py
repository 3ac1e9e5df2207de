"""Tokens cover the text, whatever it is, and statements end where they end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.database.model import Language
from heddle.repl.lexer import tokens
from heddle.repl.statements import Piece, is_complete, next_piece

LANGUAGES: tuple[Language, ...] = ("sql", "prql", "duckdb")
PARTS = st.sampled_from(
    [
        *"'\"`$;\\\n -/*#.,()@?:|=<>",
        "--",
        "/*",
        "*/",
        "$$",
        "$a$",
        "select",
        "é",
        "1.5e3",
        "''",
        "E'",
        's"',
        '"""',
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PARTS).map("".join))


def pieces(text: str, language: Language = "sql") -> list[Piece]:
    found: list[Piece] = []
    start = 0
    while True:
        piece, start = next_piece(text, start, language)
        if piece is None:
            return found
        found.append(piece)


@given(TEXTS, st.sampled_from(LANGUAGES))
def test_tokens_are_the_text(text: str, language: Language) -> None:
    found = list(tokens(text, language))
    assert "".join(token.text for token in found) == text
    assert [token.start for token in found] == [
        sum(len(t.text) for t in found[:i]) for i in range(len(found))
    ]
    assert not any(token.open for token in found[:-1]), "only the last token can lack its end"


@given(TEXTS, st.sampled_from(LANGUAGES))
def test_pieces_are_parts_of_the_text(text: str, language: Language) -> None:
    found = pieces(text, language)
    for piece in found:
        assert text[piece.start : piece.start + len(piece.text)] == piece.text
    assert all(piece.complete for piece in found[:-1])
    assert is_complete(text, language) == all(piece.complete for piece in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select 1; select 2;", ["select 1", "select 2"]),
        ("select ';' ; -- one; more", ["select ';'"]),
        ("select 'it''s; so';", ["select 'it''s; so'"]),
        ("select E'\\'; ' ;", ["select E'\\'; '"]),
        ('select ";" ;', ['select ";"']),
        ("select `;` ;", ["select `;`"]),
        ("select $$ ; $$, $a$ ; $$ ; $a$;", ["select $$ ; $$, $a$ ; $$ ; $a$"]),
        ("/* a; /* b; */ c; */ select 1;", ["select 1"]),
        ("select 1 -- a;\n, 2;", ["select 1 -- a;\n, 2"]),
        (";;;", []),
        ("\\d orders; x\nselect 1;", ["\\d orders; x", "select 1"]),
        ("select 1; \\x on", ["select 1", "\\x on"]),
    ],
)
def test_statements_end_at_a_semicolon_that_is_one(text: str, expected: list[str]) -> None:
    assert [piece.text for piece in pieces(text)] == expected
    assert is_complete(text, "sql")


@pytest.mark.parametrize(
    "text",
    ["select 1", "select ';", 'select ";', "select $$ ;", "select 1; /* ;", "select $a$ ; $$ ;", "select `;"],
)
def test_what_lacks_its_end_waits_for_it(text: str) -> None:
    assert not is_complete(text, "sql")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from a # x;\n| take 1;", ["from a # x;\n| take 1"]),
        ('from a | filter b == "; \\" ;";', ['from a | filter b == "; \\" ;"']),
        ('from s"""select ";" """;', ['from s"""select ";" """']),
        ("from a | filter d > @2020-01-01; from b;", ["from a | filter d > @2020-01-01", "from b"]),
    ],
)
def test_prql_has_strings_and_comments_of_its_own(text: str, expected: list[str]) -> None:
    assert [piece.text for piece in pieces(text, "prql")] == expected
