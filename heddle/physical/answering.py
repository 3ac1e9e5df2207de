"""A client's query, run: its rows while they come. Nothing is written, and no handler runs.

A plan that is one fragment over files is streamed by itself, in contexts that such queries share; one that
reads nothing is not even a run. Any other runs as the tasks of a run do.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from heddle.core.deep_stack import DeepThreads, deep_thread
from heddle.errors import Cancelled
from heddle.frontend.typed import TypedProgram
from heddle.logical.plan import Fragment, LogicalPlan, Scan, Values, label_of
from heddle.physical.batches import Batches, at_least_one
from heddle.physical.channel import JOIN_WAIT_S, Channel, ChannelClosed
from heddle.physical.engine_errors import EngineError, stage_error
from heddle.physical.engines import DATAFUSION_SHARE, Engines
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import Listener, StageTaken
from heddle.physical.executor import FRAMES_SHARE
from heddle.physical.failures import StageFailed
from heddle.physical.fragments import constant_rows, is_constant
from heddle.physical.frames import Frame, FrameStore
from heddle.physical.inputs import read_leaf
from heddle.physical.plan_run import PlanRun
from heddle.physical.result_cache import FROM_RESULT_CACHE
from heddle.physical.session import Session
from heddle.physical.tasks import cut
from heddle.physical.traps import Traps


class AnswerSpace:
    """What single fragments of queries share: a folder to spill to, threads, and DataFusion's contexts with
    the memory of all of them together."""

    def __init__(
        self, scratch: Path, base: Path, memory_bytes: int, cores: int, masked: Callable[[str], str]
    ) -> None:
        """`masked` gives a text without secrets."""
        self.scratch = scratch
        self.base = base
        self.memory_bytes = memory_bytes
        self.masked = masked
        pool_bytes = int(memory_bytes * DATAFUSION_SHARE)
        self._threads = DeepThreads("heddle-partition")
        self.session = Session(
            scratch, base, pool_bytes, cores, keeps_files=True, start_thread=self._threads.start
        )

    def close(self) -> None:
        self._threads.close()


def is_single(plan: LogicalPlan) -> bool:
    """Whether the plan is one fragment over what engines read themselves."""
    op = plan.ops[plan.roots[0]]
    return isinstance(op, Fragment) and all(
        isinstance(plan.ops[i], Scan | Values) for i in op.inputs.values()
    )


def constant_of(plan: LogicalPlan) -> Fragment | None:
    """The fragment of a plan that has no other, reads nothing, and leaves no choice of an engine."""
    op = plan.ops[plan.roots[0]]
    return op if isinstance(op, Fragment) and not op.reduces and is_constant(op) else None


def stream_constant(fragment: Fragment, space: AnswerSpace) -> Batches:
    """Batches of a constant fragment, at least one. Raises `StageFailed`."""
    try:
        yield from constant_rows(fragment, space.session)
    except EngineError as error:
        raise StageFailed(fragment, stage_error(error, fragment, (), space)) from error


def stream_known(answer: Frame, plan: LogicalPlan, listener: Listener) -> Batches:
    """Batches of an answer of the result cache, at least one."""
    op = plan.ops[plan.roots[0]]
    size_bytes = answer.size_bytes
    listener(StageTaken("", op.path, label_of(op), FROM_RESULT_CACHE, answer.rows, size_bytes))
    yield from at_least_one(answer.batches, answer.schema)


def stream_single(plan: LogicalPlan, env: RunEnvironment, space: AnswerSpace) -> Batches:
    """Batches of a plan that is single, at least one. Raises `StageFailed` or `Cancelled`."""
    op = plan.ops[plan.roots[0]]
    assert isinstance(op, Fragment)
    with closing(Engines(env, plan, space.session)) as engines:
        inputs = {relation: read_leaf(plan.ops[i], env) for relation, i in op.inputs.items()}
        yield from engines.stream(op, inputs, env.cancel, None)


def stream_answer(program: TypedProgram, plan: LogicalPlan, env: RunEnvironment) -> Batches:
    """Batches of the plan's one root, at least one. Raises `StageFailed` or `Cancelled`. Rows that a
    run's handler would get are left out; a stage that fails, fails the query."""
    with closing(Engines(env, plan)) as engines:
        yield from _stream_tasks(program, plan, env, engines)


def _stream_tasks(program: TypedProgram, plan: LogicalPlan, env: RunEnvironment, engines: Engines) -> Batches:
    rows = Channel(env.cancel, bytes_max=env.channel_bytes_max)
    traps = Traps(program, env, left_out=plan.left_out)

    def run() -> None:
        error: BaseException | None = None
        try:
            frames = FrameStore(env.scratch, int(env.memory_bytes * FRAMES_SHARE))
            result = PlanRun(cut(plan), env, engines, frames, traps, shares=True, taker=rows.put).run()
            error = traps.fatal
            if error is None and result.interrupted:
                error = Cancelled("the query was cancelled")
        except ChannelClosed:
            pass
        except BaseException as failure:  # the reader must learn of any end but the real one
            error = failure
        finally:
            rows.finish(error)

    thread = deep_thread(run, "heddle-answer")
    ended = False
    try:
        yield from rows
        ended = True
    finally:
        if not ended:
            env.cancel.cancel()
        rows.close()
        thread.join(JOIN_WAIT_S)
