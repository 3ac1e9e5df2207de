"""Columns that nothing behind a step reads: they do not enter it, and are null behind it.

The plan above still names them, so they must be there; their nulls share one buffer for each type.
"""

from __future__ import annotations

import pyarrow as pa

from heddle.logical.plan import Step
from heddle.physical.batches import Batches


def left_out(batches: Batches, op: Step) -> Batches:
    """What the first of an operator's steps is given, without the columns that are absent behind it."""
    absent = frozenset(op.steps[0].absent)
    if not absent:
        return batches
    return _without(batches, absent)


def without_absent(schema: pa.Schema, op: Step) -> pa.Schema:
    return pa.schema([field for field in schema if field.name not in op.absent])


class Absent:
    """The nulls of one step's stream: as many as its longest batch has rows, of which others take a part."""

    def __init__(self, op: Step) -> None:
        self._schema = _with_nulls(op) if op.absent and op.row is not None else None
        self._nulls: dict[pa.DataType, pa.Array] = {}
        self._rows = -1
        self._columns: list[pa.Array] = []
        self._present: list[tuple[int, str]] = []

    def put_back(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the absent columns in their places."""
        if self._schema is None:
            return batch
        if batch.num_rows != self._rows:
            self._lay_out(self._schema, batch)
        columns = self._columns.copy()
        for place, name in self._present:
            columns[place] = batch.column(name)
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _lay_out(self, schema: pa.Schema, batch: pa.RecordBatch) -> None:
        named = frozenset(batch.schema.names)
        rows = batch.num_rows
        if not self._nulls or rows > len(next(iter(self._nulls.values()))):
            self._nulls = {t: pa.nulls(rows, t) for t in {f.type for f in schema if f.name not in named}}
        nulls = {type_: array.slice(0, rows) for type_, array in self._nulls.items()}
        self._rows = rows
        self._columns = [nulls.get(field.type) for field in schema]
        self._present = [(place, name) for place, name in enumerate(schema.names) if name in named]


def _with_nulls(op: Step) -> pa.Schema:
    assert op.row is not None, "it gives rows"
    return pa.schema([f.with_nullable(f.nullable or f.name in op.absent) for f in op.row.arrow()])


def _without(batches: Batches, absent: frozenset[str]) -> Batches:
    try:
        for batch in batches:
            yield batch.select([name for name in batch.schema.names if name not in absent])
    finally:
        batches.close()
