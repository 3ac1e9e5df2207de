"""Values of parameters as they are typed, and the places that messages speak of."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pytest

from heddle.database.errors import QueryError
from heddle.repl.parameters import values_for
from heddle.repl.places import place_of


@pytest.mark.parametrize(
    ("typed", "type_", "value"),
    [
        ("12", pa.null(), 12),
        ("-1.5e3", pa.null(), -1500.0),
        ("true", pa.null(), True),
        ("null", pa.int64(), None),
        ("'null'", pa.null(), "null"),
        ("'it''s'", pa.null(), "it's"),
        ("north west", pa.null(), "north west"),
        ("12", pa.string(), "12"),
        ("2026-01-02", pa.date32(), datetime.date(2026, 1, 2)),
        ("1", pa.float64(), 1.0),
    ],
)
def test_values(typed: str, type_: pa.DataType, value: object) -> None:
    (read,) = values_for(pa.schema([("$name", type_)]), {"name": typed})
    assert (read.as_py() if isinstance(read, pa.Scalar) else read) == value


def test_names_and_numbers() -> None:
    numbered = pa.schema([("$1", pa.null()), ("$2", pa.null())])
    assert values_for(numbered, {"2": "b", "1": "a"}) == ["a", "b"]
    assert values_for(pa.schema([("?", pa.null())]), {"1": "a"}) == ["a"]


def test_what_does_not_fit_is_told_before_it_is_sent() -> None:
    with pytest.raises(QueryError, match="`abc` is no date, of which type the parameter `\\$since` is"):
        values_for(pa.schema([("$since", pa.date32())]), {"since": "abc"})
    with pytest.raises(QueryError, match="the parameter `\\$since` has no value"):
        values_for(pa.schema([("$since", pa.null())]), {})


@pytest.mark.parametrize(
    ("message", "marked"),
    [
        ("Expected: ), found: x at Line: 2, Column: 3", "x"),
        ("Invalid expression. Line 1, Col: 8", "totl"),
        ("there is no table `Report.nowhere`", "nowhere"),
        ("No field named totl. Did you mean 'total'?", "totl"),
        ("No field named t.totl.", "totl"),
        ("Invalid function 'nope'. Did you mean 'now'?", None),
        ("the disk is full", None),
    ],
)
def test_places(message: str, marked: str | None) -> None:
    statement = "select totl\n, x from Report.nowhere"
    span = place_of(message, statement, "sql")
    assert (statement[span.start : span.end] if span else None) == marked
