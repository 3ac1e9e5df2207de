"""A lookup as a stream: each call asks for distinct tuples of values, and what it gives is put back.

A joined lookup reads its tuples, and its rows get the values that they were found for; the join compares
them. A piped one reads rows: their tuples go to the step once each, and every row comes out once for each row
that was found for its tuple. What the resource's cache knows is not asked.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import Final

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.types import Column, RowType
from heddle.logical.plan import Step
from heddle.physical.absent import Absent
from heddle.physical.batches import Batches
from heddle.physical.calls import Caller
from heddle.physical.cancel import CancelToken
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import StageMetric
from heddle.physical.failures import StageFailed
from heddle.physical.lookup_cache import LOOKUP_CACHES, LookupCache, statement_key
from heddle.physical.lookup_rows import Distinct, checked_numbers, distinct_tuples, rows_by_number
from heddle.physical.metering import Work
from heddle.physical.steps import RejectedRows, binding_of, call_batches, stage_error, tell
from heddle.sdk.flows import LOOKUP_KEY
from heddle.udf_bridge.transport import CallResult, StepBinding, StepFailure

KEYS_MAX: Final = 65_536
"""Tuples in a call of a lookup."""
CALLS_AT_ONCE: Final = 2
"""Where no policy says it: while a service answers one call, the rows of another are on their way."""


def stream_lookup(
    op: Step, batches: Batches, env: RunEnvironment, stop: CancelToken, reject: RejectedRows, work: Work
) -> Batches:
    """Batches of the lookup's output, at least one. Raises `StageFailed`, `Cancelled`."""
    if op.scan is not None:
        from heddle.physical.lookup_choice import scanned, tuples_to_look_up

        few = tuples_to_look_up(op, op.scan, batches, env, stop)
        if few is None:
            yield from scanned(op, op.scan, env, stop, reject, work)
            return
        batches = few
    try:
        binding = binding_of(op, env)
        cache = (
            None if env.check_steps else LOOKUP_CACHES.of_resources(binding.resources, env.clock.monotonic)
        )
        session = env.transport.open(binding, partial(tell, env, op.path))
    except StepFailure as failure:
        batches.close()
        raise StageFailed(op, stage_error(op, failure, 1, env)) from failure
    calls = LookupCalls(op, Caller(op, session, env, stop), cache, binding)
    at_once = op.policy.concurrency or (CALLS_AT_ONCE if calls.numbered else 1)
    policy = replace(op.policy, batch_max_rows=_rows_of_call(op, env), concurrency=at_once)
    found = call_batches(replace(op, policy=policy, absent=()), calls, batches, env, reject, work)
    try:
        yield from map(Absent(op).put_back, found)
    finally:
        found.close()
        batches.close()
        session.close()
        calls.tell(env)


def _rows_of_call(op: Step, env: RunEnvironment) -> int:
    return min(op.policy.batch_max_rows or env.batch_rows, KEYS_MAX)


def returned_schema(op: Step) -> pa.Schema | None:
    """What the step itself gives, with the number of the tuple; None while it is not known."""
    assert op.lookup is not None, "a lookup"
    row = op.lookup.row
    if op.lookup.numbered:
        row = RowType((*row.columns, Column(LOOKUP_KEY, pa.int64(), nullable=False)), row.open)
    return row.arrow() if row.complete else None


class LookupCalls:
    """Calls of a step for tuples of values. Safe to use from several threads."""

    def __init__(self, op: Step, caller: Caller, cache: LookupCache | None, binding: StepBinding) -> None:
        assert op.lookup is not None, "a lookup"
        self._op = op
        self._use = op.lookup
        self._caller = caller
        self._cache = cache if op.lookup.numbered else None
        self._binding = binding
        self._counting = threading.Lock()
        self._asked = 0
        self._known = 0

    @property
    def numbered(self) -> bool:
        """Whether it only reads, and tells by numbers where its rows belong."""
        return self._use.numbered

    def call(self, rows: pa.Table | None, number: int) -> CallResult:
        """Raises what `Caller.call` raises, and `StepContractError`."""
        assert rows is not None, "a lookup has an input"
        return self._joined(rows, number) if self._use.joined else self._piped(rows, number)

    def tell(self, env: RunEnvironment) -> None:
        """How many tuples were asked for, and how many the cache knew."""
        amounts = {"lookup_keys": self._asked}
        if self._cache is not None:
            amounts["lookup_cache_hits"] = self._known
        for name, amount in amounts.items():
            env.listener(StageMetric(env.run_id, self._op.path, name, amount, "keys"))

    def _joined(self, tuples: pa.Table, number: int) -> CallResult:
        result = self._found(tuples, number)
        if result.output is None:
            return result
        output = result.output
        if self._use.numbered:
            numbers = output.column(LOOKUP_KEY)
            output = output.drop_columns([LOOKUP_KEY])
        else:
            numbers = result.kept
        for name, holder in self._use.holders.items():
            column = tuples.column(name)
            found = column if numbers is None else column.take(numbers)
            if self._use.row.column(holder) is None:
                output = output.append_column(holder, found)
            elif self._use.numbered:
                # A service may take values for equal that are not equal here, such as texts in another case.
                same = pc.equal(output.column(holder), found)
                output, numbers = output.filter(same), numbers.filter(same)
        return CallResult(output, result.rejections)

    def _piped(self, rows: pa.Table, number: int) -> CallResult:
        columns = {name: rows.column(column) for name, column in self._use.values.items()}
        distinct = distinct_tuples(columns, rows.num_rows)
        result = self._found(distinct.tuples, number)
        assert result.output is not None, "a lookup gives rows"
        return CallResult(_beside(rows, distinct, result.output), result.rejections)

    def _found(self, tuples: pa.Table, number: int) -> CallResult:
        """What the cache knows of some tuples, and what the step gives for the others."""
        if self._cache is None or not tuples.num_rows:
            return self._ask(tuples, number)
        statement = statement_key(self._binding, tuples.schema)
        known = self._cache.find(statement, tuples)
        with self._counting:
            self._known += tuples.num_rows - len(known.unknown)
        if not len(known.unknown) and known.rows is not None:
            return CallResult(known.rows)
        unknown = tuples.take(known.unknown)
        result = self._ask(unknown, number)
        assert result.output is not None, "a lookup gives rows"
        self._cache.keep(statement, unknown, result.output)
        if known.rows is None:
            return result
        numbers = known.unknown.take(result.output.column(LOOKUP_KEY))
        others = result.output.drop_columns([LOOKUP_KEY]).append_column(LOOKUP_KEY, numbers)
        return CallResult(pa.concat_tables([known.rows, others]), result.rejections)

    def _ask(self, tuples: pa.Table, number: int) -> CallResult:
        """What the step gives for some tuples, its numbers checked. Nothing is asked for none."""
        schema = returned_schema(self._op)
        if not tuples.num_rows and schema is not None:
            return CallResult(schema.empty_table())
        with self._counting:
            self._asked += tuples.num_rows
        result = self._caller.call(tuples, number)
        if self._use.numbered and result.output is not None:
            checked_numbers(result.output, tuples.num_rows, self._op.call.callee)
        return result


def _beside(rows: pa.Table, distinct: Distinct, found: pa.Table) -> pa.Table:
    """The rows, each beside every row that was found for its tuple; a found column takes the place of one
    with its name."""
    numbers = found.column(LOOKUP_KEY)
    found = found.drop_columns([LOOKUP_KEY])
    left, right = rows_by_number(numbers, distinct)
    taken = rows.take(left)
    columns = {name: taken.column(name) for name in taken.column_names}
    given = found.take(right)
    return pa.table(columns | {name: given.column(name) for name in given.column_names})
