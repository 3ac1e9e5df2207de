"""A table written in the program, as Arrow."""

from __future__ import annotations

import pyarrow as pa

from heddle.logical.plan import Values


def values_table(op: Values) -> pa.Table:
    """Rows by column, typed by the operator's row; a missing cell is null."""
    schema = op.row.arrow()
    columns = [pa.array([row.get(field.name) for row in op.rows], type=field.type) for field in schema]
    if not columns:
        return pa.table({})
    return pa.Table.from_arrays(columns, schema=schema)
