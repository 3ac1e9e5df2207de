"""Streams of record batches: the one form in which rows move between stages.

A stream gives at least one batch, so that its schema is known even when it has no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeAlias

import pyarrow as pa

from heddle.core.types import RowType

Batches: TypeAlias = Generator[pa.RecordBatch, None, None]


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], type=field.type) for field in schema], schema=schema)


def at_least_one(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Batches:
    """The batches that have rows, or one without rows."""
    empty = True
    for batch in batches:
        if batch.num_rows:
            empty = False
            yield batch
    if empty:
        yield empty_batch(schema)


def in_tables(batches: Iterable[pa.RecordBatch], rows_now: Callable[[], int]) -> Iterator[pa.Table]:
    """The stream as tables of about `rows_now()` rows, asked before each: small batches are put together, big
    ones sliced."""
    rows = rows_now()
    waiting: list[pa.RecordBatch] = []
    count = 0
    schema: pa.Schema | None = None
    for batch in batches:
        schema = schema or batch.schema
        start = 0
        while count + batch.num_rows - start >= rows:
            taken = rows - count
            waiting.append(batch.slice(start, taken))
            yield pa.Table.from_batches(waiting, schema=schema)
            start += taken
            waiting, count, rows = [], 0, rows_now()
        if start < batch.num_rows:
            waiting.append(batch.slice(start))
            count += batch.num_rows - start
    if waiting:
        yield pa.Table.from_batches(waiting, schema=schema)


def given_schema(schema: pa.Schema, row: RowType) -> pa.Schema:
    """DataFusion's view types as the plain types that steps and files expect, but where `row` promises views;
    all columns nullable."""
    views = {column.name for column in row if column.type == pa.string_view()}
    return pa.schema([pa.field(f.name, f.type if f.name in views else _plain_type(f.type)) for f in schema])


def as_plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch under a schema of `given_schema`."""
    if batch.schema.equals(schema):
        return batch
    arrays = [
        column if column.type.equals(field.type) else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain_type(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_binary_view(type_):
        return pa.binary()
    return type_
