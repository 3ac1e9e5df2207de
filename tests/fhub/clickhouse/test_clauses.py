"""The clauses of a statement are found by their words, whatever stands between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhub.clickhouse.clauses import StatementError, clauses_of, conjuncts_of, equal_column, marked, marks
from fhub.clickhouse.lookup import lookup_of


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("select a from t", {"SELECT": "a", "FROM": "t"}),
        (
            "WITH x AS (SELECT 1 FROM y WHERE z) SELECT * EXCEPT (a) FROM t AS from_ -- WHERE\n"
            "WHERE a = 'LIMIT 1'",
            {
                "WITH": "x AS (SELECT 1 FROM y WHERE z)",
                "SELECT": "* EXCEPT (a)",
                "FROM": "t AS from_ -- WHERE",
                "WHERE": "a = 'LIMIT 1'",
            },
        ),
        (
            "SELECT t.limit, `order by`, 1 AS having FROM t GROUP  BY a WITH TOTALS ORDER BY b "
            "LIMIT 5 OFFSET 2",
            {
                "SELECT": "t.limit, `order by`, 1 AS having",
                "FROM": "t",
                "GROUP BY": "a WITH TOTALS",
                "ORDER BY": "b",
                "LIMIT": "5",
                "OFFSET": "2",
            },
        ),
        ("SELECT 1 EXCEPT SELECT 2", {"SELECT": "2", "EXCEPT": ""}),
        (
            "SELECT 'it''s \\' WHERE', $$ FROM $$, \"a\"\"FROM\"",
            {"SELECT": "'it''s \\' WHERE', $$ FROM $$, \"a\"\"FROM\""},
        ),
    ],
)
def test_clauses(text: str, texts: dict[str, str]) -> None:
    assert clauses_of(text).texts == texts


@pytest.mark.parametrize(
    ("condition", "parts"),
    [
        ("a = 1 AND b = 2", ["a = 1", "b = 2"]),
        ("a BETWEEN 1 AND 2 AND b", ["a BETWEEN 1 AND 2", "b"]),
        ("(a AND b) and c", ["(a AND b)", "c"]),
        ("a AND b OR c", ["a AND b OR c"]),
        ("a ? b AND c : d", ["a ? b AND c : d"]),
        ("CASE WHEN a AND b THEN 1 END AND c", ["CASE WHEN a AND b THEN 1 END AND c"]),
        ("a = 'x AND y'", ["a = 'x AND y'"]),
    ],
)
def test_conjuncts(condition: str, parts: list[str]) -> None:
    assert [part.strip() for part in conjuncts_of(condition)] == parts


@pytest.mark.parametrize(
    ("conjunct", "found"),
    [
        ("a = @p", ("a", "p")),
        ("@p == t.`b c`", ("t.`b c`", "p")),
        ("db.t.a /* key */ = @p -- end", ("db.t.a", "p")),
        ('"a" IN ( @p )', ('"a"', "p")),
        ("a != @p", None),
        ("a + 1 = @p", None),
        ("NOT a = @p", None),
        ("a = @p + 1", None),
        ("lower(a) = @p", None),
        ("a = '@p'", None),
    ],
)
def test_a_column_that_equals_a_parameter(conjunct: str, found: tuple[str, str] | None) -> None:
    assert equal_column(marked(conjunct)) == found


def test_a_statement_is_one_for_all_values() -> None:
    lookup = lookup_of(marked("SELECT a, @p AS p FROM t WHERE k = @p AND b > @q LIMIT 1;"), ("p", "q"))
    assert lookup.equal == {"p": "k"}
    assert lookup.statement({"p": "Int64", "q": "String"}, {"p": "UInt8"}, lambda name: name) == (
        "SELECT a, heddle_keys.heddle_value_p AS p\n, heddle_keys.heddle_row AS heddle_row\n"
        "FROM t\n"
        "CROSS JOIN (SELECT heddle_row, assumeNotNull(accurateCastOrNull(`p`, 'UInt8')) AS heddle_value_p, "
        "`q` AS heddle_value_q FROM heddle_tuples "
        "WHERE accurateCastOrNull(`p`, 'UInt8') = `p`) AS heddle_keys\n"
        "WHERE k = heddle_keys.heddle_value_p\n"
        "  AND (b > heddle_keys.heddle_value_q\n)\n"
        "  AND (k) IN (SELECT heddle_value_p FROM (SELECT heddle_row, "
        "assumeNotNull(accurateCastOrNull(`p`, 'UInt8')) AS heddle_value_p, `q` AS heddle_value_q "
        "FROM heddle_tuples WHERE accurateCastOrNull(`p`, 'UInt8') = `p`))\n"
        "LIMIT 1\nBY heddle_row"
    )


@given(st.text(alphabet="aA ,.()'\"`$@=-/*\n\\SELECTFROMWHEREANDORLIMITBY1{}:;?", max_size=60))
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    statement = marked(text)
    clauses_of(statement)
    conjuncts_of(statement)
    try:
        lookup = lookup_of(statement, marks(statement))
    except StatementError:
        return
    lookup.statement(
        dict.fromkeys(lookup.names, "Int64"), dict.fromkeys(lookup.equal, "Int64"), lambda name: name
    )
