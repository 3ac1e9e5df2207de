"""Several steps of one plugin in one call, taken apart again wherever one of them needs a word of its own.

The plugin runs the steps one behind the other, as long as each does exactly what its link says. Where one
fails, rejects rows or returns something else, the plugin gives back the table before it: the step is then
called by itself, under its own name, policy and handler, and those behind it go on together.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

import pyarrow as pa

from heddle.core.report import StepProgressed
from heddle.errors import Cancelled
from heddle.logical.plan import Step
from heddle.physical.batches import Batches
from heddle.physical.calls import Caller, FailedCall, call_context
from heddle.physical.cancel import CancelToken
from heddle.physical.environment import RunEnvironment
from heddle.physical.failures import StageFailed
from heddle.physical.held import Part, part_of
from heddle.physical.metering import Work
from heddle.physical.steps import RejectedRows, binding_of, call_batches, stage_error, tell
from heddle.udf_bridge.transport import (
    CallContext,
    CallResult,
    ChainRefused,
    ChainSession,
    Report,
    Reporter,
    StepContractError,
    StepFailure,
    StepSession,
)

STOPS_MAX: Final = 3
"""A step at which so many calls ended early is called by itself for the rest of the run."""


def stream_fused(
    op: Step, batches: Batches, env: RunEnvironment, stop: CancelToken, reject: RejectedRows, work: Work
) -> Batches:
    """Batches of the last step's output, at least one. Raises `StageFailed`, `Cancelled`."""
    calls = FusedCalls(op, env, stop, reject)
    try:
        yield from call_batches(op, calls, batches, env, reject, work)
    finally:
        batches.close()
        calls.close()


class FusedCalls:
    """Calls the members of one operator; safe to use from several threads."""

    def __init__(self, op: Step, env: RunEnvironment, stop: CancelToken, reject: RejectedRows) -> None:
        self._op = op
        self._members = op.members
        self._env = env
        self._stop = stop
        self._reject = reject
        self._lock = threading.Lock()
        self._sessions: dict[int, StepSession] = {}
        self._chains: dict[tuple[int, int], tuple[Part, ChainSession | None]] = {}
        self._stops: Counter[int] = Counter()
        self._apart: set[int] = set()

    def call(self, rows: pa.Table | None, number: int) -> CallResult:
        """All members, on one table. Rejections are told here, so the result has none. Raises `StageFailed`
        and `Cancelled`."""
        assert rows is not None, "only steps with an input run in one call"
        table, at, count, together = rows, 0, len(self._members), True
        while at < count and table.num_rows:
            failed: StepFailure | None = None
            end = self._end(at) if together else at + 1
            part, chain = self._chain(at, end) if end - at > 1 else (None, None)
            if part is not None and chain is not None:
                try:
                    done, table, failed = self._together(part, chain, table, number)
                except StepFailure as failure:
                    done, failed, together = 0, self._once_more(failure, table), False
                at += done
                if at == end or not table.num_rows:
                    continue
                if failed is None:
                    self._note_stop(at)
            table = self._alone(at, table, number, failed)
            at += 1
        return CallResult(table if at == count else self._no_rows())

    def close(self) -> None:
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
            chains, self._chains = list(self._chains.values()), {}
        for session in sessions:
            session.close()
        for _, chain in chains:
            if chain is not None:
                chain.close()

    def _end(self, at: int) -> int:
        """Where the members end that go in one call with the one at `at`."""
        end = at
        while end < len(self._members) and end not in self._apart:
            end += 1
        return max(end, at + 1)

    def _together(
        self, part: Part, chain: ChainSession, table: pa.Table, number: int
    ) -> tuple[int, pa.Table, StepFailure | None]:
        """How many members are done, the table behind them, and the failure of the next one. Raises
        `StepFailure` when the call failed as a whole."""
        steps = [member.step for member in part.members]
        told = _Told([partial(tell, self._env, step.path) for step in steps])
        contexts = [self._context(step, number) for step in steps]
        try:
            end = chain.run(part.sent(table), contexts, told.reporters)
        except StepFailure as failure:
            told.pass_on(len(steps))
            if self._stop.cancelled:
                raise Cancelled("the run was cancelled") from failure
            raise
        told.pass_on(end.done + (end.failure is not None))
        if not end.done:
            return 0, table, end.failure
        behind = part.behind(table, end.output, end.done)
        if behind is None:
            last = steps[end.done - 1]
            problem = StepContractError(
                f"the plugin gave {end.output.schema.names} behind `{last.call.callee}`"
            )
            raise StageFailed(last, stage_error(last, problem, 1, self._env), table)
        return end.done, behind, end.failure

    def _once_more(self, failure: StepFailure, table: pa.Table) -> StepFailure:
        """A failure of the call as a whole, such as the plugin's end: the members have their other attempts
        by themselves. Raises `StageFailed` when they have none."""
        if (self._op.policy.attempts or 1) > 1:
            return failure
        raise StageFailed(self._op, stage_error(self._op, failure, 1, self._env), table) from failure

    def _alone(self, at: int, table: pa.Table, number: int, failed: StepFailure | None) -> pa.Table:
        """The table behind a member that is called by itself; `failed` is its first attempt, if made."""
        step = self._members[at].step
        caller = Caller(step, self._session(at), self._env, self._stop)
        try:
            result = caller.call(table, number, failed)
        except FailedCall as last:
            error = stage_error(step, last.failure, last.attempt, self._env)
            raise StageFailed(step, error, table) from last.failure
        for rejection in result.rejections:
            self._reject(step, table, rejection, 1)
        assert result.output is not None, "a member gives rows"
        return result.output

    def _context(self, step: Step, number: int) -> CallContext:
        return call_context(step, number, 1, self._env, self._stop)

    def _note_stop(self, at: int) -> None:
        with self._lock:
            self._stops[at] += 1
            if self._stops[at] >= STOPS_MAX:
                self._apart.add(at)

    def _session(self, at: int) -> StepSession:
        step = self._members[at].step
        with self._lock:
            if at not in self._sessions:
                report = partial(tell, self._env, step.path)
                try:
                    self._sessions[at] = self._env.transport.open(binding_of(step, self._env), report)
                except StepFailure as failure:
                    raise StageFailed(step, stage_error(step, failure, 1, self._env)) from failure
            return self._sessions[at]

    def _chain(self, at: int, end: int) -> tuple[Part, ChainSession | None]:
        """None for the session of a plugin that knows no chains."""
        with self._lock:
            found = self._chains.get((at, end))
            if found is None:
                found = self._chains[at, end] = self._opened(at, end)
            return found

    def _opened(self, at: int, end: int) -> tuple[Part, ChainSession | None]:
        part = part_of(self._members[at:end])
        bindings = [
            binding_of(m.step, self._env, link) for m, link in zip(part.members, part.links, strict=True)
        ]
        try:
            session = self._env.transport.open_chain(bindings, partial(tell, self._env, self._op.path))
        except ChainRefused as refused:
            step = part.members[refused.member].step
            raise StageFailed(step, stage_error(step, refused.failure, 1, self._env)) from refused
        return part, session

    def _no_rows(self) -> pa.Table:
        assert self._op.row is not None, "the last member gives rows"
        return self._op.row.arrow().empty_table()


class _Told:
    """What the steps of one call tell: log lines and numbers of a step wait until it is known that the step
    is not called once more by itself, progress does not."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._to = reporters
        self._lock = threading.Lock()
        self._waiting: list[list[Report]] = [[] for _ in reporters]

    @property
    def reporters(self) -> list[Reporter]:
        return [partial(self._take, number) for number in range(len(self._to))]

    def pass_on(self, count: int) -> None:
        """What the first `count` steps told goes out."""
        with self._lock:
            ready = [(n, told) for n in range(count) for told in self._waiting[n]]
            for number in range(count):
                self._waiting[number].clear()
        for number, told in ready:
            self._to[number](told)

    def _take(self, number: int, told: Report) -> None:
        if isinstance(told, StepProgressed):
            self._to[number](told)
            return
        with self._lock:
            self._waiting[number].append(told)
        self.pass_on(number)
