"""How the executor reaches a step, whatever process or host it runs in.

The executor opens a `StepSession` per step call of a run and invokes it with batches; the
implementation behind it (`inline.py`: this process) is chosen by the engine. Values are Arrow,
configs are resolved plain data, and failures are the two exceptions below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature


@record(frozen=True, slots=True)
class ResourceBinding:
    """A resource to open: `name` is the program's, `type` the module's. Equal bindings share one instance."""

    name: str
    module: ModuleSignature
    type: str
    config: Mapping[str, ConfigValue]


@record(frozen=True, slots=True)
class StepBinding:
    """Everything that makes a step callable. `base` is the program's folder, for relative paths."""

    path: str
    module: ModuleSignature
    signature: StepSignature
    config: Mapping[str, ConfigValue]
    resources: Mapping[str, ResourceBinding]
    base: str
    output: pa.Schema | None


@record(frozen=True, slots=True)
class CallContext:
    """What a call may know about its run. `cancelled` may be asked at any time."""

    run_id: str
    workflow: str
    step: str
    attempt: int
    idempotency_key: str | None
    deadline_s: float | None
    cancelled: Callable[[], bool]


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

    def invoke(self, input: pa.Table | None, context: CallContext) -> CallResult:
        """Call the step with one batch (or the whole table). Raises `StepFailure`.

        Thread-safe: the executor may have several calls under way.
        """
        ...

    def batches(self, context: CallContext) -> Iterator[pa.RecordBatch]:
        """The rows of a step without input. Raises `StepFailure`."""
        ...

    def close(self) -> None: ...


class StepTransport(Protocol):
    def open(self, binding: StepBinding) -> StepSession:
        """Raises `StepFailure` when a resource cannot be opened."""
        ...

    def close(self) -> None:
        """Close every resource that was opened."""
        ...


class NoTransport:
    """The transport of a run whose plan has no steps."""

    def open(self, binding: StepBinding) -> StepSession:
        raise AssertionError(f"the plan has no step, so `{binding.path}` cannot be one")

    def close(self) -> None:
        """Nothing was opened."""
