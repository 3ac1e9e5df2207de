"""How the executor reaches a step, whatever process or host it runs in.

The executor opens a `StepSession` per step call of a run and invokes it with batches; behind it stands
the engine's own process (`inline.py`) or a plugin's (`remote.py`). Values are Arrow, configs are resolved
plain data, failures are the two exceptions below, and what is worth telling on the way is a `Report`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature
from heddle.core.types import RowType

if TYPE_CHECKING:
    from heddle.core.link import Link
    from heddle.core.report import StepReport
    from heddle.core.step import RejectedRows, Turn


@record(frozen=True, slots=True)
class ResourceBinding:
    """A resource to open: `name` is the program's, `type` the module's. Equal bindings share one instance."""

    name: str
    module: ModuleSignature
    type: str
    config: Mapping[str, ConfigValue]


@record(frozen=True, slots=True)
class Batching:
    """How many rows of calls that arrive together may be merged into one, and how long a call may wait for
    others. 0 seconds: calls are merged only while they wait anyway."""

    max_rows: int
    max_wait_s: float


@record(frozen=True, slots=True)
class StepBinding:
    """Everything that makes a step callable. `base` is the program's folder, for relative paths; without
    `batching` its calls are never merged with those of others, without `link` it stands in no chain.
    `parameters` are the run's values of parameters in its statements. `columns` are what a source is wanted
    to give where `output` is not known (see `wanted_columns`)."""

    path: str
    module: ModuleSignature
    signature: StepSignature
    config: Mapping[str, ConfigValue]
    resources: Mapping[str, ResourceBinding]
    base: str
    output: pa.Schema | None
    batching: Batching | None = None
    link: Link | None = None
    parameters: Mapping[str, ConfigValue] = field(default_factory=dict)
    columns: pa.Schema | None = None


OnCancel: TypeAlias = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes what to call when the run is cancelled, and gives back how to take that back."""


@record(frozen=True, slots=True)
class CallContext:
    """What a call may know about its run. `deadline_s` counts from the call's begin. `cancelled` may be
    asked at any time. `turn` is that of a stream that is read. A call with an `operation` asks for something
    other than rows; `argument` is JSON data."""

    run_id: str
    workflow: str
    step: str
    attempt: int
    idempotency_key: str | None
    deadline_s: float | None
    cancelled: Callable[[], bool]
    on_cancel: OnCancel
    turn: Turn | None = None
    operation: str = ""
    argument: ConfigValue = None


@record(frozen=True, slots=True)
class CallsMerged:
    """Of a session's `calls`, `shared` were served together with calls of others."""

    calls: int
    shared: int


@record(frozen=True, slots=True)
class PluginOutput:
    """A line that a plugin's process wrote to stdout or stderr."""

    plugin: str
    stream: Literal["stdout", "stderr"]
    line: str


@record(frozen=True, slots=True)
class PluginStarted:
    plugin: str
    pid: int
    duration_s: float


@record(frozen=True, slots=True)
class PluginStopped:
    """A plugin's process ended without being asked; `reason` is for people."""

    plugin: str
    reason: str


Report: TypeAlias = "StepReport | CallsMerged | PluginOutput | PluginStarted | PluginStopped"
Reporter: TypeAlias = Callable[[Report], None]
"""Called from any thread."""


@record(frozen=True, slots=True)
class Rejection:
    """Rows of one call that the step refused: `rows` are indices into the call's input."""

    rows: pa.Array
    reason: str
    error_type: str = "Rejected"


@record(frozen=True, slots=True)
class CallResult:
    """`output` is None for a sink without output. For `map` steps it has one row for each row that
    was not rejected, in order; `kept` then holds their indices into the input, or None when all were kept."""

    output: pa.Table | None
    rejections: tuple[Rejection, ...] = ()
    kept: pa.Array | None = None


class StepFailure(Exception):
    """A step's own exception, with what a user needs of it. `error_type` is the exception's class name."""

    def __init__(self, message: str, error_type: str, stack_trace: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.error_type = error_type
        self.stack_trace = stack_trace
        self.transient = transient


class StepContractError(StepFailure):
    """A step returned what its signature does not allow (columns, types, number of rows)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "ContractError", "")


class StepSession(Protocol):
    """One step of one run, opened: its resources are open, its config is bound."""

    @property
    def keeps_deadlines(self) -> bool:
        """Whether a call ends when its deadline has passed; else the caller must abandon it."""
        ...

    def invoke(self, input: pa.Table | None, context: CallContext) -> CallResult:
        """Call the step with one batch (or the whole table). Raises `StepFailure`.

        Thread-safe: the executor may have several calls under way.
        """
        ...

    def batches(
        self, context: CallContext, refused: list[RejectedRows] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a step without input. What it read and could not make rows of is appended to
        `refused`, at the latest before the iterator ends. Raises `StepFailure`."""
        ...

    def ask(self, operation: str, argument: ConfigValue, context: CallContext) -> ConfigValue:
        """What the step answers to an operation: "commit" and "abort" of a writer; "position", "commit" (of a
        position) and "close" of a stream; "estimate". Raises `StepFailure`."""
        ...

    def infer(self, input: RowType | None) -> RowType:
        """The output's row for the step's settings, which a service may have to be asked for. Raises
        `StepFailure`."""
        ...

    def close(self) -> None: ...


@record(frozen=True, slots=True)
class ChainEnd:
    """`output` is the table behind the first `done` steps of a chain, exactly as their links say. Where
    that is not all of them, the next one did not do what its link says, or failed with `failure`; it must be
    called by itself."""

    done: int
    output: pa.Table
    failure: StepFailure | None = None


class ChainSession(Protocol):
    """Steps of one plugin that run one behind the other in one call."""

    def run(self, input: pa.Table, contexts: Sequence[CallContext], reports: Sequence[Reporter]) -> ChainEnd:
        """`contexts` and `reports` are those of the steps. Raises `StepFailure` when the call failed as a
        whole.

        Thread-safe.
        """
        ...

    def close(self) -> None: ...


class ChainRefused(Exception):
    """A step of a chain, counted from 0, could not be opened."""

    def __init__(self, member: int, failure: StepFailure) -> None:
        super().__init__(failure.message)
        self.member = member
        self.failure = failure


class StepTransport(Protocol):
    """How the steps of one run are reached."""

    def open(self, binding: StepBinding, report: Reporter) -> StepSession:
        """Raises `StepFailure` when a resource cannot be opened."""
        ...

    def open_chain(self, bindings: Sequence[StepBinding], report: Reporter) -> ChainSession | None:
        """Several steps of one module as one; their bindings have links. `report` is told of the plugin. None
        when whoever runs the steps knows no chains. Raises `ChainRefused`."""
        ...

    def close(self) -> None:
        """Give back every resource that was opened."""
        ...


class NoTransport:
    """The transport of a run whose plan has no steps."""

    def open(self, binding: StepBinding, report: Reporter) -> StepSession:
        raise AssertionError(f"the plan has no step, so `{binding.path}` cannot be one")

    def open_chain(self, bindings: Sequence[StepBinding], report: Reporter) -> ChainSession | None:
        raise AssertionError("the plan has no step")

    def close(self) -> None:
        """Nothing was opened."""


class Endpoint(Protocol):
    """Where a step's function runs: it gets tables and gives what the function gave, unchecked."""

    @property
    def keeps_deadlines(self) -> bool: ...

    def call(
        self, input: pa.Table | None, context: CallContext, refused: list[RejectedRows]
    ) -> Iterator[pa.Table]:
        """The tables that the function returned or yielded, none for a sink. Rows that it rejected are
        appended to `refused`, at the latest before the iterator ends. Raises `StepFailure`."""
        ...

    def ask(self, context: CallContext) -> ConfigValue:
        """The answer to the context's operation. Raises `StepFailure`."""
        ...

    def infer(self, input: RowType | None) -> RowType:
        """The output's row for the step's settings. Raises `StepFailure`."""
        ...

    def close(self) -> None: ...
