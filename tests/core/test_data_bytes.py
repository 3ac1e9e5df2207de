"""The size of a batch's values: told fast for many columns, and right for what is shared."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.ipc
import pytest

from heddle.core.data_bytes import MANY_COLUMNS, data_bytes

ROWS = 10_000


def wide(column: pa.Array) -> pa.RecordBatch:
    names = [f"c{i}" for i in range(MANY_COLUMNS)]
    return pa.RecordBatch.from_arrays([column] * MANY_COLUMNS, names=names)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(range(ROWS)),
        pa.nulls(ROWS, pa.float64()),
        pa.array([f"order {i}" for i in range(ROWS)]),
        pa.array([[i] * 3 for i in range(ROWS)]),
        pa.array(["a" * 1_000, "b" * 1_000] * (ROWS // 2)).dictionary_encode(),
        pa.array(range(2 * ROWS)).slice(5, ROWS),
    ],
    ids=lambda column: str(column.type),
)
def test_many_columns(column: pa.Array) -> None:
    batch = wide(column)
    assert data_bytes(batch) == pytest.approx(batch.nbytes, rel=0.06)


def test_what_no_message_holds() -> None:
    type_ = pa.int64()
    for _ in range(80):
        type_ = pa.list_(type_)
    assert data_bytes(wide(pa.nulls(ROWS, type_))) > 0


def test_a_union_without_rows_from_a_stream() -> None:
    empty = [pa.array([], pa.int64()), pa.array([], pa.string())]
    union = pa.UnionArray.from_dense(pa.array([], pa.int8()), pa.array([], pa.int32()), empty)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, wide(union).schema) as writer:
        writer.write_batch(wide(union))
    assert data_bytes(pa.ipc.open_stream(sink.getvalue()).read_next_batch()) == 0
