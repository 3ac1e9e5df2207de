"""For random queries over random rows: DuckDB gives what DataFusion gives."""

from __future__ import annotations

import datetime as dt
import tempfile
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sql_logic.answers import answer, difference

_DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))
_COLUMNS = {
    "i": (st.integers(-1000, 1000), pa.int64()),
    "j": (st.integers(-3, 3), pa.int64()),
    "f": (st.sampled_from([0.5, -1.5, 1e300, float("inf"), float("nan"), 0.1, 3.0]), pa.float64()),
    "m": (st.decimals(-1000, 1000, places=2), pa.decimal128(15, 2)),
    "s": (st.text(alphabet="aAbß日%_ '", max_size=3), pa.string()),
    "d": (_DAYS, pa.date32()),
    "b": (st.booleans(), pa.bool_()),
}
"""What `plain` and `other` have beside an `id` without nulls; the names of `data.TABLES`."""

_VALUES = [
    *("i", "j", "f", "m", "s", "d", "b", "i + j", "i * j - 1", "i % 7", "-i", "m * 2", "m - 0.25", "m * j"),
    *("i / 3", "f * 2", "f + i", "i ?? 0", "m ?? 0", "s ?? 'none'", "text.length s", "text.trim s"),
    *("text.extract 1 2 s", "text.contains 'a' s", 's ~= "[ab]"', 'f"{s}-{i}"', "date.year d", "date.week d"),
    *("date.weekday d", "date.diff month d @2000-01-01", "math.abs i", "math.round 1 m", "math.floor m"),
    *(
        "case [i > j => i, true => 0]",
        "case [b => m]",
        "(i | in 0..9)",
        "(s | in ['a', 'A', ''])",
        "m == 0.5",
    ),
    *("i > 0 && b", "b || f > 1", "!b", "s == null", "f != 0.5", "s < 'b'", "d > @2000-01-01"),
]
_CONDITIONS = [
    *("i > 0", "j != 0", "b", "!b", "f > 0", "m < 100.5", "s != ''", "s == null", "d >= @1970-01-01"),
    *("i > j && b", "b || i > 5", "(j | in [1, 2, null])", "(text.starts_with 'a' s)", "i % 2 == 0"),
]
_AGGREGATES = [
    *(
        "sum i",
        "sum m",
        "min i",
        "max s",
        "min d",
        "count this",
        "count_distinct j",
        "max f",
        "any b",
        "all b",
    ),
    *("average j", "count_distinct s", "sum (case [b => 1, true => 0])", "max m"),
]
_KEYS = [
    "id",
    "{k = j + 1}",
    "{k = text.trim s}",
    "{k = !b}",
    "{y = date.year d}",
    "{even = i % 2, big = m > 5}",
]


@st.composite
def _tables(draw: st.DrawFn) -> pa.Table:
    count = draw(st.integers(0, 12))
    arrays = {"id": pa.array(range(count), pa.int64())}
    for name, (values, type_) in _COLUMNS.items():
        cells = draw(st.lists(st.none() | values, min_size=count, max_size=count))
        arrays[name] = pa.array(cells, type_) if not isinstance(cells, Decimal) else cells
    return pa.table(arrays)


@st.composite
def _queries(draw: st.DrawFn) -> tuple[str, bool]:
    """A pipeline over `plain`, and whether its order means something."""
    stages = ["from plain"]
    if draw(st.booleans()):
        stages.append(f"filter {draw(st.sampled_from(_CONDITIONS))}")
    if draw(st.booleans()):
        side = draw(st.sampled_from(["inner", "left", "right", "full"]))
        key = draw(st.sampled_from(["i", "j", "s", "d", "id"]))
        stages.append(
            f"join side:{side} o=(from other | select {{oid = id, k = {key}}}) (plain.{key} == o.k)"
        )
    values = draw(st.lists(st.sampled_from(_VALUES), min_size=1, max_size=5))
    end = draw(st.sampled_from(["values", "group", "all", "first", "top"]))
    if end == "values":
        return " | ".join([*stages, f"select {{id, {_named(values)}}}"]), False
    if end == "top":
        keys = draw(st.sampled_from(["{-i, id}", "{s, id}", "{b, -m, id}", "{-d, j, id}", "{f, id}"]))
        count = draw(st.integers(1, 6))
        one = [s for s in stages if not s.startswith("join")]
        return " | ".join([*one, f"sort {keys}", f"take {count}", f"select {{id, {_named(values)}}}"]), True
    aggregates = _named(draw(st.lists(st.sampled_from(_AGGREGATES), min_size=1, max_size=4)))
    if end == "all":
        return " | ".join([*stages, f"aggregate {{{aggregates}}}"]), False
    key = draw(st.sampled_from(_KEYS))
    if end == "group":
        return " | ".join([*stages, f"group {key} (aggregate {{{aggregates}}})"]), False
    one = [s for s in stages if not s.startswith("join")]
    return " | ".join([*one, "group b (sort {-i, id} | take 2)", f"select {{id, {_named(values)}}}"]), False


def _named(values: list[str]) -> str:
    return ", ".join(f"x{i} = {value}" for i, value in enumerate(values))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plain=_tables(), other=_tables(), query=_queries())
def test_answers_are_equal(plain: pa.Table, other: pa.Table, query: tuple[str, bool]) -> None:
    text, ordered = query
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(plain, folder / "plain.parquet")
        pq.write_table(other, folder / "other.parquet")
        answers = [answer(folder, text, engine) for engine in ("datafusion", "duckdb")]
    assert difference(*answers, ordered=ordered, close=True) is None, text
