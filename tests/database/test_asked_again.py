"""A statement that is asked again: its plan is known, its answer is of now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heddle.database.errors import QueryError
from heddle.database.model import Settings, Viewer
from tests.database.asking import Asked, asking

PROGRAM = """
workflow Shop {
  io.parquet { path: "orders.parquet" }
    > orders
}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Asked]:
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "orders.parquet")
    with asking(tmp_path, {"shop.he": PROGRAM}) as asked:
        yield asked


@pytest.mark.parametrize("source", ["", " from orders where id = 1"])
@pytest.mark.parametrize("moment", ["now()", "random()"])
def test_what_changes_by_itself_is_asked_each_time(shop: Asked, moment: str, source: str) -> None:
    text = f"select {moment} as it{source}"
    found = [shop.rows(text)[0]["it"] for _ in range(3)]
    assert len(set(found)) == 3


def places(table: pa.Table) -> list[int]:
    """Where the values of a table lie."""
    return [column.chunk(0).buffers()[1].address for column in table.columns]


@pytest.mark.parametrize("text", ["select 1", "select 7 as a, 1.5 as b", "select -3 as a;"])
def test_values_that_are_written_are_computed_once(shop: Asked, text: str) -> None:
    first, second = shop.table(text), shop.table(text, viewer=Viewer("ada"))
    assert first.equals(second)
    assert places(first) == places(second)


@pytest.mark.parametrize(
    "text",
    [
        "select 1 + 1 as a",
        "select 1 as a, random() as b",
        "select 1 as a where random() < 2",
        "select id from orders where id = 1",
    ],
)
def test_other_values_are_computed_each_time(shop: Asked, text: str) -> None:
    first, second = shop.table(text), shop.table(text)
    assert not {*places(first)} & {*places(second)}


def test_written_values_of_other_statements(shop: Asked) -> None:
    for _ in range(2):
        assert shop.rows("select 1 as x") == [{"x": 1}]
        assert shop.rows("select 2 as x") == [{"x": 2}]
        assert shop.rows("select 1 as y") == [{"y": 1}]
        assert shop.rows("select ? as x", 3) == [{"x": 3}]
        assert shop.rows("select ? as x", "3") == [{"x": "3"}]
        assert shop.rows("select 1 as x where false") == []


def test_limits_hold_for_written_values(shop: Asked) -> None:
    shop.rows("select 1 as x")
    with pytest.raises(QueryError, match="more than 0 rows"):
        shop.rows("select 1 as x", settings=Settings(rows_max=0))


def test_a_failure_is_told_each_time(shop: Asked) -> None:
    for _ in range(2):
        with pytest.raises(QueryError, match="a division by zero"):
            shop.rows("select 1 / 0 as x")


@pytest.mark.parametrize("text", ["select id from orders order by id", "select sum(id) as id from orders"])
def test_a_file_that_changes_is_read_again(shop: Asked, tmp_path: Path, text: str) -> None:
    before = shop.rows(text)
    pq.write_table(pa.table({"id": [30, 40, 50]}), tmp_path / "orders.parquet")
    after = shop.rows(text)
    assert sum(row["id"] for row in before) == 3  # type: ignore[misc]
    assert sum(row["id"] for row in after) == 120  # type: ignore[misc]


@pytest.mark.parametrize("text", ["select 1 as x", "select 1 as x union all select 2"])
def test_a_statement_without_tables_is_asked_again(shop: Asked, text: str) -> None:
    assert shop.rows(text) == shop.rows(text)


def test_limits_and_columns_are_of_each_statement(shop: Asked) -> None:
    assert shop.rows("select id from orders order by id limit 1") == [{"id": 1}]
    assert shop.rows("select id from orders order by id limit 2") == [{"id": 1}, {"id": 2}]
    assert shop.rows("select id as other from orders order by id limit 1") == [{"other": 1}]
