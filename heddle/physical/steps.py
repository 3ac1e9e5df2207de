"""A step as a stream: its input in calls of the right size, its results in order, its rejections aside.

`map`, `filter` and `flat` steps are called with one batch after the other (several at a time when the
policy allows it); a `table` step is called once with all rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, assert_never

import pyarrow as pa

from heddle.core.report import StepAnswered, StepLogged, StepMeasured, StepProgressed
from heddle.core.types import wanted_columns
from heddle.errors import StageError
from heddle.logical.plan import Step, statement_of
from heddle.physical.absent import Absent, left_out, without_absent
from heddle.physical.batches import Batches, at_least_one, empty_batch, in_tables
from heddle.physical.call_size import CallSize
from heddle.physical.calls import Caller, FailedCall
from heddle.physical.cancel import CancelToken
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import (
    CallProgress,
    PluginEnded,
    PluginLine,
    PluginReady,
    StageCallsMerged,
    StageLogged,
    StageMetric,
    StatementAsked,
)
from heddle.physical.failures import StageFailed
from heddle.physical.metering import Work
from heddle.physical.step_costs import STEP_COSTS
from heddle.udf_bridge.transport import (
    Batching,
    CallResult,
    CallsMerged,
    PluginOutput,
    PluginStarted,
    PluginStopped,
    Rejection,
    Report,
    StepBinding,
    StepContractError,
    StepFailure,
    StepSession,
)

if TYPE_CHECKING:
    from heddle.core.link import Link
    from heddle.core.step import RejectedRows as RefusedRecords

MERGE_WAIT_MAX_S: Final = 0.005
"""How long a call may wait for those of other runs, where no policy says so; it seldom does."""


class RejectedRows(Protocol):
    def __call__(self, op: Step, rows: pa.Table, rejection: Rejection, attempt: int) -> None:
        """Takes the rejected rows; raises `StageFailed` when no handler would get them."""
        ...


def stream_step(
    op: Step,
    batches: Batches | None,
    env: RunEnvironment,
    stop: CancelToken,
    reject: RejectedRows,
    work: Work,
) -> Batches:
    """Batches of the step's output, at least one when it has an output. Raises `StageFailed`, `Cancelled`."""
    try:
        session = env.transport.open(binding_of(op, env), partial(tell, env, op.path))
    except StepFailure as failure:
        raise StageFailed(op, stage_error(op, failure, 1, env)) from failure
    try:
        if batches is None:
            yield from _source(op, session, env, stop, reject, work)
        else:
            yield from call_batches(op, Caller(op, session, env, stop), batches, env, reject, work)
    finally:
        if batches is not None:
            batches.close()
        session.close()


def _source(
    op: Step, session: StepSession, env: RunEnvironment, stop: CancelToken, reject: RejectedRows, work: Work
) -> Batches:
    context = Caller(op, session, env, stop).context(0, 1)
    refused: list[RefusedRecords] = []
    _log_statement(op, env)
    produced = map(Absent(op).put_back, counted(session.batches(context, refused), work))
    try:
        if op.row is not None and op.row.complete:
            yield from at_least_one(produced, op.row.arrow())
        else:
            yield from produced
        reject_records(op, refused, reject)
    except StepFailure as failure:
        raise StageFailed(op, stage_error(op, failure, 1, env)) from failure


def _log_statement(op: Step, env: RunEnvironment) -> None:
    """Tell what a database is asked."""
    text = statement_of(op.call)
    if text is not None:
        env.listener(StatementAsked(env.run_id, op.path, env.masked(text)))


def reject_records(op: Step, refused: Sequence[RefusedRecords], reject: RejectedRows) -> None:
    """Hand on what a source could not make rows of. Raises `StageFailed` when no handler would get it."""
    for rows in refused:
        if rows.records is None:
            raise StepContractError(f"`{op.call.callee}` rejected rows of an input, and it has none")
        reject(op, rows.records, Rejection(rows.rows, rows.reason, rows.error_type), 1)


def counted(produced: Iterator[pa.RecordBatch], work: Work) -> Iterator[pa.RecordBatch]:
    """What one call of a source gives, batch by batch."""
    with work.here(calls=1):
        batch = next(produced, None)
    while batch is not None:
        yield batch
        with work.here():
            batch = next(produced, None)


class Calls(Protocol):
    def call(self, rows: pa.Table | None, number: int) -> CallResult:
        """`number` counts the calls. Raises `FailedCall`, `StageFailed` or `Cancelled`."""
        ...


def call_batches(
    op: Step, caller: Calls, batches: Batches, env: RunEnvironment, reject: RejectedRows, work: Work
) -> Batches:
    """The output of a step with an input, called through `caller`, at least one batch."""
    size = CallSize(op, env.batch_rows)
    inputs = _inputs(op, batches, size)
    if not env.keeps_input:
        yield from _called(op, caller, inputs, env, reject, work, size, lambda rejections: None)
        return
    from heddle.physical.kept_input import KeptInput

    kept = KeptInput(op, inputs)
    try:
        yield from _called(op, caller, iter(kept), env, reject, work, size, kept.next_done)
    except StageFailed as failure:
        raise kept.completed(failure)  # noqa: B904 - it has the failure's own cause


def _called(
    op: Step,
    caller: Calls,
    inputs: Iterator[pa.Table],
    env: RunEnvironment,
    reject: RejectedRows,
    work: Work,
    size: CallSize,
    next_done: Callable[[Sequence[Rejection]], None],
) -> Batches:
    schema = op.row.arrow() if op.row is not None and op.row.complete else None
    fill = Absent(op)
    empty = True
    for rows, result in _results(op, caller, inputs, env, work, size):
        for rejection in result.rejections:
            reject(op, rows, rejection, 1)
        next_done(result.rejections)
        if result.output is None:
            continue
        for batch in result.output.to_batches():
            if batch.num_rows:
                empty = False
                yield fill.put_back(batch)
        schema = schema or result.output.schema
    if empty and schema is not None:
        yield empty_batch(schema)


def _inputs(op: Step, batches: Batches, size: CallSize) -> Iterator[pa.Table]:
    """The tables to call with. A row-wise step without rows is called only to learn an unknown schema."""
    batches = left_out(batches, op)
    if op.call.signature.rows == "table":
        yield pa.Table.from_batches(list(batches))
        return
    first = next(batches)

    def all_batches() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    called = False
    for table in in_tables(all_batches(), size.rows):
        called = True
        yield table
    unknown = op.row is not None and not op.row.complete
    if not called and unknown:
        yield pa.Table.from_batches([first])


def _results(
    op: Step, caller: Calls, inputs: Iterator[pa.Table], env: RunEnvironment, work: Work, size: CallSize
) -> Iterator[tuple[pa.Table, CallResult]]:
    """Calls and their results, in the order of the input, `concurrency` of them at a time."""
    at_once = op.policy.concurrency or 1
    if at_once == 1 or op.call.signature.rows == "table":
        for number, rows in enumerate(inputs):
            yield rows, _call(op, caller, rows, number, env, work, size)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    window: deque[tuple[pa.Table, Future[CallResult]]] = deque()
    with ThreadPoolExecutor(at_once, thread_name_prefix="heddle-step") as pool:
        try:
            for number, rows in enumerate(inputs):
                window.append((rows, pool.submit(_call, op, caller, rows, number, env, work, size)))
                if len(window) >= at_once:
                    done_rows, done = window.popleft()
                    yield done_rows, done.result()
            while window:
                done_rows, done = window.popleft()
                yield done_rows, done.result()
        finally:
            for _, waiting in window:
                waiting.cancel()


def _call(
    op: Step,
    caller: Calls,
    rows: pa.Table,
    number: int,
    env: RunEnvironment,
    work: Work,
    size: CallSize,
) -> CallResult:
    try:
        started_s = env.clock.monotonic()
        with work.here(calls=1, input_rows=rows.num_rows):
            result = caller.call(rows, number)
        took_s = env.clock.monotonic() - started_s
        STEP_COSTS.add(op, rows.num_rows, took_s)
        size.took(rows, took_s)
        if env.check_steps:
            _check(op, caller, rows, result, number)
        return result
    except StepContractError as lie:
        raise StageFailed(op, stage_error(op, lie, 1, env), rows) from lie
    except FailedCall as failed:
        raise StageFailed(op, stage_error(op, failed.failure, failed.attempt, env), rows) from failed.failure


def _check(op: Step, caller: Calls, rows: pa.Table, result: CallResult, number: int) -> None:
    from heddle.physical.step_checks import check_call, is_sampled

    if is_sampled(number):
        check_call(op, rows, result, lambda part: caller.call(part, number))


def binding_of(op: Step, env: RunEnvironment, link: Link | None = None) -> StepBinding:
    """With a `link` the step stands in a chain, whose calls are merged with no others."""
    call = op.call
    output = link.gives if link is not None else None
    if op.lookup is not None:
        from heddle.physical.lookups import returned_schema

        output = returned_schema(op)
    elif link is None and op.row is not None and op.row.complete:
        output = without_absent(op.row.arrow(), op)
    return StepBinding(
        path=op.path,
        module=call.module,
        signature=call.signature,
        config=env.resolver.config(op),
        resources=env.resolver.resources(op),
        base=str(env.base),
        output=output,
        batching=_batching(op, env) if link is None else None,
        link=link,
        parameters=env.resolver.parameters(op),
        columns=wanted_columns(op.row) if call.signature.stream and op.row is not None else None,
    )


def _batching(op: Step, env: RunEnvironment) -> Batching | None:
    """A step that asks for several calls at a time does not want them merged into one."""
    if (op.policy.concurrency or 1) > 1:
        return None
    wait_s = op.policy.batch_max_wait_s if op.policy.batch_max_wait_s is not None else MERGE_WAIT_MAX_S
    return Batching(op.policy.batch_max_rows or env.batch_rows, wait_s)


def tell(env: RunEnvironment, stage: str, told: Report) -> None:
    """What the bridge tells of a stage, as an event of the run."""
    match told:
        case StepLogged(level, message, fields):
            masked = {name: env.masked(value) for name, value in fields.items()}
            env.listener(StageLogged(env.run_id, stage, level, env.masked(message), masked))
        case StepProgressed(rows_done, rows_total, message):
            env.listener(CallProgress(env.run_id, stage, rows_done, rows_total, env.masked(message)))
        case StepMeasured(name, value, unit):
            env.listener(StageMetric(env.run_id, stage, name, value, unit))
        case CallsMerged(calls, shared):
            env.listener(StageCallsMerged(env.run_id, stage, calls, shared))
        case PluginOutput(plugin, stream, line):
            env.listener(PluginLine(env.run_id, plugin, stream, env.masked(line)))
        case PluginStarted(plugin, pid, duration_s):
            env.listener(PluginReady(env.run_id, plugin, pid, duration_s))
        case PluginStopped(plugin, reason):
            env.listener(PluginEnded(env.run_id, plugin, env.masked(reason)))
        case StepAnswered():
            pass  # whoever asked has it
        case _:
            assert_never(told)


def stage_error(op: Step, failure: StepFailure, attempt: int, env: RunEnvironment) -> StageError:
    message, help = failure.message, None
    if op.call.remembered:
        from heddle.physical.remembered import told_of_lock

        message, help = told_of_lock(failure, env.program)
    return StageError(
        env.masked(message),
        stage=op.path,
        step=op.call.callee,
        error_type=failure.error_type,
        stack_trace=env.masked(failure.stack_trace),
        attempt=attempt,
        help=help,
    )
