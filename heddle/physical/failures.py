"""Failures of stages, and the error frame that handlers read.

A stage that fails raises `StageFailed`: the operator, what went wrong, and the rows that were being
processed. `error_batch` turns it into rows of the error frame (language.md section 9).
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from heddle.core.record import record
from heddle.core.types import TIMESTAMP
from heddle.errors import StageError
from heddle.frontend.typed import ERROR_FRAME_ROW
from heddle.logical.plan import Op


class StageFailed(Exception):
    """`rows` are the input of the failed call, None when it had none."""

    def __init__(self, op: Op, error: StageError, rows: pa.Table | None = None) -> None:
        super().__init__(error.message)
        self.op = op
        self.error = error
        self.rows = rows


def disk_error(op: Op, error: OSError) -> StageError:
    """The failure of a stage whose rows cannot be kept."""
    message = f"a result does not fit on disk: {error.strerror or error}"
    return StageError(
        message,
        stage=op.path,
        step=op.path,
        error_type="DiskFull",
        help="free space, set TMPDIR to a larger disk, or give the run more memory with --memory",
    )


@record(frozen=True, slots=True)
class Origin:
    """Where and when error rows come from."""

    workflow: str
    run_id: str
    at: datetime


def error_batch(error: StageError, rows: pa.Table | None, origin: Origin) -> pa.RecordBatch:
    """One error row for each input row, or a single one when there were none."""
    from heddle.core.json_text import to_json

    count = 1 if rows is None or rows.num_rows == 0 else rows.num_rows
    has_rows = rows is not None and rows.num_rows > 0
    payload = to_json(rows) if has_rows else pa.nulls(count, pa.string())
    texts = {
        "error_msg": error.message,
        "error_type": error.error_type,
        "stack_trace": error.stack_trace,
        "workflow": origin.workflow,
        "step": error.step,
        "run_id": origin.run_id,
    }
    columns: dict[str, pa.Array] = {
        name: pa.repeat(pa.scalar(text, pa.string()), count) for name, text in texts.items()
    }
    columns["attempt"] = pa.repeat(pa.scalar(error.attempt, pa.int64()), count)
    columns["at"] = pa.repeat(pa.scalar(origin.at, TIMESTAMP), count)
    columns["payload"] = payload
    schema = ERROR_FRAME_ROW.arrow()
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
