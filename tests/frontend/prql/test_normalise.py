"""The looser forms of queries and the PRQL that they mean; what is legal stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.prql.edited import Edit, EditedText, to_ascii, unspelled
from heddle.frontend.prql.names import relation_names
from heddle.frontend.prql.normalise import normalise
from tests.frontend.prql.queries import compiled

FORMS = [
    ("from users select name, id", "from users | select {name, id}"),
    ("from input filter id > 100", "from input | filter id > 100"),
    ("from a filter x > 1 take 3 select x", "from a | filter x > 1 | take 3 | select x"),
    ("select a, b", "from input | select {a, b}"),
    ("select a, b,", "from input | select {a, b}"),
    ("derive x = f a", "from input | derive {x = f a}"),
    ("sort -a, b", "from input | sort {-a, b}"),
    ("sort a desc, t.b asc", "from input | sort {-a, t.b}"),
    ("sort by t.a desc", "from input | sort {-t.a}"),
    ("aggregate sum a, n = count this", "from input | aggregate {sum a, n = count this}"),
    ("group by a, b (take 1)", "from input | group {a, b} (take 1)"),
    ("group a (sort -b take 1)", "from input | group a (sort {-b} | take 1)"),
    ("orders | take 3", "from orders | take 3"),
    ("W.out take 3", "from W.out | take 3"),
    ("filter a = b and not c", "from input | filter a == b && !c"),
    ("filter a is null or b is not null", "from input | filter a == null || b != null"),
    ("filter a <> 1", "from input | filter a != 1"),
    ("from a join t where a = b and c", "from a | join t (a == b && c)"),
    ("from a join side:left t on (a.x = t.y)", "from a | join side:left t (a.x == t.y)"),
    ("from a | join t using k, l", "from a | join t (==k && ==l)"),
    ("from a | join t (==k, ==l)", "from a | join t (==k && ==l)"),
    ("from a | join t {==k, ==l}", "from a | join t (==k && ==l)"),
    ("select x = concat(a, '-', b)", "from input | select {x = (concat (a) ('-') (b))}"),
    ("select concat(a, concat(b, c))", "from input | select {(concat (a) ((concat (b) (c))))}"),
    ("(from a select b, c)", "(from a | select {b, c})"),
    ("from a\nselect b, c\n", "from a\nselect {b, c}\n"),
    ("from a # from b\nselect b, c # x, y", "from a # from b\nselect {b, c} # x, y"),
    ("let f = x -> x\nfrom a select f b, c", "let f = x -> x\nfrom a | select {f b, c}"),
]

LEGAL = [
    "from a",
    "from a | select {a, b} | filter (a > 1 && b) | take 1..3",
    "from t=a\njoin side:left u=b (t.x == u.x)\ngroup {x, y} (\n  aggregate {n = count this}\n)\nsort {-n}",
    "from a | derive {take = 1, b = `from`} | filter take > 1",
    "from a | derive {x = case [a == 1 => 2, true => 3]}",
    'from a | filter b == "from x select y, z and w = 1"',
    "from a | window rolling:3 (sort b | derive {s = sum c})",
    "let f = a b:1 -> a + b\nfrom x\nderive {y = (z | f b:2)}",
]


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_form(text: str, expected: str) -> None:
    assert normalise(EditedText.of(text, 0)).text == expected


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_what_was_normalised_is_left_alone(text: str, expected: str) -> None:
    assert normalise(EditedText.of(expected, 0)).text == expected


@pytest.mark.parametrize("text", LEGAL)
def test_legal_text_is_left_alone(text: str) -> None:
    assert normalise(EditedText.of(text, 0)).text == text


def test_legal_text_is_compiled_as_it_is() -> None:
    assert compiled("from input | filter pieces > 1").prql == "from input | filter pieces > 1"
    assert compiled("filter pieces > 1 select id, größe = 1").prql == (
        "from input | filter pieces > 1 | select {id, größe = 1}"
    )


def _names(text: str) -> list[str]:
    body = Span(7, 7 + len(text))
    found = relation_names(ast.Query(text, body, Span(6, 8 + len(text))))
    for name, span in found:
        assert text[span.start - 7 : span.end - 7].replace("`", "") == name
    return [name for name, _ in found]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from orders", ["orders"]),
        (
            "from o=orders | join side:left u=users (==id) | append Other.out",
            ["orders", "users", "Other.out"],
        ),
        ("from orders join users where a = b", ["orders", "users"]),
        ("filter x > 1 | join users", ["users"]),
        ("from input | join (from users | filter a) (==id)", ["input", "users"]),
        ("orders | take 3", ["orders"]),
        ("W.out", ["W.out"]),
        ("a. a", []),
        ("filter x", []),
        ("from a | derive {from = 1, join = b} | select {from, join}", ["a"]),
        ("from a | filter join > 1", ["a"]),
        ("let big = (from a | filter x > 1)\nfrom big | join b (==k)", ["a", "b"]),
        ("let f = r -> (from r | take 1)\nf a", []),
        ('from a | filter x == "from b" # from c', ["a"]),
        ("from `my table` | take 1", ["my table"]),
        ("from a | intersect b | remove c", ["a", "b", "c"]),
        ("from", []),
        ("", []),
        ("from )", []),
    ],
)
def test_relation_names(text: str, names: list[str]) -> None:
    assert _names(text) == names


@given(st.text(alphabet="abé(){}[]|,=\"'`#\n <>-+.:fromjinselct漢", max_size=60))
def test_any_text_is_read(text: str) -> None:
    _names(text)
    normalise(to_ascii(EditedText.of(text, 0)))


@given(
    st.text(alphabet="abcé漢 ", min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.sampled_from(("", "x", "| "))), max_size=4),
)
def test_offsets_lead_back(text: str, wanted: list[tuple[int, int, str]]) -> None:
    """A character that was not edited leads to itself in the program, whatever stands around it."""
    origin, edits, position = 100, [], 0
    for start, length, new in sorted(wanted):
        if start >= position and start + length <= len(text):
            edits.append(Edit(start, start + length, new))
            position = start + length
    kept = set(range(len(text))).difference(*(range(e.start, e.end) for e in edits))
    edited = to_ascii(EditedText.of(text, origin).edit(edits))
    assert unspelled(edited.text) == EditedText.of(text, origin).edit(edits).text
    reached = {edited.span(i, i + 1).start - origin for i in range(len(edited.text))}
    assert kept <= reached
    for i in range(len(edited.text)):
        span = edited.span(i, i + 1)
        assert origin <= span.start <= span.end <= origin + len(text)
