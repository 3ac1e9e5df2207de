"""Values of parameters as SQL: DataFusion reads back the same value of the same type."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from datafusion import SessionContext
from hypothesis import given
from hypothesis import strategies as st

from heddle.database.errors import QueryError
from heddle.database.literals import arrow_name, arrow_type, literal

CONTEXT = SessionContext()
TYPES = [
    pa.bool_(),
    pa.int8(),
    pa.int64(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.date32(),
    pa.date64(),
    pa.time32("ms"),
    pa.time64("ns"),
    pa.timestamp("s"),
    pa.timestamp("ns", "Europe/Berlin"),
    pa.duration("us"),
    pa.decimal128(20, 4),
    pa.decimal256(50, 10),
]
whole_seconds = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))


def read_back(value: object) -> pa.Scalar:
    return CONTEXT.sql(f"SELECT {literal(value)} AS v").to_arrow_table()["v"][0]


@given(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.text(st.characters(exclude_categories=("Cs",))),
        st.binary(max_size=50),
        st.booleans(),
        st.dates(),
        whole_seconds,
        whole_seconds.map(lambda moment: moment.replace(tzinfo=dt.UTC)),
        st.times(),
        st.timedeltas(dt.timedelta(-10_000), dt.timedelta(10_000)),
        st.decimals(-(10**15), 10**15, places=6),
        st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=1, max_size=4),
    )
)
def test_a_python_value_stays_itself(value: object) -> None:
    if value == [None] * len(value) if isinstance(value, list) else False:
        return
    wanted = pa.scalar(value)
    found = read_back(value)
    assert found.as_py() == wanted.as_py()
    assert found.type == wanted.type


@pytest.mark.parametrize("text", ["it's", "'; DROP TABLE t; --", "a\\'b", "\0", "$1 ? :x", "☃\n\r\t", "''"])
def test_a_text_ends_nothing(text: str) -> None:
    assert read_back(text).as_py() == text


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-0.0"])
def test_floats_without_digits(number: str) -> None:
    assert repr(read_back(float(number)).as_py()) == repr(float(number))


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_a_null_keeps_its_type_and_types_have_names(type_: pa.DataType) -> None:
    found = read_back(pa.scalar(None, type_))
    assert (found.type, found.is_valid) == (type_, False)
    assert arrow_type(arrow_name(type_)) == type_


def test_the_rest() -> None:
    assert read_back(pa.scalar("x", pa.dictionary(pa.int8(), pa.string()))).as_py() == "x"
    assert read_back(pa.scalar(2**64 - 1, pa.uint64())).as_py() == 2**64 - 1
    assert read_back(pa.scalar(Decimal("1.5"), pa.decimal256(60, 3))).type == pa.decimal256(60, 3)
    assert read_back(None).as_py() is None
    with pytest.raises(QueryError, match="cannot be the value of a parameter"):
        literal(object())
    with pytest.raises(QueryError, match="cannot be of type struct"):
        literal(pa.scalar({"a": 1}))
