"""Which handler gets what: error rows collected per handler until the handler runs.

In a run every handler runs once, on all error rows that reached it. A failure with no handler is fatal
and kept as such; the executor then stops the run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import field

import pyarrow as pa

from heddle.core.record import record
from heddle.errors import StageError
from heddle.frontend.typed import TypedProgram
from heddle.logical.plan import Fragment, Op, Sink, Step
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import RowsRejected
from heddle.physical.failures import Origin, StageFailed, error_batch
from heddle.udf_bridge.transport import Rejection


@record(slots=True, eq=False)
class Caught:
    """Error rows for one handler, and the workflows they come from."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    workflows: set[str] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)

    @property
    def rows(self) -> int:
        return sum(b.num_rows for b in self.batches)


class Traps:
    """The traps of one round: the workflows' stages first, then the handlers' own.

    While handlers run, `fallback` names the traps of the workflows whose errors they handle.
    """

    def __init__(
        self,
        program: TypedProgram,
        env: RunEnvironment,
        fallback: Mapping[str, str | None] | None = None,
        left_out: frozenset[str] | None = None,
    ) -> None:
        """With `left_out` no handler gets anything; these stages' rejected rows are just left out."""
        self._program = program
        self._env = env
        self._fallback = fallback
        self._left_out = left_out
        self._lock = threading.Lock()
        self.caught: dict[str, Caught] = {}
        self.fatal: StageFailed | None = None
        self.failures: list[StageFailed] = []
        """Those that a handler gets."""

    def has_handler(self, op: Op) -> bool:
        """Whether a failure of the stage goes to a handler."""
        return self._handler(op) is not None

    def catch(self, failure: StageFailed) -> bool:
        """Take a stage's failure; tells whether a handler will get it."""
        handler = self._handler(failure.op)
        if handler is None:
            with self._lock:
                self.fatal = self.fatal or failure
            return False
        with self._lock:
            self.failures.append(failure)
        self._keep(handler, failure.op, failure.error, failure.rows)
        return True

    def reject(self, op: Step, rows: pa.Table, rejection: Rejection, attempt: int) -> None:
        """Take rejected rows. Raises `StageFailed` when there is no handler for them."""
        reason = self._env.masked(rejection.reason)
        error = StageError(
            reason,
            stage=op.path,
            step=op.call.callee,
            error_type=rejection.error_type,
            attempt=attempt,
        )
        from heddle.core.casting import plain_table

        refused = plain_table(rows).take(rejection.rows)
        self._env.listener(RowsRejected(self._env.run_id, op.path, refused.num_rows, reason))
        if self._left_out is not None and op.path in self._left_out:
            return
        handler = self._handler(op)
        if handler is None:
            count = f"{refused.num_rows} row" + ("s" if refused.num_rows != 1 else "")
            message = f"`{op.call.callee}` rejected {count}: {reason}"
            help_text = f"give the rows a handler: `{op.call.callee} ? handler`"
            raise StageFailed(
                op,
                StageError(
                    message,
                    stage=op.path,
                    step=op.call.callee,
                    error_type=rejection.error_type,
                    help=help_text,
                ),
            )
        self._keep(handler, op, error, refused)

    def _handler(self, op: Op) -> str | None:
        if self._left_out is not None:
            return None
        match op:
            case Fragment() | Step() | Sink():
                own = op.trap
                workflow = self._program.workflows.get(op.workflow)
            case _:
                return None
        if own is not None:
            return own
        if self._fallback is not None:
            return self._fallback.get(op.workflow)
        return workflow.trap if workflow is not None else None

    def _keep(self, handler: str, op: Op, error: StageError, rows: pa.Table | None) -> None:
        workflow = op.workflow if isinstance(op, Fragment | Step | Sink) else ""
        origin = Origin(workflow, self._env.run_id, self._env.clock.now())
        batch = error_batch(error, rows, origin)
        with self._lock:
            caught = self.caught.setdefault(handler, Caught())
            caught.batches.append(batch)
            caught.workflows.add(workflow)
            caught.stages.add(op.path)
