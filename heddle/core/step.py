"""What a step is given besides its rows: its settings (`StepConfig`) and its call (`StepContext`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from heddle.core import kernels as pc
from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.core.report import StepMeasured, StepProgressed, Tell
from heddle.core.resource import ResourceConfig
from heddle.core.settings import Settings

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    ResourceConfigT = TypeVar("ResourceConfigT", bound=ResourceConfig, default=Any)
else:
    from typing import TypeVar

    ResourceConfigT = TypeVar("ResourceConfigT", bound=ResourceConfig)

RowSelection: TypeAlias = Any
"""Rows of a call's input: a boolean mask with one value a row, or row numbers. Arrow, NumPy, pandas and
Polars columns and plain lists are taken."""


class Transient(Exception):
    """Raise this, or a subclass, for a failure that another attempt may cure. An exception class of your
    own may instead have the attribute `transient = True`."""

    transient = True


class StepConfig(Settings, Generic[ResourceConfigT]):
    """What a step accepts in its `{…}`: a subclass names the settings by annotations.

    `StepConfig[VaultConfig]` says in addition whose resource the step uses.
    """

    def __init__(
        self, *, resource: Any = None, resources: Mapping[str, Any] | None = None, **values: Any
    ) -> None:
        super().__init__(**values)
        self._resources = dict(resources or ({} if resource is None else {"resource": resource}))

    @property
    def resource(self) -> Any:
        """The resource of a step that has one slot. Raises `AttributeError` when it has none or several."""
        if len(self._resources) != 1:
            slots = ", ".join(f"`{slot}`" for slot in self._resources) or "none"
            raise AttributeError(f"`config.resource` needs exactly one resource; this step was given {slots}")
        return next(iter(self._resources.values()))

    @property
    def resources(self) -> Mapping[str, Any]:
        """The resources by slot."""
        return self._resources


@record(frozen=True, slots=True)
class RejectedRows:
    """One `reject` of a step: numbers of rows of the call's input, ascending; of `records` where these are
    given."""

    rows: pa.Int64Array
    reason: str
    error_type: str
    records: pa.Table | None = None


@record(frozen=True, slots=True)
class Turn:
    """How much of a stream is to be read at once: so many rows, or what comes in so many seconds."""

    max_rows: int
    max_wait_s: float


class StepContext:
    """The call: its run, what can be told of it, and the way to refuse single rows.

    `deadline` is the seconds after which the call is given up, or None; `base` is the program's folder, from
    which relative paths in settings start. `run_id`, `step` and `idempotency_key` are the same in every
    attempt; `attempt` counts from 1. `parameters` are the values of the run for those `@name` in the step's
    statements that do not come from its input. A step without input has in `columns` what the program
    expects of it, None when anything will do; a stream has its `turn`.
    """

    def __init__(
        self,
        *,
        run_id: str = "",
        workflow: str = "",
        step: str = "",
        attempt: int = 1,
        idempotency_key: str | None = None,
        deadline: float | None = None,
        cancelled: Callable[[], bool] | None = None,
        row_count: int | None = None,
        base: str = ".",
        tell: Tell | None = None,
        parameters: Mapping[str, ConfigValue] | None = None,
        columns: pa.Schema | None = None,
        turn: Turn | None = None,
    ) -> None:
        self.run_id = run_id
        self.workflow = workflow
        self.step = step
        self.attempt = attempt
        self.idempotency_key = idempotency_key
        self.deadline = deadline
        self.parameters = parameters or {}
        self.columns = columns
        self.turn = turn
        self.rejections: list[RejectedRows] = []
        self._base = base
        self._cancelled = cancelled
        self._row_count = row_count
        self._tell = tell

    @property
    def base(self) -> Path:
        return Path(self._base)

    @cached_property
    def log(self) -> logging.Logger:
        """Writes to the run's log; `extra={…}` adds fields. Any thread of the call may use it."""
        name = f"heddle.steps.{self.step or 'step'}"
        if self._tell is None:
            return logging.getLogger(name)
        from heddle.core.log import call_logger

        return call_logger(name, self._tell)

    def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """Tell how many rows are done, and of how many when that is known."""
        if self._tell is not None:
            self._tell(StepProgressed(done, total, message))

    def metric(self, name: str, value: float, unit: str = "") -> None:
        """Report a number, such as `context.metric("cache_hits", 17, "rows")`."""
        if self._tell is not None:
            self._tell(StepMeasured(name, float(value), unit))

    @property
    def cancelled(self) -> bool:
        """Whether the run is being stopped; a long call should look now and then."""
        return self._cancelled is not None and self._cancelled()

    def reject(self, rows: RowSelection, reason: str, *, error_type: str = "Rejected") -> None:
        """Refuse rows of this call's input; they go to the handler with `reason`, the others pass.

        A null in a mask refuses nothing. The function may return its result with or without the refused
        rows. Raises `ValueError` for a mask of another length and for row numbers out of range.
        """
        numbers = _row_numbers(rows, self._row_count)
        if len(numbers):
            self.rejections.append(RejectedRows(numbers, reason, error_type))

    def reject_records(self, records: pa.Table, reason: str, *, error_type: str = "Rejected") -> None:
        """Refuse what a source read but cannot make rows of, such as a message that is no JSON. It goes to
        the handler, one error row for each record, with the record as its payload."""
        if records.num_rows:
            numbers = pa.array(range(records.num_rows), pa.int64())
            self.rejections.append(RejectedRows(numbers, reason, error_type, records))


@runtime_checkable
class _ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def _row_numbers(rows: RowSelection, row_count: int | None) -> pa.Int64Array:
    column = pa.chunked_array(rows) if isinstance(rows, _ArrowStream) else pa.array(rows)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if len(column) == 0:
        return pa.array([], pa.int64())
    if pa.types.is_boolean(column.type):
        if row_count is not None and len(column) != row_count:
            raise ValueError(
                f"the mask given to `reject` has {len(column)} values, but the input has {row_count} rows"
            )
        return pc.indices_nonzero(pc.fill_null(column, False)).cast(pa.int64())
    if not pa.types.is_integer(column.type):
        raise ValueError(f"`reject` takes a boolean mask or row numbers, not {column.type} values")
    numbers = pc.unique(column.cast(pa.int64())).drop_null().sort()
    if len(numbers) and (
        numbers[0].as_py() < 0 or (row_count is not None and numbers[-1].as_py() >= row_count)
    ):
        raise ValueError(f"`reject` was given a row number that is not in 0…{(row_count or 0) - 1}")
    return numbers
