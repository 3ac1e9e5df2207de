"""Values of messages -> rows. A decoder gives the rows of the values that are some, and says of every other
why it is none; which values come together makes no difference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.record import record
from heddle.core.types import type_name, widens


@record(frozen=True, slots=True)
class Bad:
    """`index` is the value's place among those that were given."""

    index: int
    reason: str


@record(frozen=True, slots=True)
class Decoded:
    """`rows` holds a row for each value that is not among `bad`, in their order; `bad` rises by `index`."""

    rows: pa.Table
    bad: tuple[Bad, ...] = ()


class Decoder(ABC):
    """`schema` are the columns of its rows."""

    schema: pa.Schema

    @abstractmethod
    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """None is a value that a message lacks."""


def joined(parts: Sequence[Decoded], sizes: Sequence[int], schema: pa.Schema) -> Decoded:
    """What values gave part by part; `sizes` are the numbers of values of the parts."""
    bad: list[Bad] = []
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        bad += [Bad(start + each.index, each.reason) for each in part.bad]
        start += size
    tables = [part.rows for part in parts if part.rows.num_rows]
    rows = pa.concat_tables(tables) if tables else schema.empty_table()
    return Decoded(rows, tuple(bad))


def without(rows: pa.Table, bad: Sequence[Bad]) -> pa.Table:
    """The rows but those that are bad, where there is a row for every value."""
    if not bad:
        return rows
    drop = {each.index for each in bad}
    return rows.take(pa.array([i for i in range(rows.num_rows) if i not in drop], pa.int64()))


def fitting(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """A column as the program wants it. Raises `ValueError` when it is of another type."""
    if column.type.equals(field.type) or pa.types.is_null(field.type):
        return column
    if not widens(column.type, field.type):
        raise ValueError(
            f"the column `{field.name}` is {type_name(column.type)}, but the program reads it as "
            f"{type_name(field.type)}"
        )
    return pc.cast(column, field.type)
