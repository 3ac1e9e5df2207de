"""A stream of batches as a DataFusion table: the UDTF scan that stands for a step in a plan.

DataFusion takes any `pyarrow.dataset.Dataset` as a table provider. It polls the batches on its own runtime
threads, so they must come from a channel that another thread fills: a generator that itself called
DataFusion would panic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds
from datafusion import SessionContext, Table

from heddle.physical.channel import Channel

ROWS_MAX: Final = 2**63 - 1


def register_channel(context: SessionContext, name: str, schema: pa.Schema, channel: Channel) -> None:
    """Make the batches a table of the context, of which a query takes the columns that it needs.

    The table stands below a limit that no stream reaches, because no condition moves past a limit. A dataset
    would have to keep to conditions itself, by Arrow's kernels, which mean something else: no NaN is greater
    than a number, `NOT IN` holds for nulls, and texts that are views cannot be compared.
    """
    context.register_table(name, Table(_ChannelDataset(schema, channel)))
    rows = context.table(name).limit(ROWS_MAX)
    context.deregister_table(name)
    context.register_view(name, rows)


class _ChannelDataset(ds.Dataset):  # type: ignore[misc] # pyarrow has no types
    """One fragment, one scan: a channel can be read once."""

    def __init__(self, schema: pa.Schema, channel: Channel) -> None:
        self._schema_ = schema
        self._channel = channel

    @property
    def schema(self) -> pa.Schema:
        return self._schema_

    def scanner(self, columns: list[str] | None = None, filter: object = None, **_: Any) -> _Scanner:
        return _Scanner(self._schema_, self._channel, columns, filter)

    def get_fragments(self, filter: object = None) -> Iterator[_Fragment]:
        return iter((_Fragment(self._schema_, self._channel),))


class _Fragment:
    def __init__(self, schema: pa.Schema, channel: Channel) -> None:
        self.physical_schema = schema
        self._channel = channel

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: list[str] | None = None,
        filter: object = None,
        **_: Any,
    ) -> _Scanner:
        return _Scanner(self.physical_schema, self._channel, columns, filter)


class _Scanner:
    def __init__(
        self, schema: pa.Schema, channel: Channel, columns: list[str] | None, filter: object
    ) -> None:
        assert filter is None, "no condition moves past the limit above the table"
        self.dataset_schema = schema
        self._channel = channel
        self._columns = schema.names if columns is None else list(columns)
        self.projected_schema = pa.schema([schema.field(name) for name in self._columns])

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._channel:
            yield batch.select(self._columns)
