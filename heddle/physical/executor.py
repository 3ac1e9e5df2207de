"""A run: the workflows' plan, then the handlers' plans, then commit or abort.

Sinks are committed only when the run has succeeded or all its failures were handled, so a reader of
its files sees all of a run or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import field

from heddle.core.record import record
from heddle.errors import StageError
from heddle.frontend.typed import TypedProgram
from heddle.logical.plan import LogicalPlan, OpId, Sink
from heddle.physical.engines import Engines
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import (
    HandlerRan,
    OutputWritten,
    RunFinished,
    RunStarted,
    RunStatus,
)
from heddle.physical.frames import FrameStore
from heddle.physical.plan_run import PlanResult, PlanRun
from heddle.physical.tasks import cut
from heddle.physical.traps import Caught, Traps
from heddle.std.sinks import Sink as OpenSink
from heddle.std.sinks import SinkError

FRAMES_SHARE = 0.25
"""Of the memory budget. What the engines get stands in `engines.py`."""


@record(frozen=True, slots=True)
class RunOutcome:
    """`rows` went into sinks and final steps; `error` is set when the run failed."""

    status: RunStatus
    rows: int
    bytes_scanned: int
    error: StageError | None = None


@record(slots=True, eq=False)
class _Open:
    """Sinks written so far, in commit order, and what was counted."""

    sinks: list[tuple[Sink, OpenSink]] = field(default_factory=list)
    rows: int = 0
    bytes_scanned: int = 0


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
    opened = _Open()
    traps = Traps(program, env)
    with closing(Engines(env, plan)) as engines:
        result = PlanRun(physical, env, engines, frames, traps, shares=True).run()
    _take(opened, result)
    error = traps.fatal.error if traps.fatal else None
    interrupted = result.interrupted
    handled = bool(traps.caught)
    if error is None and not interrupted:
        error, interrupted = _run_handlers(program, traps, env, frames, opened, handlers)
    if error is None and not interrupted:
        error = _commit(opened, env)
    else:
        _abort(opened)
    status: RunStatus = (
        "cancelled" if interrupted else "failed" if error else "handled" if handled else "succeeded"
    )
    duration_s = env.clock.monotonic() - started_at
    env.listener(
        RunFinished(
            env.run_id,
            status,
            duration_s,
            opened.rows,
            error.message if error else None,
            opened.bytes_scanned,
        )
    )
    return RunOutcome(status, opened.rows, opened.bytes_scanned, error)


def _run_handlers(
    program: TypedProgram,
    traps: Traps,
    env: RunEnvironment,
    frames: FrameStore,
    opened: _Open,
    plans: Mapping[str, LogicalPlan],
) -> tuple[StageError | None, bool]:
    """Each handler once; what fails in one goes to the workflow's trap, once, and never back to itself."""
    waiting = dict(traps.caught)
    ran: set[str] = set()
    while waiting:
        name, caught = waiting.popitem()
        ran.add(name)
        inner = Traps(program, env, _fallback(program, name, caught, ran))
        result = _run_handler(plans[name], caught, env, frames, inner)
        if result.interrupted:
            _take(opened, result)
            return None, True
        succeeded = inner.fatal is None and not inner.caught
        _take(opened, result)
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


def _take(opened: _Open, result: PlanResult) -> None:
    opened.sinks += result.sinks.values()
    opened.rows += result.rows
    opened.bytes_scanned += result.bytes_scanned


def _commit(opened: _Open, env: RunEnvironment) -> StageError | None:
    committed: set[OpId] = set()
    for op, sink in opened.sinks:
        try:
            target = sink.commit()
        except SinkError as error:
            _abort(_Open([(o, s) for o, s in opened.sinks if o.id not in committed]))
            return StageError(
                error.message,
                stage=op.path,
                step=f"io.{op.step}",
                error_type=error.error_type,
                help=error.help,
            )
        committed.add(op.id)
        env.listener(OutputWritten(env.run_id, op.path, target.target, target.rows))
    return None


def _abort(opened: _Open) -> None:
    for _, sink in opened.sinks:
        sink.abort()
