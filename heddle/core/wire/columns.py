"""Columns that a step returned untouched: they need not travel back (`Batch.columns`).

An output column is one of the input when both have the same name and type and are the same memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import pyarrow as pa

Identity: TypeAlias = tuple[object, ...]


def untouched(output: pa.Table, input: pa.Table) -> list[int]:
    """For each output column where it comes from, in the numbers of `Batch.columns`; empty when none can be
    taken from the input."""
    if output.num_rows != input.num_rows or not input.num_columns:
        return []
    places = {(f.name, _column_identity(input.column(i))): i for i, f in enumerate(input.schema)}
    sources: list[int] = []
    sent = 0
    for field, column in zip(output.schema, output.columns, strict=True):
        place = places.get((field.name, _column_identity(column)))
        if place is None or not field.equals(input.schema.field(place), check_metadata=True):
            sources.append(sent)
            sent += 1
        else:
            sources.append(-1 - place)
    return sources if sent < len(sources) else []


def without_untouched(output: pa.Table, sources: Sequence[int]) -> pa.Table:
    """The columns that must be sent, with the output's rows."""
    sent = [i for i, source in enumerate(sources) if source >= 0]
    return output.select(sent) if sent else pa.Table.from_batches([rows_only(output.num_rows)])


def restored(payload: pa.Table, input: pa.Table, sources: Sequence[int]) -> pa.Table:
    """The whole output, from what was sent and from the call's input. Raises `IndexError` for a source that
    is not there and `ValueError` for another number of rows."""
    fields = [payload.schema.field(s) if s >= 0 else input.schema.field(-1 - s) for s in sources]
    columns = [payload.column(s) if s >= 0 else input.column(-1 - s) for s in sources]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables, of which there is at least one; Arrow's own function loses the rows of tables
    without columns. Raises `pa.ArrowInvalid` when their schemas differ."""
    if len(tables) == 1:
        return tables[0]
    whole = pa.concat_tables(tables)
    if whole.num_columns:
        return whole
    return pa.Table.from_batches([rows_only(sum(table.num_rows for table in tables))])


def rows_only(count: int) -> pa.RecordBatch:
    """A batch with rows and without columns."""
    rows = pa.StructArray.from_buffers(pa.struct([]), count, [None], 0, 0, [])
    return pa.RecordBatch.from_struct_array(rows)


def _column_identity(column: pa.ChunkedArray) -> Identity:
    return tuple(_identity(chunk) for chunk in column.chunks)


def _identity(array: pa.Array) -> Identity:
    """Equal for arrays that show the same values of the same memory."""
    head = (array.type, len(array), array.offset)
    match array:
        case pa.StructArray():
            fields = [array.field(i) for i in range(array.type.num_fields)]
            return (*head, _address(array.buffers()[0]), *(_identity(field) for field in fields))
        case pa.ListArray() | pa.LargeListArray():
            validity, offsets, *_ = array.buffers()
            return (*head, _address(validity), _address(offsets), _identity(array.values))
        case pa.DictionaryArray():
            return (*head, _identity(array.indices), _identity(array.dictionary))
        case _ if array.type.num_fields or isinstance(array, pa.ExtensionArray):
            return (object(),)
        case _:
            return (*head, *(_address(buffer) for buffer in array.buffers()))


def _address(buffer: pa.Buffer | None) -> int:
    return buffer.address if buffer is not None else 0
