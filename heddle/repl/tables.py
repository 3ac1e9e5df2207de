"""Rows on a terminal: the first and the last of an answer as aligned lines, or each row as a block."""

from __future__ import annotations

from collections import deque
from typing import Final

import pyarrow as pa

from heddle.std.printing import cells, table_lines, text_width

TAIL_PART: Final = 5
"""Of the rows that are shown of a long answer every fifth is one of the last."""
_RULE_WIDTH: Final = 40


class HeadTail:
    """The first and the last rows of what is added, at most `rows_max` together (None: all), and how many
    there were."""

    def __init__(self, schema: pa.Schema, rows_max: int | None) -> None:
        self._schema = schema
        self._tail_max = max(1, rows_max // TAIL_PART) if rows_max is not None and rows_max > 1 else 0
        self._head_max = None if rows_max is None else rows_max - self._tail_max
        self._head: list[pa.RecordBatch] = []
        self._tail: deque[pa.RecordBatch] = deque()
        self._head_rows = 0
        self._tail_rows = 0
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        space = batch.num_rows if self._head_max is None else self._head_max - self._head_rows
        if (head := batch.slice(0, max(space, 0))).num_rows:
            self._head.append(head)
            self._head_rows += head.num_rows
        if self._tail_max and (rest := batch.slice(head.num_rows)).num_rows:
            self._tail.append(rest)
            self._tail_rows += rest.num_rows
            while self._tail_rows - self._tail[0].num_rows >= self._tail_max:
                self._tail_rows -= self._tail.popleft().num_rows

    @property
    def head(self) -> pa.Table:
        return pa.Table.from_batches(self._head, schema=self._schema)

    @property
    def tail(self) -> pa.Table:
        """Without rows where the head has all."""
        tail = pa.Table.from_batches(list(self._tail), schema=self._schema)
        return tail.slice(max(0, tail.num_rows - self._tail_max))

    def footer(self) -> list[str]:
        """How many rows there are where not all are shown, and that there is none."""
        if not self.rows:
            return ["(no rows)"]
        head, tail = self.head.num_rows, self.tail.num_rows
        if head + tail == self.rows:
            return []
        last = f" and the last {tail:,}" if tail else ""
        return [f"{self.rows:,} rows, of which the first {head:,}{last} are shown"]


def headed_lines(kept: HeadTail, width: int | None) -> list[str]:
    """A line for the names, one for each row; nothing wider than `width`."""
    head, tail = kept.head, kept.tail
    lines = table_lines(pa.concat_tables([head, tail]), width)
    if kept.rows > head.num_rows + tail.num_rows and lines:
        lines.insert(2 + head.num_rows, "…")
    return lines + kept.footer()


def expanded_lines(kept: HeadTail, width: int | None) -> list[str]:
    """A block for each row: a line for each column."""
    head, tail = kept.head, kept.tail
    table = pa.concat_tables([head, tail])
    names = cells(pa.chunked_array([pa.array(table.column_names, pa.string())]))
    columns = [cells(column) for column in table.columns]
    name_width = max(map(text_width, names), default=0)
    rule_width = min(width or _RULE_WIDTH, _RULE_WIDTH)
    lines: list[str] = []
    for index in range(table.num_rows):
        hidden = kept.rows - table.num_rows if index >= head.num_rows else 0
        if hidden and index == head.num_rows:
            lines.append("…")
        lines.append(f"-[ row {index + hidden + 1:,} ]".ljust(rule_width, "-"))
        for name, column in zip(names, columns, strict=True):
            lines.append(f"{name}{' ' * (name_width - text_width(name))} | {column[index]}")
    return lines + kept.footer()
