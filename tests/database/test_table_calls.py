"""Where a text calls tables, told from calls of functions that look the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import Dialect

from heddle.database.errors import QueryError
from heddle.database.statements import read_statement
from heddle.database.table_calls import table_calls, without_calls


def found(text: str) -> list[str]:
    dialect = Dialect.get_or_raise("postgres")
    return [
        re.split(r"[\s(]", text[: call.name_end])[-1]
        + str([(argument.name, text[argument.start : argument.end]) for argument in call.arguments])
        for call in table_calls(text, dialect.tokenize(text), dialect)
    ]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("select * from f(1)", ["f[(None, '1')]"]),
        ("from s.f(a => 'x'::date)", ["s.f[('a', \"'x'::date\")]"]),
        ('select 1 from "F"("A" => -1, B := $1)', ["\"F\"[('A', '-1'), ('b', '$1')]"]),
        ("select f(1), g('x') from t where h(1) group by k(1) order by l(1) limit m(1)", []),
        ("select 1 from t, f(1) where exists (select 1 from g(2))", ["f[(None, '1')]", "g[(None, '2')]"]),
        ("select 1 from a join f(1) x on g(1) = h(x.y), k(2) y", ["f[(None, '1')]", "k[(None, '2')]"]),
        ("select 1 from (f(1) cross join g(2))", ["f[(None, '1')]", "g[(None, '2')]"]),
        ("select extract(year from f(x)), substring(y from g(1)) from t", []),
        ("select a is distinct from f(1), b is not distinct from g(1) from t", []),
        ("select 1 from t join u on t.a is distinct from f(1)", []),
        ("select 1 from (values (1, 2)) v(a, b), (select 1) s(c)", []),
        ("select 1 from t as f(a, b), u g(c)", []),
        ("select 1 from generate_series(1, 3), range(2), unnest([1])", []),
        ("select 1 from s.range(2) union select 1 from f(3)", ["s.range[(None, '2')]", "f[(None, '3')]"]),
        ("with f as (select 1 from g(1)) select f(1) from f", ["g[(None, '1')]"]),
        ("select 1 from f()", ["f[]"]),
        ("select 1 from f(1) tablesample bernoulli (10)", ["f[(None, '1')]"]),
        ("select 1 -- from f(1)\n from t /* , g(1) */", []),
        ("select 'from f(1)' as \"from g(1)\" from t", []),
    ],
)
def test_calls(text: str, calls: list[str]) -> None:
    assert found(text) == calls


def test_the_text_without_calls_has_its_names_in_their_places() -> None:
    text = "select 1 from s.f(a => 1) x, t, g (2)"
    dialect = Dialect.get_or_raise("postgres")
    plain = without_calls(text, table_calls(text, dialect.tokenize(text), dialect))
    assert plain == "select 1 from s.f         x, t, g    "


def test_parameters_and_numbers_of_calls_are_no_part_of_the_query() -> None:
    read = read_statement("select 1.5 as a from f(x => $2, y => 2.5) where b = $1 and c < 0.5 limit $3")
    assert read.parameters == ("$1", "$2", "$3")
    assert read.sql(["select 1"], {}, {"$1": "'one'", "$3": "3"}) == (
        'select 1.5e0 as "a" from (select 1) AS "f" where "b" = \'one\' and "c" < 0.5e0 limit 3'
    )
    (table,) = read.tables
    assert table.values is not None
    assert [(value.name, value.text, value.parameter) for value in table.values] == [
        ("x", "$2", "$2"),
        ("y", "2.5", None),
    ]


def test_parameters_without_numbers_count_in_their_order() -> None:
    read = read_statement("select ? from f(?, cast(? as date)) g where x = ?")
    assert read.parameters == ("$1", "$2", "$3", "$4")
    (table,) = read.tables
    assert table.values is not None
    assert [value.sql({"$2": "two", "$3": "three"}) for value in table.values] == [
        "two",
        "cast(three as date)",
    ]


WORDS = (
    "select from join where values lateral on distinct union with as cast date f g s "
    ", ( ) . = ? => :: 'x' \"Q\" $1 1.5 -- /*"
)


@pytest.mark.parametrize(
    "part", ["from f(select ", "from f(, ", "f(?), ", "from f(1), ", "select 1 from f(((", "(from f("]
)
def test_a_long_text_is_read_once(part: str) -> None:
    with pytest.raises(QueryError):
        read_statement("select * from t, " + part * 20_000)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=30).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    for beginning in ("", "select * from ", "select * from f(1), "):
        try:
            read_statement(beginning + text)
        except QueryError:
            continue
