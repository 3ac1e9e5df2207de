"""Queries compiled together give what they give alone, and one mistake stays one mistake."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heddle.core.types import Column, RowType
from heddle.frontend.prql.compiler import BATCH_QUERIES, QueryCompiler
from heddle.frontend.prql.request import CompiledQuery, QueryRequest
from tests.frontend.prql.queries import TABLES, new_compiler, request, run_sql

NUMBERS = ("id", "pieces", "a", "b")


@st.composite
def pipelines(draw: st.DrawFn, names: tuple[str, ...] = ("id", "pieces", "user_id")) -> str:
    """A legal pipeline over columns of numbers; it keeps at least one of them."""
    columns = list(names)
    transforms: list[str] = []
    for _ in range(draw(st.integers(1, 5))):
        column, other = draw(st.sampled_from(columns)), draw(st.sampled_from(columns))
        number = draw(st.integers(-3, 9))
        new = draw(st.sampled_from(("a", "b", "c")))
        kind = draw(
            st.sampled_from(("filter", "derive", "select", "sort", "take", "group", "join", "window"))
        )
        match kind:
            case "filter":
                operator = draw(st.sampled_from((">", "<=", "==", "!=")))
                transforms.append(f"filter {column} {operator} ({number}) || {other} == null")
            case "derive":
                operator = draw(st.sampled_from(("+", "-", "*", "??")))
                transforms.append(f"derive {{{new} = {column} {operator} ({other} + {abs(number)})}}")
                columns = [c for c in columns if c != new] + [new]
            case "select":
                columns = draw(st.lists(st.sampled_from(columns), min_size=1, unique=True))
                transforms.append(f"select {{{', '.join(columns)}}}")
            case "sort":
                transforms.append("sort {" + ", ".join(["-" + columns[0], *columns[1:]]) + "}")
            case "take":
                transforms.append("sort {" + ", ".join(columns) + "}")
                transforms.append(f"take {abs(number) + 1}")
            case "group" if other != column:
                count, top = f"{new}{len(transforms)}", f"top{len(transforms)}"
                transforms.append(f"group {column} (aggregate {{{count} = count this, {top} = max {other}}})")
                columns = [column, count, top]
            case "join" if "user_id" in columns:
                transforms.append(
                    "join side:left u=(from users | select {user_id, land = Country}) (==user_id)"
                )
                transforms.append("derive {land_known = land != null} | select !{land, land_known}")
                columns = [*columns]
            case _:
                transforms.append(f"derive {{{new} = {column} - (min {other})}}")
                columns = [c for c in columns if c != new] + [new]
    return " | ".join(transforms)


def _alone(query: QueryRequest) -> CompiledQuery:
    (result,) = new_compiler().compile([query]).values()
    assert isinstance(result, CompiledQuery), [d.message for d in result.diagnostics]
    return result


def _sorted_rows(table: pa.Table) -> list[str]:
    return sorted(repr(row) for row in zip(*(c.to_pylist() for c in table.columns), strict=True))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(pipelines(), min_size=2, max_size=6))
def test_together_as_alone(texts: list[str]) -> None:
    requests = [request(text, key=f"q{i}") for i, text in enumerate(texts)]
    together = new_compiler().compile(requests)
    for query in requests:
        result, alone = together[query.key], _alone(query)
        assert isinstance(result, CompiledQuery)
        assert result == alone
        assert run_sql(result.sql).schema.names == list(result.row.names)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(pipelines(), pipelines())
def test_the_types_are_those_of_the_rows(first: str, second: str) -> None:
    """What the compiler says of a result is what DataFusion gives for it."""
    for text in (first, second):
        result = _alone(request(text))
        table = run_sql(result.sql)
        assert [f.type for f in table.schema] == [c.type for c in result.row]


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(("filter id > 1", "derive {x = pieces + 1}", "sort id | take 4")),
        min_size=2,
        max_size=8,
    )
)
def test_a_chain_is_one_pipeline(texts: list[str]) -> None:
    requests = [
        request(text, key=f"q{i}", piped="orders" if i == 0 else f"q{i - 1}") for i, text in enumerate(texts)
    ]
    results = [r for r in new_compiler().compile(requests).values() if isinstance(r, CompiledQuery)]
    whole = _alone(request(" | ".join(texts)))
    chained = run_sql(results[-1].sql, views=results[:-1])
    assert _sorted_rows(chained) == _sorted_rows(run_sql(whole.sql))


@pytest.mark.parametrize("bad_every", [1, 2, 7, 50])
def test_bad_queries_among_good_ones(bad_every: int) -> None:
    requests = [
        request("select nope" if i % bad_every == 0 else f"filter id > {i}", key=f"q{i}") for i in range(60)
    ]
    results = new_compiler().compile(requests)
    assert list(results) == [f"q{i}" for i in range(60)]
    for i, result in enumerate(results.values()):
        codes = [d.code for d in result.diagnostics]
        assert codes == (["HD0601"] if i % bad_every == 0 else [])


def test_each_failure_has_the_place_in_its_own_query() -> None:
    requests = [request(f"derive {{x{i} = {i}}} | select {{no{i}}}", key=f"q{i}") for i in range(5)]
    for i, result in enumerate(new_compiler().compile(requests).values()):
        (found,) = result.diagnostics
        assert found.source.text[found.span.start : found.span.end] == f"no{i}"


def test_more_queries_than_a_module_holds() -> None:
    count = BATCH_QUERIES * 3 + 1
    requests = [
        request(f"derive {{x{i % 3} = id + {i}}}", key=f"q{i}", piped="orders" if i == 0 else f"q{i - 1}")
        for i in range(count)
    ]
    results = list(new_compiler().compile(requests).values())
    last = results[-1]
    assert isinstance(last, CompiledQuery)
    assert last.inputs == (f"q{count - 2}",)
    assert set(last.row.names) == {*TABLES["orders"].column_names, "x0", "x1", "x2"}


def test_queries_with_functions_of_the_same_name() -> None:
    texts = [f"let f = x -> x * {i}\nfrom input\nselect {{y = f pieces}}" for i in (2, 3)]
    results = new_compiler().compile([request(t, key=f"q{i}") for i, t in enumerate(texts)])
    values = [run_sql(r.sql)["y"].to_pylist()[0] for r in results.values() if isinstance(r, CompiledQuery)]
    assert values == [14, 21]


def test_strings_that_look_like_spans_stay() -> None:
    results = new_compiler().compile(
        [request('select {x = "1:5-9", y = f"1:2-3{id}"}', key=f"q{i}") for i in "ab"]
    )
    for result in results.values():
        assert isinstance(result, CompiledQuery)
        assert run_sql(result.sql)["x"].to_pylist()[0] == "1:5-9"


def test_declaring_a_relation_again_replaces_it() -> None:
    compiler = QueryCompiler()
    for type_ in (pa.int64(), pa.string()):
        compiler.declare("orders", RowType((Column("id", type_),)))
        (result,) = compiler.compile([request("select {x = id}")]).values()
        assert isinstance(result, CompiledQuery)
        assert result.row.column("x") == Column("x", type_)


def test_nothing_to_compile() -> None:
    assert new_compiler().compile([]) == {}
