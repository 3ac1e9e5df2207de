"""Calls that arrive together become one: from other runs and workflows, for the same step, settings and
resources.

While a call is under way the next ones queue; the first of the queue then leads: it takes as many as fit,
calls once, and gives each caller its share. Before it starts it lingers for a twentieth of what a call
costs, but only as long as others who use the step are not yet there. A call with nobody beside it goes
straight through.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Final, Literal, Protocol

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.config import ConfigValue
from heddle.core.signature import StepSignature
from heddle.core.step import RejectedRows
from heddle.core.types import RowType
from heddle.udf_bridge.transport import (
    Batching,
    CallContext,
    CallsMerged,
    Report,
    Reporter,
    StepBinding,
    StepFailure,
)

LINGER_SHARE: Final = 0.05
LINGER_SHARE_MAX: Final = 0.25
"""Of a call's cost: what a call waits for the next to come, and for all of them."""
COST_WEIGHT: Final = 0.3
"""Of the newest call in the running mean of costs."""
TAG_COLUMN: Final = "__heddle_caller"
"""The column by which the rows of callers are told apart in steps that keep or multiply rows."""


class SharedEndpoint(Protocol):
    """An endpoint whose equals, by `key`, reach the same step with the same settings."""

    keeps_deadlines: bool

    @property
    def key(self) -> Hashable: ...

    def call(
        self,
        input: pa.Table | None,
        context: CallContext,
        refused: list[RejectedRows],
        report: Reporter | None = None,
    ) -> Iterator[pa.Table]: ...

    def ask(self, context: CallContext) -> ConfigValue: ...

    def infer(self, input: RowType | None) -> RowType: ...

    def close(self) -> None: ...


Outcome = Literal["lead", "done", "apart"]


@dataclass(slots=True, eq=False)
class _Waiting:
    """A call in the queue. Once `finish` was called, `outcome` says what its caller does now.

    A bare lock wakes a thread in a third of the time of an `Event`; there are as many as callers.
    """

    input: pa.Table
    context: CallContext
    report: Reporter
    outcome: Outcome = "apart"
    output: list[pa.Table] = field(default_factory=list)
    refused: list[RejectedRows] = field(default_factory=list)
    failure: StepFailure | None = None
    following: _Waiting | None = None
    _unfinished: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._unfinished.acquire()

    def wait(self) -> None:
        """Until `finish` is called, which happens once; then the one that follows is finished.

        Woken one by the other, the threads of a group do not all ask for the interpreter at once, which
        takes a quarter longer.
        """
        self._unfinished.acquire()
        if self.following is not None:
            self.following.finish(self.following.outcome)

    def finish(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._unfinished.release()


class Mergers:
    """The mergers of an engine, by step; one lives as long as an endpoint uses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mergers: dict[Hashable, Merger] = {}

    def merged(
        self, binding: StepBinding, endpoint: SharedEndpoint, report: Reporter
    ) -> MergedEndpoint | None:
        """The endpoint with its calls merged; None when the step does not allow it."""
        if binding.batching is None or not is_mergeable(binding.signature):
            return None
        with self._lock:
            merger = self._mergers.get(endpoint.key)
            if merger is None:
                merger = self._mergers[endpoint.key] = Merger(binding.signature)
            merger.users += 1
        return MergedEndpoint(endpoint, merger, binding.batching, report, self._left)

    def _left(self, key: Hashable, merger: Merger) -> None:
        with self._lock:
            merger.users -= 1
            if not merger.users:
                self._mergers.pop(key, None)


def is_mergeable(signature: StepSignature) -> bool:
    """Whether rows of several callers may stand in one call and be told apart afterwards."""
    match signature.rows:
        case "map":
            return signature.output is not None
        case "filter" | "flat":
            return signature.passthrough
        case _:
            return False


class MergedEndpoint:
    """Implements `Endpoint`."""

    def __init__(
        self,
        endpoint: SharedEndpoint,
        merger: Merger,
        batching: Batching,
        report: Reporter,
        left: Callable[[Hashable, Merger], None],
    ) -> None:
        self.merger = merger
        self._endpoint = endpoint
        self._batching = batching
        self._report = report
        self._left = left
        self._calls = 0
        self._shared = 0
        self._closed = False

    @property
    def keeps_deadlines(self) -> bool:
        return self._endpoint.keeps_deadlines

    def call(
        self, input: pa.Table | None, context: CallContext, refused: list[RejectedRows]
    ) -> Iterator[pa.Table]:
        self._calls += 1
        merger = self.merger
        if input is None or merger.users == 1 or input.num_rows * 2 > self._batching.max_rows:
            yield from self._endpoint.call(input, context, refused)
            return
        waiting = _Waiting(input, context, self._report)
        if merger.join(waiting) == "lead":
            self._shared += merger.lead(waiting, self._endpoint, self._batching)
        else:
            self._shared += 1
        if waiting.outcome == "apart":
            yield from self._endpoint.call(input, context, refused)
            return
        if waiting.failure is not None:
            raise waiting.failure
        refused += waiting.refused
        yield from waiting.output

    def ask(self, context: CallContext) -> ConfigValue:
        return self._endpoint.ask(context)

    def infer(self, input: RowType | None) -> RowType:
        return self._endpoint.infer(input)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._left(self._endpoint.key, self.merger)
        if self._shared:
            self._report(CallsMerged(self._calls, self._shared))
        self._endpoint.close()


class Merger:
    """The queue of one step. `users` counts its endpoints."""

    def __init__(self, signature: StepSignature) -> None:
        self._signature = signature
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._led = False
        self._cost_s = 0.0
        self.users = 0

    @property
    def queued(self) -> int:
        """Calls that wait for the one under way."""
        return len(self._queue)

    def join(self, waiting: _Waiting) -> Outcome:
        """Queue a call; returns when its caller must lead, or when its result is there."""
        with self._changed:
            self._queue.append(waiting)
            if not self._led:
                self._led = True
                return "lead"
            if len(self._queue) >= self.users:
                self._changed.notify()
        waiting.wait()
        return waiting.outcome

    def lead(self, own: _Waiting, endpoint: SharedEndpoint, batching: Batching) -> int:
        """Call for the queue's head, `own` included; 1 when the call served others too."""
        group: list[_Waiting] = []
        try:
            self._linger(batching)
            group = self._group(own, batching.max_rows)
            started = time.monotonic()
            self._serve(group, endpoint)
            cost_s = time.monotonic() - started
            self._cost_s += COST_WEIGHT * (cost_s - self._cost_s) if self._cost_s else cost_s
        finally:
            self._hand_over()
            others = [waiting for waiting in group if waiting is not own]
            for waiting, following in pairwise(others):
                waiting.following = following
            if others:
                others[0].finish(others[0].outcome)
        return int(len(group) > 1)

    def _linger(self, batching: Batching) -> None:
        """Wait for the other users of the step: a little, and as long again while they keep coming."""
        pause_s = min(batching.max_wait_s, LINGER_SHARE * self._cost_s)
        until = time.monotonic() + min(batching.max_wait_s, LINGER_SHARE_MAX * self._cost_s)
        with self._changed:
            while (there := len(self._queue)) < self.users and time.monotonic() < until:
                if sum(w.input.num_rows for w in self._queue) >= batching.max_rows:
                    return
                self._changed.wait(pause_s)
                if len(self._queue) == there:
                    return

    def _group(self, own: _Waiting, rows_max: int) -> list[_Waiting]:
        """`own` and what fits beside it: the same columns, not too many rows; the rest stays queued."""
        with self._changed:
            self._queue.remove(own)
            group, rows = [own], own.input.num_rows
            left: deque[_Waiting] = deque()
            for waiting in self._queue:
                fits = rows + waiting.input.num_rows <= rows_max
                if fits and waiting.input.schema.equals(own.input.schema):
                    group.append(waiting)
                    rows += waiting.input.num_rows
                else:
                    left.append(waiting)
            self._queue = left
            return group

    def _hand_over(self) -> None:
        """The next in the queue leads, if there is one."""
        with self._changed:
            self._led = bool(self._queue)
            following = self._queue[0] if self._queue else None
        if following is not None:
            following.finish("lead")

    def _serve(self, group: Sequence[_Waiting], endpoint: SharedEndpoint) -> None:
        """Fill in the results of a group."""
        if len(group) == 1:
            alone = group[0]
            alone.outcome = "done"
            try:
                alone.output = list(endpoint.call(alone.input, alone.context, alone.refused, alone.report))
            except StepFailure as failure:
                alone.failure = failure
            return
        refused: list[RejectedRows] = []
        try:
            tagged = self._signature.rows != "map"
            output = list(
                endpoint.call(_joined(group, tagged), _context(group), refused, _told_to_all(group))
            )
            shares = _tagged_shares(output, group) if tagged else _shares(output, refused, group)
        except StepFailure as failure:
            self._fail(group, failure)
            return
        for waiting, share in zip(group, shares, strict=True):
            waiting.outcome = "done"
            waiting.output = [share]
        _share_rejections(refused, group)

    def _fail(self, group: Sequence[_Waiting], failure: StepFailure) -> None:
        """Each caller calls by itself where that does no harm; else all fail with this failure."""
        for waiting in group:
            waiting.outcome = "apart" if self._signature.may_repeat else "done"
            waiting.failure = failure


def _joined(group: Sequence[_Waiting], tagged: bool) -> pa.Table:
    tables = [w.input for w in group]
    if tagged:
        tables = [
            t.append_column(TAG_COLUMN, pa.repeat(pa.scalar(i, pa.int32()), t.num_rows))
            for i, t in enumerate(tables)
        ]
    return pa.concat_tables(tables).combine_chunks()


def _shares(
    output: Sequence[pa.Table], refused: Sequence[RejectedRows], group: Sequence[_Waiting]
) -> list[pa.Table]:
    """Slices of a `map` step's output, which has a row for each row of the input, or for each that was not
    rejected. Raises `StepFailure` for any other number of rows."""
    table = _whole(output) if output else None
    counts = [w.input.num_rows for w in group]
    if table is not None and table.num_rows != sum(counts):
        counts = _counts_passed(counts, refused)
    if table is None or table.num_rows != sum(counts):
        found = table.num_rows if table is not None else 0
        raise StepFailure(f"the step returned {found} rows for {sum(counts)}", "ContractError", "")
    starts = [0, *accumulate(counts)]
    return [table.slice(start, count) for start, count in zip(starts, counts, strict=False)]


def _whole(output: Sequence[pa.Table]) -> pa.Table:
    return output[0] if len(output) == 1 else pa.concat_tables(output, promote_options="permissive")


def _counts_passed(counts: Sequence[int], refused: Sequence[RejectedRows]) -> list[int]:
    rows = pc.unique(pa.chunked_array([r.rows for r in refused], pa.int64()))
    edges = list(accumulate(counts))
    below = [pc.sum(pc.less(rows, edge)).as_py() or 0 for edge in edges]
    return [count - (b - a) for count, a, b in zip(counts, [0, *below], below, strict=False)]


def _tagged_shares(output: Sequence[pa.Table], group: Sequence[_Waiting]) -> list[pa.Table]:
    if not output or TAG_COLUMN not in output[0].column_names:
        raise StepFailure("the step lost a column that passes through it", "ContractError", "")
    table = _whole(output)
    tags = table.column(TAG_COLUMN)
    rows = table.drop_columns([TAG_COLUMN])
    return [rows.filter(pc.equal(tags, i)) for i in range(len(group))]


def _share_rejections(refused: Sequence[RejectedRows], group: Sequence[_Waiting]) -> None:
    """Each caller's rejections, with row numbers of its own input."""
    if not refused:
        return
    start = 0
    for waiting in group:
        end = start + waiting.input.num_rows
        for rejected in refused:
            own = rejected.rows.filter(
                pc.and_(pc.greater_equal(rejected.rows, start), pc.less(rejected.rows, end))
            )
            if len(own):
                waiting.refused.append(
                    RejectedRows(pc.subtract(own, start), rejected.reason, rejected.error_type)
                )
        start = end


def _context(group: Sequence[_Waiting]) -> CallContext:
    """The first caller's, with the earliest deadline; cancelled when all callers are."""
    contexts = [w.context for w in group]
    deadlines = [c.deadline_s for c in contexts if c.deadline_s is not None]

    def on_cancel(wake: Callable[[], None]) -> Callable[[], None]:
        def one_cancelled() -> None:
            if all(c.cancelled() for c in contexts):
                wake()

        forgets = [c.on_cancel(one_cancelled) for c in contexts]

        def forget_all() -> None:
            for forget in forgets:
                forget()

        return forget_all

    return replace(
        contexts[0],
        deadline_s=min(deadlines, default=None),
        idempotency_key=_common_key([c.idempotency_key for c in contexts]),
        cancelled=lambda: all(c.cancelled() for c in contexts),
        on_cancel=on_cancel,
    )


def _common_key(keys: Sequence[str | None]) -> str | None:
    """A key that is the same when the same calls are merged again."""
    if any(key is None for key in keys):
        return None
    return hashlib.sha256("\n".join(key or "" for key in keys).encode()).hexdigest()


def _told_to_all(group: Sequence[_Waiting]) -> Reporter:
    def report(told: Report) -> None:
        for reporter in dict.fromkeys(w.report for w in group):
            reporter(told)

    return report
