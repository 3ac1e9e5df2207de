"""What ends a run: rows that its stages have written and nobody can see yet. They are committed together, in
program order, or taken back.

A stage whose commit fails is a stage that failed: its rows go to its handler where it has one, and the rest
is committed. Without a handler what is not committed yet is taken back, and the failure names what was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Protocol

import pyarrow as pa

from heddle.core.record import record
from heddle.errors import StageError
from heddle.logical.plan import Sink, Step
from heddle.physical.environment import RunEnvironment
from heddle.physical.events import OutputWritten, RunWarning
from heddle.physical.failures import StageFailed
from heddle.physical.frames import Frame, FrameStore
from heddle.std.sinks import SinkError, WrittenTarget


class Uncommitted(Protocol):
    """Rows that nobody can see yet. `abort` may be called at any time, also after a commit that failed."""

    def commit(self) -> WrittenTarget:
        """Raises `SinkError`, `StageFailed`."""
        ...

    def abort(self) -> None: ...


@record(frozen=True, slots=True)
class Written:
    """What a stage has written in whole. `rows` are kept where a handler would get them."""

    op: Sink | Step
    sink: Uncommitted
    rows: Frame | None = None

    @property
    def failed_rows(self) -> pa.Table | None:
        return None if self.rows is None else pa.Table.from_batches(self.rows.batches, self.rows.schema)


@record(slots=True, eq=False)
class Commits:
    """What waits to be committed, in program order. `done` are the targets of what was."""

    env: RunEnvironment
    frames: FrameStore
    waiting: list[Written] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def commit(self, catch: Callable[[StageFailed], bool]) -> StageError | None:
        """Commit all. `catch` takes the failure of a stage, and says whether a handler will get it; one that
        no handler gets ends the commits and is given back."""
        while self.waiting:
            written = self.waiting.pop(0)
            try:
                target = written.sink.commit()
            except (SinkError, StageFailed) as error:
                failure = self._failure(written, error)
                written.sink.abort()
                if not catch(failure):
                    self._forget(written)
                    self.abort()
                    return failure.error
                said = f"the commit failed: {failure.error.message}"
                self.env.listener(RunWarning(self.env.run_id, written.op.path, said))
            else:
                self.done.append(target.target)
                self.env.listener(OutputWritten(self.env.run_id, written.op.path, target.target, target.rows))
            self._forget(written)
        return None

    def abort(self) -> None:
        """Take back what is not committed."""
        while self.waiting:
            written = self.waiting.pop(0)
            written.sink.abort()
            self._forget(written)

    def _forget(self, written: Written) -> None:
        if written.rows is not None:
            self.frames.free(written.rows)

    def _failure(self, written: Written, error: SinkError | StageFailed) -> StageFailed:
        failed = stage_failed(written.op, error, self.env)
        if not self.done:
            return StageFailed(written.op, failed.error, written.failed_rows)
        said = failed.error
        named = ", ".join(f"`{target}`" for target in self.done)
        told = StageError(
            f"{said.message}; committed before it, and not taken back: {named}",
            stage=said.stage,
            step=said.step,
            error_type=said.error_type,
            stack_trace=said.stack_trace,
            attempt=said.attempt,
            help=said.help,
        )
        return StageFailed(written.op, told, written.failed_rows)


def stage_failed(op: Sink | Step, error: SinkError | StageFailed, env: RunEnvironment) -> StageFailed:
    """The failure of a sink, as that of its stage."""
    if isinstance(error, StageFailed):
        return error
    step = f"io.{op.step}" if isinstance(op, Sink) else op.call.callee
    return StageFailed(
        op,
        StageError(
            env.masked(error.message),
            stage=op.path,
            step=step,
            error_type=error.error_type,
            help=error.help,
        ),
    )
