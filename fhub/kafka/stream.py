"""A topic as a stream of rows: turns of messages, decoded, the bad ones told to the context."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa

from fhub.kafka.broker import Broker
from fhub.kafka.config import ConsumeConfig, seconds
from fhub.kafka.decoding import Bad, fitting
from fhub.kafka.failures import KafkaProblem
from fhub.kafka.layout import Layout, layout_of
from fhub.kafka.messages import Message, bad_keys, extra_columns, records
from fhub.kafka.offsets import Reading
from heddle.core.collector import collector_paused
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk.flows import Position, Stream

BATCH_ROWS_MAX: Final = 10_000
BATCH_ROWS_FIRST: Final = 500
BATCH_BYTES: Final = 8 << 20
"""About how large a batch is; its number of messages follows from the size of those before."""
LEAST_WAIT_S: Final = 0.001
"""The client counts in milliseconds."""
WAIT_S: Final = 0.05
"""How long a batch waits to become full."""


class TopicStream(Stream):
    def __init__(self, config: ConsumeConfig, context: StepContext) -> None:
        cluster = config.resource
        assert isinstance(cluster, Broker)
        check_bounds(config)
        self._config = config
        self._cluster = cluster
        self._layout: Layout | None = None
        if config.format != "json" or config.schema is not None:
            self._layout = layout_of(config, context.columns, ())
        self._left = math.inf if config.max_rows is None else config.max_rows
        self._until: float | None = None
        self._wait_s = None if config.max_wait is None else seconds(config.max_wait, "max_wait")
        self._batch_rows = BATCH_ROWS_FIRST
        bounded = config.until is not None or config.max_rows is not None or config.max_wait is not None
        reading = Reading(
            config.topic,
            group_of(config, context),
            config.start,
            config.isolation,
            bounded,
            to_latest=config.until is not None,
        )
        self._reader = cluster.reader(reading, context.log)

    def read(self, context: StepContext) -> Iterator[Table]:
        now = time.monotonic()
        if self._until is None and self._wait_s is not None:
            self._until = now + self._wait_s
        turn = context.turn
        end = math.inf if turn is None else now + turn.max_wait_s
        room = math.inf if turn is None else turn.max_rows
        while not self.ended and not context.cancelled:
            wait_s = min(end, self._until or math.inf) - time.monotonic()
            if room <= 0 or wait_s < LEAST_WAIT_S:
                break
            count_max = int(min(self._batch_rows, room, self._left))
            # Each message is an object; none of them is garbage before the batch is decoded.
            with collector_paused(keeping=False):
                count, rows = self._batch(count_max, min(WAIT_S, wait_s), context)
            room -= count
            self._left -= count
            if rows is not None and rows.num_rows:
                yield Table.from_arrow(rows)
        lag = self.lag()
        if lag is not None:
            context.metric("lag", lag, "messages")

    def _batch(self, count_max: int, wait_s: float, context: StepContext) -> tuple[int, pa.Table | None]:
        """How many messages came, and the rows of those that are some."""
        messages = self._reader.take(count_max, wait_s)
        return len(messages), self._rows(messages, context) if messages else None

    def position(self) -> Position:
        """`{"topic": "orders", "offsets": {"0": 17}}`, with the next offset of each partition."""
        offsets = self._reader.position()
        return {"topic": self._config.topic, "offsets": {str(p): offset for p, offset in offsets.items()}}

    def commit(self, position: Position) -> None:
        self._reader.commit(offsets_of(position))

    @property
    def ended(self) -> bool:
        late = self._until is not None and time.monotonic() > self._until - LEAST_WAIT_S
        return self._reader.ended or self._left <= 0 or late

    def lag(self) -> int | None:
        return self._reader.lag()

    def close(self) -> None:
        self._reader.close()

    def _rows(self, messages: Sequence[Message], context: StepContext) -> pa.Table:
        values = [message.value() for message in messages]
        size_bytes = sum(map(len, filter(None, values)))
        self._batch_rows = max(16, min(BATCH_ROWS_MAX, BATCH_BYTES * len(messages) // (size_bytes + 1)))
        if self._config.tombstones == "skip" and None in values:
            messages = [m for m, value in zip(messages, values, strict=True) if value is not None]
            values = [value for value in values if value is not None]
        layout = self._layout or layout_of(self._config, context.columns, values)
        if layout.settled:
            self._layout = layout
        if layout.checks_keys:
            wrong = bad_keys(messages)
            if wrong:
                self._reject([(messages[each.index], each.reason) for each in wrong], context)
                drop = {each.index for each in wrong}
                messages = [m for i, m in enumerate(messages) if i not in drop]
                values = [v for i, v in enumerate(values) if i not in drop]
        decoded = layout.decoder.decode(values)
        if decoded.bad:
            self._reject([(messages[each.index], each.reason) for each in decoded.bad], context)
            messages = _others(messages, decoded.bad)
        extras = extra_columns(messages, layout.extras)
        columns = [
            fitting(pa.chunked_array([extras[f.name]]) if f.name in extras else decoded.rows[f.name], f)
            for f in layout.output
        ]
        if not columns:
            return decoded.rows.select([])
        fields = [f.with_type(column.type) for f, column in zip(layout.output, columns, strict=True)]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    def _reject(self, bad: Sequence[tuple[Message, str]], context: StepContext) -> None:
        by_reason: dict[str, list[Message]] = {}
        for message, why in bad:
            by_reason.setdefault(why, []).append(message)
        for why, messages in by_reason.items():
            for table in records(messages):
                context.reject_records(
                    table, f"a message of `{self._config.topic}`: {why}", error_type="BadRecord"
                )


def group_of(config: ConsumeConfig, context: StepContext) -> str:
    """The group's name, which is the same in every run of the program."""
    if config.group is not None:
        return config.group
    return ".".join(part for part in ("heddle", context.workflow, context.step, config.topic) if part)


def offsets_of(position: Mapping[str, object]) -> dict[int, int]:
    offsets = position["offsets"]
    assert isinstance(offsets, dict)
    return {int(partition): int(offset) for partition, offset in offsets.items()}


def check_bounds(config: ConsumeConfig) -> None:
    if config.max_rows is not None and config.max_rows < 1:
        raise KafkaProblem("`max_rows` is at least 1")
    if len(set(config.columns)) < len(config.columns):
        raise KafkaProblem("`columns` names a column twice")


def _others(messages: Sequence[Message], bad: Sequence[Bad]) -> Sequence[Message]:
    drop = {each.index for each in bad}
    return [message for index, message in enumerate(messages) if index not in drop]
