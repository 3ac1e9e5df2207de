"""What a step was given in a turn, kept until the turn's calls are over.

When a call fails, the results of the calls before it are undone with it, and those behind it are never made.
In a run that ends with the failure its input is still where it was; but the rows of a stream count as read
when the turn ends. So its handler gets all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.casting import plain_table
from heddle.logical.plan import Step
from heddle.physical.failures import StageFailed
from heddle.udf_bridge.transport import Rejection


class KeptInput:
    """Iterates over the tables that a step is to be called with. Used by one thread."""

    def __init__(self, op: Step, tables: Iterator[pa.Table]) -> None:
        self._op = op
        self._source = tables
        self._tables: list[pa.Table] = []
        self._done = 0

    def __iter__(self) -> Iterator[pa.Table]:
        for table in self._source:
            self._tables.append(plain_table(table))
            yield table

    def next_done(self, rejections: Sequence[Rejection]) -> None:
        """The result of the next call is there; its handler has the rejected rows."""
        rows = self._tables[self._done]
        if self._op.row is None:  # its effect is there: there is nothing to undo
            self._tables[self._done] = rows.slice(0, 0)
        elif rejections:
            numbers = pa.array(range(rows.num_rows), pa.int64())
            rejected = pa.concat_arrays([rejection.rows for rejection in rejections])
            self._tables[self._done] = rows.filter(pc.invert(pc.is_in(numbers, value_set=rejected)))
        self._done += 1

    def completed(self, failure: StageFailed) -> StageFailed:
        """The failure with all rows that nothing has come of, if it is one of the step's calls."""
        if failure.rows is None or all(step.id != failure.op.id for step in (self._op, *self._op.steps)):
            return failure
        for _ in self:
            pass
        if len(self._tables) == 1:
            return failure
        whole = StageFailed(failure.op, failure.error, pa.concat_tables(self._tables))
        whole.__cause__ = failure.__cause__
        return whole
