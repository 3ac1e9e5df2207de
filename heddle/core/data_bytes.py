"""How much memory rows take."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import pyarrow as pa

MANY_COLUMNS: Final = 12
"""From so many columns on the size of a message is told faster than `nbytes`, which takes 2.4 µs for each but
keeps the interpreter's lock."""


def data_bytes(rows: pa.Table | pa.RecordBatch) -> int:
    """The size of the values, without what is shared by slices; of a batch of many columns about that."""
    if not rows.num_rows:  # `nbytes` kills the process for a union that was read from a stream (pyarrow 26)
        return 0
    if rows.num_columns >= MANY_COLUMNS and isinstance(rows, pa.RecordBatch):
        with suppress(pa.ArrowInvalid):  # nested too deep for a message
            size_bytes: int = pa.ipc.get_record_batch_size(rows)
            if rows.get_total_buffer_size() <= size_bytes:  # no part of more, and without dictionaries
                return size_bytes
    return rows.nbytes  # type: ignore[no-any-return]
