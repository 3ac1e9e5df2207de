"""One call of a step under its policy: attempts, back-off, timeout.

A call in this process that times out is abandoned, because a thread cannot be stopped; a plugin's is ended.
Either way its result is thrown away, and a step that writes is not tried again, since nobody knows what it
did.
"""

from __future__ import annotations

import queue
import threading

import pyarrow as pa

from heddle.core.record import record
from heddle.core.signature import StepSignature
from heddle.errors import Cancelled
from heddle.frontend.typed import Policy
from heddle.logical.plan import Step
from heddle.physical.cancel import CancelToken
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import StepRetried
from heddle.udf_bridge.transport import (
    CallContext,
    CallResult,
    StepFailure,
    StepSession,
)


@record(frozen=True, slots=True)
class FailedCall(Exception):
    """The last attempt's failure."""

    failure: StepFailure
    attempt: int


class Caller:
    """Calls one step of one run; safe to use from several threads."""

    def __init__(self, op: Step, session: StepSession, env: RunEnvironment, stop: CancelToken) -> None:
        self._op = op
        self._session = session
        self._env = env
        self._stop = stop

    def call(self, rows: pa.Table | None, number: int, failed: StepFailure | None = None) -> CallResult:
        """`number` counts the step's calls in the run; `failed` is its first attempt, if that was made
        elsewhere. Raises `FailedCall` or `Cancelled`."""
        attempt = 1
        while True:
            try:
                if failed is not None and attempt == 1:
                    raise failed
                return attempt_call(self._session, rows, self.context(number, attempt))
            except StepFailure as failure:
                if self._stop.cancelled:
                    raise Cancelled("the run was cancelled") from failure
                if not may_retry(self._op, failure, attempt):
                    raise FailedCall(failure, attempt) from failure
                wait_to_retry(self._op, failure, attempt, self._env, self._stop)
            attempt += 1

    def context(self, number: int, attempt: int) -> CallContext:
        return call_context(self._op, number, attempt, self._env, self._stop)


def attempt_call(session: StepSession, rows: pa.Table | None, context: CallContext) -> CallResult:
    """One call, given up when its deadline has passed. Raises `StepFailure`."""
    timeout_s = context.deadline_s
    if timeout_s is None or session.keeps_deadlines:
        return session.invoke(rows, context)
    answers: queue.SimpleQueue[CallResult | StepFailure] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(session.invoke(rows, context))
        except StepFailure as failure:
            answers.put(failure)

    threading.Thread(target=run, name="heddle-call", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise StepFailure(f"no answer within {timeout_s:g} s", "Timeout", "", transient=True) from None
    if isinstance(answer, StepFailure):
        raise answer
    return answer


def may_retry(op: Step, failure: StepFailure, attempt: int) -> bool:
    """Whether the policy gives a step that has failed one more attempt."""
    policy = op.policy
    if attempt >= (policy.attempts or 1) or (policy.on and failure.error_type not in policy.on):
        return False
    return failure.error_type != "Timeout" or may_repeat(op.call.signature, policy)


def wait_to_retry(
    op: Step, failure: StepFailure, attempt: int, env: RunEnvironment, stop: CancelToken
) -> None:
    """Tell of the next attempt and wait as long as the policy says. Raises `Cancelled`."""
    wait_s = backoff_s(op.policy, attempt, env.chance.random())
    message = env.masked(failure.message)
    env.listener(StepRetried(env.run_id, op.path, attempt, wait_s, failure.error_type, message))
    if stop.wait(wait_s):
        raise Cancelled("the run was cancelled")


def call_context(op: Step, number: int, attempt: int, env: RunEnvironment, stop: CancelToken) -> CallContext:
    """`number` counts the step's calls in the run, or in its turn."""
    turn = f"{env.turn}/" if env.turn else ""
    return CallContext(
        run_id=env.run_id,
        workflow=op.workflow,
        step=op.call.callee,
        attempt=attempt,
        idempotency_key=f"{env.run_id}/{op.path}/{turn}{number}",
        deadline_s=op.policy.timeout_s,
        cancelled=lambda: stop.cancelled,
        on_cancel=stop.on_cancel,
    )


def may_repeat(signature: StepSignature, policy: Policy) -> bool:
    """Whether running the step twice for the same rows does no harm."""
    return signature.may_repeat or policy.key is not None


def backoff_s(policy: Policy, attempt: int, chance: float) -> float:
    """Exponential with half jitter: the n-th wait is between half and all of first * 2^(n-1), capped."""
    if policy.backoff_kind == "fixed":
        return policy.backoff_first_s
    full = min(policy.backoff_max_s, policy.backoff_first_s * 2.0 ** (attempt - 1))
    return full * (0.5 + chance / 2)
