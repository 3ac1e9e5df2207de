"""What a client asks of views means what it means in DataFusion, whichever engine computes it."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafusion import SessionContext
from hypothesis import given, settings
from hypothesis import strategies as st

from heddle.database.errors import QueryError
from tests.database.asking import Asked, asking

ROWS = 60
DATA = pa.table(
    {
        "i": pa.array([None if n % 11 == 0 else n % 13 - 6 for n in range(ROWS)], pa.int64()),
        "j": pa.array([n * 7 % 10 for n in range(ROWS)], pa.int64()),
        "f": pa.array([None if n % 9 == 0 else (n - 30) / 4 for n in range(ROWS)], pa.float64()),
        "s": pa.array([None if n % 7 == 0 else str(n % 25) for n in range(ROWS)], pa.string()),
        "t": pa.array([["a", "B", "b", "", "x%y"][n % 5] for n in range(ROWS)], pa.string()),
        "d": pa.array([dt.date(2024, 1, 1) + dt.timedelta(n % 40) for n in range(ROWS)], pa.date32()),
        "m": pa.array([Decimal(n) / 4 for n in range(ROWS)], pa.decimal128(10, 2)),
        "b": pa.array([None if n % 8 == 0 else n % 3 == 0 for n in range(ROWS)], pa.bool_()),
    }
)
PROGRAM = """
step data = io.parquet { path: "data.parquet" }

workflow W {
  (from data | select {i, j, f, s, t, d, m, b})
    > x
}
"""
NUMBERS = (
    "i",
    "j",
    "f",
    "m",
    "3",
    "-2",
    "0.5",
    "i + j",
    "j - 1",
    "f * 2",
    "i % 4",
    "i / 2",
    "j / 3",
    "abs(i)",
)
TEXTS = (
    "s",
    "t",
    "'5'",
    "'b'",
    "upper(t)",
    "s || t",
    "concat(t, s)",
    "substr(t, 1, 1)",
    "cast(i as varchar)",
)
DATES = ("d", "date '2024-01-15'", "'2024-01-20'", "d + interval '1' day")
VALUES = (*NUMBERS, *TEXTS, *DATES)
value = st.sampled_from(VALUES)
number = st.sampled_from(NUMBERS)
compared = st.sampled_from(("=", "<>", "<", ">=", "is distinct from"))


@st.composite
def conditions(draw: st.DrawFn) -> str:
    return draw(
        st.one_of(
            st.builds(lambda a, o, b: f"{a} {o} {b}", value, compared, value),
            st.builds(lambda a: f"{a} is not null", value),
            st.builds(lambda a, b, c: f"{a} between {b} and {c}", number, number, number),
            st.builds(lambda a, b: f"{a} in ({b}, 4, 'b')", value, value),
            st.builds(lambda a: f"{a} like '%b%'", st.sampled_from(TEXTS)),
            st.builds(lambda a: f"{a} not in (select j from x where f > 3)", number),
            st.just("b"),
            st.just("exists (select 1 from x as y where y.j = x.i)"),
        )
    )


@st.composite
def queries(draw: st.DrawFn) -> str:
    where = f"where {draw(conditions())}" if draw(st.booleans()) else ""
    if draw(st.booleans()):
        where += f" {'and' if where else 'where'} not ({draw(conditions())})"
    shape = draw(st.integers(0, 4))
    a, b = draw(value), draw(number)
    match shape:
        case 0:
            chosen = f"case when {draw(conditions())} then {a} else {draw(value)} end"
            return f"select {a} as a, {b} as b, {chosen} as c from x {where}"
        case 1:
            return (
                f"select {a} as a, count(*) as n, sum({b}) as s, min({draw(value)}) as lo, avg({b}) as m "
                f"from x {where} group by {a} having count(*) > 1"
            )
        case 2:
            kind = draw(st.sampled_from(("inner", "left", "full")))
            other = "(select j as k, s as u, t as v from x) as y"
            return f"select i, k, u from x {kind} join {other} on x.i = y.k and u || v <> 'z' {where}"
        case 3:
            return (
                f"select i, {b} as b, row_number() over (partition by t order by j, f, i, s) as r, "
                f"sum(j) over (partition by s) as w from x {where}"
            )
        case _:
            some = f"select distinct {a} as a, coalesce(s, t) as c from x {where}"
            return f"{some} union all select t, s from x order by 1 desc, 2 limit 40"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asked, SessionContext]]:
    folder = tmp_path_factory.mktemp("equal")
    pq.write_table(DATA, folder / "data.parquet")
    plain = SessionContext()
    plain.register_parquet("x", str(folder / "data.parquet"))
    with asking(folder, {"w.he": PROGRAM}) as asked:
        yield asked, plain


@settings(max_examples=150)
@given(text=queries())
def test_answers_are_those_of_datafusion(both: tuple[Asked, SessionContext], text: str) -> None:
    asked, plain = both
    try:
        wanted = sorted_rows(plain.sql(text).to_arrow_table())
    except Exception:  # DataFusion raises no narrower type; DuckDB may know how
        with contextlib.suppress(QueryError):
            asked.table(text)
        return
    assert sorted_rows(asked.table(text)) == wanted


def sorted_rows(table: pa.Table) -> list[str]:
    """Floats are compared to 12 digits: sums differ by the order of their rows."""
    columns = [[_shown(value) for value in column.to_pylist()] for column in table.columns]
    return sorted(repr(row) for row in zip(*columns, strict=True))


def _shown(value: object) -> object:
    return f"{value:.12g}" if isinstance(value, float) else value


def test_a_defect_of_the_engine_is_an_error_like_others(tmp_path: Path) -> None:
    """DataFusion gives up with what Python takes for more than an `Exception`."""
    pq.write_table(pa.table({"n": range(70_000)}), tmp_path / "n.parquet")
    text = 'workflow W {\n  io.parquet { path: "n.parquet" }\n    > numbers\n}\n'
    with asking(tmp_path, {"w.he": text}) as asked:
        with pytest.raises(QueryError, match="longer than 2 GB in one batch"):
            asked.rows("SELECT repeat('x', 1000000) AS text FROM numbers")
        assert asked.rows("SELECT count(*) AS n FROM numbers") == [{"n": 70_000}]
