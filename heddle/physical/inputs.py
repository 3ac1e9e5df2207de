"""What a fragment reads: files, a frame, a table written in the program, or batches of another stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.logical.plan import Op, Scan, Values
from heddle.physical.batches import Batches
from heddle.physical.environment import RunEnvironment
from heddle.physical.frames import Frame


@record(frozen=True, slots=True)
class FileBinding:
    """A reader of `std/io`: an engine reads the files itself. `columns` are the names of all of them."""

    step: str
    config: Mapping[str, ConfigValue]
    columns: tuple[str, ...]


FragmentInput: TypeAlias = FileBinding | Frame | Batches
"""A stream comes from another stage of the same task and gives at least one batch; there is one at most."""


def read_leaf(op: Op, env: RunEnvironment) -> FileBinding | Frame:
    """What a fragment reads of an operator that no engine computes."""
    match op:
        case Scan():
            return FileBinding(op.step, env.resolver.config(op), op.row.names)
        case Values():
            table = values_table(op)
            return Frame(table.schema, tuple(table.to_batches()), table.num_rows, table.nbytes, 0, None)
        case _:
            raise AssertionError(f"{op.path} is computed")


def values_table(op: Values) -> pa.Table:
    """Rows by column, typed by the operator's row; a missing cell is null."""
    schema = op.row.arrow()
    columns = [pa.array([row.get(field.name) for row in op.rows], type=field.type) for field in schema]
    if not columns:
        return pa.table({})
    return pa.Table.from_arrays(columns, schema=schema)
