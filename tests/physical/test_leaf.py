"""Batches that stream into a query: conditions on them mean what they mean everywhere."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from datafusion import SessionContext

from heddle.physical.cancel import CancelToken
from heddle.physical.channel import Channel
from heddle.physical.leaf import register_channel

ROWS = pa.record_batch(
    {
        "id": pa.array([1, 2, 3, None], pa.int64()),
        "size": [math.nan, 2.0, math.nan, 4.0],
        "name": pa.array(["a", "b", None, "c"], pa.string_view()),
    }
)


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("size > 2.5", [1, 3, None]),
        ("size <= 2.5", [2]),
        ("size = 'NaN'", [1, 3]),
        ("id NOT IN (1, 7, 8, 9, 10, 11)", [2, 3]),
        ("name <> 'a'", [2, None]),
        ("name LIKE 'a%' OR size < 3 AND id IS NOT NULL", [1, 2]),
    ],
)
def test_conditions_on_a_stream(condition: str, ids: list[int | None]) -> None:
    context, channel = SessionContext(), Channel(CancelToken(), bytes_max=1 << 20)
    register_channel(context, "rows", ROWS.schema, channel)
    channel.put(ROWS)
    channel.finish()
    found = context.sql(f"SELECT id FROM rows WHERE {condition}").execute_stream()
    assert [i for batch in found for i in batch.to_pyarrow()["id"].to_pylist()] == ids


def test_only_the_columns_that_a_query_needs_are_taken() -> None:
    context, channel = SessionContext(), Channel(CancelToken(), bytes_max=1 << 20)
    register_channel(context, "rows", ROWS.schema, channel)
    plan = context.sql("SELECT name FROM rows WHERE id > 1 LIMIT 2").execution_plan().display_indent()
    assert "projection=[id, name]" in plan
    channel.close()
