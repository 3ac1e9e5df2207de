"""A run: the workflows' plan, then the handlers' plans, then commit or abort.

What was written is committed only when the run has succeeded or all its failures were handled, so a reader
of its files sees all of a run or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TypeAlias

from heddle.core.record import record
from heddle.errors import StageError
from heddle.frontend.typed import TypedProgram
from heddle.logical.plan import LogicalPlan
from heddle.physical.commits import Commits
from heddle.physical.engines import Engines
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import HandlerRan, RunFinished, RunStarted, RunStatus
from heddle.physical.failures import StageFailed
from heddle.physical.frames import FrameStore
from heddle.physical.plan_run import PlanResult, PlanRun
from heddle.physical.tasks import cut
from heddle.physical.traps import Caught, Traps

FRAMES_SHARE = 0.25
"""Of the memory budget. What the engines get stands in `engines.py`."""


@record(frozen=True, slots=True)
class RunOutcome:
    """`rows` went into sinks and final steps; `error` is set when the run failed. `turns` are those that had
    rows, None for a run that reads no streams."""

    status: RunStatus
    rows: int
    bytes_scanned: int
    error: StageError | None = None
    turns: int | None = None


Executor: TypeAlias = Callable[
    [TypedProgram, LogicalPlan, RunEnvironment, Mapping[str, LogicalPlan]], RunOutcome
]


@record(slots=True, eq=False)
class _Open:
    """What the workflows and the handlers have written so far, and what was counted."""

    written: Commits
    handled: Commits
    rows: int = 0
    bytes_scanned: int = 0

    def take(self, result: PlanResult, into: Commits) -> None:
        into.waiting += result.written.values()
        self.rows += result.rows
        self.bytes_scanned += result.bytes_scanned

    def abort(self) -> None:
        self.written.abort()
        self.handled.abort()


def execute(
    program: TypedProgram,
    plan: LogicalPlan,
    env: RunEnvironment,
    handlers: Mapping[str, LogicalPlan],
) -> RunOutcome:
    """Run an optimized plan. `handlers` are the plans, by name, of those that a failure may reach."""
    started_at = env.clock.monotonic()
    physical = cut(plan)
    workflows = tuple(program.workflows)
    env.listener(RunStarted(env.run_id, program.source.path, workflows, len(physical.tasks), started_at))
    frames = FrameStore(env.scratch, int(env.memory_bytes * FRAMES_SHARE))
    traps = Traps(program, env)
    with closing(Engines(env, plan)) as engines:
        result = PlanRun(physical, env, engines, frames, traps, shares=True).run()
    outcome = settle(program, result, traps, env, frames, handlers)
    tell_end(env, outcome, started_at)
    return outcome


def tell_end(env: RunEnvironment, outcome: RunOutcome, started_at: float) -> None:
    env.listener(
        RunFinished(
            env.run_id,
            outcome.status,
            env.clock.monotonic() - started_at,
            outcome.rows,
            outcome.error.message if outcome.error else None,
            outcome.bytes_scanned,
            outcome.turns,
        )
    )


def settle(
    program: TypedProgram,
    result: PlanResult,
    traps: Traps,
    env: RunEnvironment,
    frames: FrameStore,
    handlers: Mapping[str, LogicalPlan],
) -> RunOutcome:
    """What follows when the tasks of the workflows have ended: the handlers of what failed in them, and the
    commit of what both wrote, or its undoing."""
    opened = _Open(Commits(env, frames), Commits(env, frames))
    opened.take(result, opened.written)
    error = traps.fatal.error if traps.fatal else None
    interrupted = result.interrupted
    if error is None and not interrupted:
        error, interrupted = _run_handlers(program, traps, env, frames, opened, handlers)
    if error is None and not interrupted:
        error, interrupted = _commit(program, traps, env, frames, opened, handlers)
    opened.abort()
    status: RunStatus = (
        "cancelled" if interrupted else "failed" if error else "handled" if traps.caught else "succeeded"
    )
    return RunOutcome(status, opened.rows, opened.bytes_scanned, error)


def _commit(
    program: TypedProgram,
    traps: Traps,
    env: RunEnvironment,
    frames: FrameStore,
    opened: _Open,
    plans: Mapping[str, LogicalPlan],
) -> tuple[StageError | None, bool]:
    """First what the workflows wrote, then what the handlers did. When a commit fails into a handler, the
    handlers run again, on all error rows there are."""
    late: list[StageFailed] = []

    def catch(failure: StageFailed) -> bool:
        late.append(failure)
        return traps.catch(failure)

    error = opened.written.commit(catch)
    if error is None and late:
        opened.handled.abort()
        error, interrupted = _run_handlers(program, traps, env, frames, opened, plans)
        if interrupted:
            return None, True
    if error is None:
        opened.handled.done += opened.written.done
        error = opened.handled.commit(lambda failure: False)
    return error, False


def _run_handlers(
    program: TypedProgram,
    traps: Traps,
    env: RunEnvironment,
    frames: FrameStore,
    opened: _Open,
    plans: Mapping[str, LogicalPlan],
) -> tuple[StageError | None, bool]:
    """Each handler once; what fails in one goes to the workflow's trap, once, and never back to itself."""
    waiting = {name: replace(c, batches=list(c.batches)) for name, c in traps.caught.items()}
    ran: set[str] = set()
    while waiting:
        name, caught = waiting.popitem()
        ran.add(name)
        inner = Traps(program, env, _fallback(program, name, caught, ran))
        result = _run_handler(plans[name], caught, env, frames, inner)
        opened.take(result, opened.handled)
        if result.interrupted:
            return None, True
        succeeded = inner.fatal is None and not inner.caught
        for stage in sorted(caught.stages):
            env.listener(HandlerRan(env.run_id, name, stage, caught.rows, succeeded))
        if inner.fatal is not None:
            return inner.fatal.error, False
        for other, more in inner.caught.items():
            known = waiting.setdefault(other, Caught())
            known.batches += more.batches
            known.workflows |= caught.workflows
            known.stages |= more.stages
    return None, False


def _fallback(program: TypedProgram, handler: str, caught: Caught, ran: set[str]) -> Mapping[str, str | None]:
    """Where a failure inside the handler goes: the trap of the workflow it works for, unless that has run."""
    traps = {program.workflows[w].trap for w in caught.workflows if w in program.workflows}
    next_trap = next((t for t in sorted(traps - {None}, key=str) if t not in ran), None)
    return {handler: next_trap}


def _run_handler(
    plan: LogicalPlan,
    caught: Caught,
    env: RunEnvironment,
    frames: FrameStore,
    traps: Traps,
) -> PlanResult:
    error_frame = frames.collect(caught.batches)
    try:
        with closing(Engines(env, plan)) as engines:
            return PlanRun(cut(plan), env, engines, frames, traps, error_frame).run()
    finally:
        frames.free(error_frame)
