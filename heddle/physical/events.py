"""The event stream of a run: one typed stream that progress bars, plain lines and `--json` lines read.

Events come from several threads; a `Listener` must be quick and thread-safe. Times are seconds on
the executor's clock, sizes bytes of Arrow data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from heddle.core.record import record

if TYPE_CHECKING:
    from heddle.core.config import ConfigValue

RunStatus = Literal["succeeded", "handled", "failed", "cancelled"]
StageStatus = Literal["succeeded", "failed", "skipped", "cancelled"]


@record(frozen=True, slots=True)
class RunStarted:
    """`in_turns`: it reads streams, and its stages are told of once for all turns."""

    run_id: str
    program: str
    workflows: tuple[str, ...]
    stage_count: int
    at: float
    in_turns: bool = False


@record(frozen=True, slots=True)
class StageStarted:
    """`stage` is the stable path of the step, sink or fragment; `label` is for people."""

    run_id: str
    stage: str
    label: str
    at: float


@record(frozen=True, slots=True)
class StageProgress:
    """Rows and bytes so far, at most a few times a second."""

    run_id: str
    stage: str
    rows: int
    size_bytes: int
    at: float


@record(frozen=True, slots=True)
class StageFinished:
    """`rows` in `batches` left the stage. `cpu_s` is CPU time as its engine says, for steps and sinks that
    of the engine's threads; `bytes_scanned` were read from files, `spilled_bytes` written for want of
    memory. A step was called `calls` times, with `input_rows` in all."""

    run_id: str
    stage: str
    status: StageStatus
    rows: int
    size_bytes: int
    duration_s: float
    message: str | None = None
    batches: int = 0
    cpu_s: float = 0.0
    bytes_scanned: int = 0
    spilled_bytes: int = 0
    calls: int = 0
    input_rows: int = 0


@record(frozen=True, slots=True)
class StageTaken:
    """The stage's rows were not computed but taken; `how` says from where, for people."""

    run_id: str
    stage: str
    label: str
    how: str
    rows: int
    size_bytes: int


@record(frozen=True, slots=True)
class StepRetried:
    run_id: str
    stage: str
    attempt: int
    wait_s: float
    error_type: str
    message: str


@record(frozen=True, slots=True)
class RowsRejected:
    run_id: str
    stage: str
    rows: int
    reason: str


@record(frozen=True, slots=True)
class HandlerRan:
    """`handler` ran on `rows` error rows of `stage`."""

    run_id: str
    handler: str
    stage: str
    rows: int
    succeeded: bool


@record(frozen=True, slots=True)
class OutputWritten:
    """A file that now exists in whole, or a printed table."""

    run_id: str
    stage: str
    target: str
    rows: int


@record(frozen=True, slots=True)
class RunWarning:
    run_id: str
    stage: str | None
    message: str


@record(frozen=True, slots=True)
class StageLogged:
    """A line that a step logged; `level` is debug, info, warning or error."""

    run_id: str
    stage: str
    level: str
    message: str
    fields: Mapping[str, str]


@record(frozen=True, slots=True)
class StatementAsked:
    """The statement that a database is asked; its parameters are still names."""

    run_id: str
    stage: str
    statement: str


@record(frozen=True, slots=True)
class CallProgress:
    """How far a call of a step is, as the step says; `rows_total` is None when it does not know."""

    run_id: str
    stage: str
    rows_done: int
    rows_total: int | None
    message: str


@record(frozen=True, slots=True)
class StageMetric:
    """A number that a step reported."""

    run_id: str
    stage: str
    name: str
    value: float
    unit: str


@record(frozen=True, slots=True)
class StageCallsMerged:
    """Of a stage's `calls`, `shared` were served together with calls of other stages or runs."""

    run_id: str
    stage: str
    calls: int
    shared: int


@record(frozen=True, slots=True)
class PluginReady:
    """A plugin's process was started."""

    run_id: str
    plugin: str
    pid: int
    duration_s: float


@record(frozen=True, slots=True)
class PluginEnded:
    """A plugin's process ended without being asked to."""

    run_id: str
    plugin: str
    reason: str


@record(frozen=True, slots=True)
class PluginLine:
    """A line that a plugin's process wrote to stdout or stderr."""

    run_id: str
    plugin: str
    stream: str
    line: str


@record(frozen=True, slots=True)
class TurnFinished:
    """A turn that had rows, or records to reject, was processed and committed. `rows` were read from streams
    in `duration_s`, the reading not counted. `positions` is how far the streams count as read, by stage;
    `lags` how many rows wait there, None for a stream that does not know."""

    run_id: str
    turn: int
    rows: int
    duration_s: float
    positions: Mapping[str, Mapping[str, ConfigValue]]
    lags: Mapping[str, int | None]
    at: float


@record(frozen=True, slots=True)
class RunFinished:
    """`rows` went into sinks and final steps; `bytes_scanned` is what all stages read from files. `turns` are
    those that had rows, None for a run that reads no streams."""

    run_id: str
    status: RunStatus
    duration_s: float
    rows: int
    message: str | None = None
    bytes_scanned: int = 0
    turns: int | None = None


Event: TypeAlias = (
    RunStarted
    | StageStarted
    | StageProgress
    | StageFinished
    | StageTaken
    | StepRetried
    | RowsRejected
    | HandlerRan
    | OutputWritten
    | RunWarning
    | StageLogged
    | StatementAsked
    | CallProgress
    | StageMetric
    | StageCallsMerged
    | PluginReady
    | PluginEnded
    | PluginLine
    | TurnFinished
    | RunFinished
)
Listener: TypeAlias = Callable[[Event], None]
