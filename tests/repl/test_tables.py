"""Tables keep the first and the last rows, however the batches are cut."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from heddle.repl.tables import HeadTail, expanded_lines, headed_lines

SCHEMA = pa.schema([("n", pa.int64())])


def kept(sizes: list[int], rows_max: int | None) -> HeadTail:
    result = HeadTail(SCHEMA, rows_max)
    start = 0
    for size in sizes:
        result.add(pa.record_batch([pa.array(range(start, start + size))], schema=SCHEMA))
        start += size
    return result


@given(st.lists(st.integers(0, 9), max_size=12), st.one_of(st.none(), st.integers(1, 12)))
def test_head_and_tail(sizes: list[int], rows_max: int | None) -> None:
    table, total = kept(sizes, rows_max), sum(sizes)
    head, tail = table.head["n"].to_pylist(), table.tail["n"].to_pylist()
    assert table.rows == total
    assert head == list(range(len(head)))
    assert tail == list(range(total - len(tail), total))
    assert len(head) + len(tail) == (total if rows_max is None else min(total, rows_max))


def test_what_is_left_out_is_told() -> None:
    table = kept([30, 30], 5)
    assert headed_lines(table, None) == [
        *(" n", "--", " 0", " 1", " 2", " 3", "…", "59"),
        "60 rows, of which the first 4 and the last 1 are shown",
    ]
    assert expanded_lines(table, 20)[-4:] == [
        "…",
        "-[ row 60 ]---------",
        "n | 59",
        "60 rows, of which the first 4 and the last 1 are shown",
    ]


def test_columns_may_have_one_name_and_texts_any_character() -> None:
    table = HeadTail(pa.schema([("a", pa.string()), ("a", pa.string())]), None)
    table.add(pa.record_batch([pa.array(["x\ny"]), pa.array(["\x1b[31m"])], names=["a", "a"]))
    assert headed_lines(table, None)[2:] == ["x\\ny  \\x1b[31m"]
    assert headed_lines(kept([], None), None) == ["n", "-", "(no rows)"]
