"""A stream of batches as a DataFusion table: the UDTF scan that stands for a step in a plan.

DataFusion takes any `pyarrow.dataset.Dataset` as a table provider and pushes projections and simple
filters into it. It polls the batches on its own runtime threads, so they must come from a channel that
another thread fills: a generator that itself called DataFusion would panic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from heddle.physical.channel import Channel


class ChannelDataset(ds.Dataset):  # type: ignore[misc] # pyarrow has no types
    """One fragment, one scan: a channel can be read once. Filters that arrive are exact: they are applied."""

    def __init__(self, schema: pa.Schema, channel: Channel) -> None:
        self._schema_ = schema
        self._channel = channel

    @property
    def schema(self) -> pa.Schema:
        return self._schema_

    def scanner(
        self,
        columns: list[str] | None = None,
        filter: pc.Expression | None = None,
        **_: Any,
    ) -> _Scanner:
        return _Scanner(self._schema_, self._channel, columns, filter)

    def get_fragments(self, filter: pc.Expression | None = None) -> Iterator[_Fragment]:
        return iter((_Fragment(self._schema_, self._channel),))


class _Fragment:
    def __init__(self, schema: pa.Schema, channel: Channel) -> None:
        self.physical_schema = schema
        self._channel = channel

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: list[str] | None = None,
        filter: pc.Expression | None = None,
        **_: Any,
    ) -> _Scanner:
        return _Scanner(self.physical_schema, self._channel, columns, filter)


class _Scanner:
    def __init__(
        self,
        schema: pa.Schema,
        channel: Channel,
        columns: list[str] | None,
        filter: pc.Expression | None,
    ) -> None:
        self.dataset_schema = schema
        self._channel = channel
        self._columns = schema.names if columns is None else list(columns)
        self._filter = filter
        self.projected_schema = pa.schema([schema.field(name) for name in self._columns])

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._channel:
            kept = batch if self._filter is None else batch.filter(self._filter)
            yield kept.select(self._columns)
