"""A cursor's queries: kept, the latest of them, and computed each time they are asked."""

from __future__ import annotations

from pathlib import Path

from heddle.physical.duck import QUERIES_MAX, QUERY_CHARS_MAX, DuckSession

SQL = "SELECT sum(i) AS total FROM range(?) AS t(i)"


def test_a_cursor_knows_the_queries_that_it_ran_last(tmp_path: Path) -> None:
    session = DuckSession(tmp_path, memory_bytes=1 << 28, cores=1)
    cursor = session.cursor()
    first = cursor.query(SQL, [10])
    assert cursor.query(SQL, [10]) is first
    assert cursor.query(SQL, [11]) is not first, "values are part of a query"
    assert [first.to_arrow_reader().read_all()["total"].to_pylist() for _ in range(2)] == [[45], [45]]
    for n in range(QUERIES_MAX):
        cursor.query(SQL, [100 + n])
    assert cursor.query(SQL, [10]) is not first, "the oldest has gone"
    long = list(range(QUERY_CHARS_MAX))
    many = cursor.query("SELECT len(?) AS n", [long])
    assert cursor.query("SELECT len(?) AS n", [long]) is not many
    session.give_back(cursor)
    assert session.cursor() is cursor
    session.close()
