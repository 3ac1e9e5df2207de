"""Steps inside the engine's process.

`InlineTransport` opens a step's resources once, `InlineSession` calls its function with `Table`s and checks
what comes back against the contract. Whatever user code raises leaves here as a `StepFailure`.
"""

from __future__ import annotations

import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from heddle.core.signature import ModuleSignature, StepSignature
from heddle.core.step import StepContext, Transient
from heddle.core.table import Table, TableError, arrow_table
from heddle.sdk.binding import StepFunction
from heddle.sdk.loader import LoadedModule, loaded
from heddle.udf_bridge.contract import Contract, PinnedSchema
from heddle.udf_bridge.transport import (
    CallContext,
    CallResult,
    ResourceBinding,
    StepBinding,
    StepContractError,
    StepFailure,
)
from heddle.udf_bridge.user_output import divert_stdout, restore_stdout

ENGINE_FOLDER = Path(__file__).parents[1]
LOG = logging.getLogger("heddle.udf_bridge")

Modules = Callable[[ModuleSignature], LoadedModule]
"""From a signature in a typed program to the code that it was made of."""


@runtime_checkable
class Closeable(Protocol):
    """A resource need not be a `Resource`; whatever has `close` is closed."""

    def close(self) -> None: ...


class InlineTransport:
    """`modules` finds a module's code. Close the transport when the run ends."""

    def __init__(self, modules: Modules = loaded) -> None:
        self._modules = modules
        self._lock = threading.Lock()
        self._resources: dict[tuple[str, str, str, str], object] = {}
        self._stdout = divert_stdout()
        self._closed = False

    def open(self, binding: StepBinding) -> InlineSession:
        """Raises `StepFailure` when a resource cannot be opened or the step has no body."""
        name = _step_name(binding.module, binding.signature)
        function = self._modules(binding.module).steps.get(binding.signature.name)
        if function is None or function.call is None:
            raise StepFailure(
                f"`{name}` is declared but cannot run in this version of Heddle", "Unsupported", ""
            )
        resources = {slot: self._resource(bound) for slot, bound in binding.resources.items()}
        return InlineSession(binding, function, resources)

    def close(self) -> None:
        """Close the resources, the last opened first. What a `close` raises is logged."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            opened = list(self._resources.items())
            self._resources.clear()
        for (_, _, type_, _), resource in reversed(opened):
            if not isinstance(resource, Closeable):
                continue
            try:
                resource.close()
            except Exception as error:
                LOG.warning("closing the resource `%s` failed: %s", type_, error)
        restore_stdout(self._stdout)

    def _resource(self, bound: ResourceBinding) -> object:
        config = json.dumps(bound.config, sort_keys=True, default=str)
        key = (bound.module.path, bound.module.code_hash, bound.type, config)
        with self._lock:
            if key not in self._resources:
                self._resources[key] = self._opened(bound)
            return self._resources[key]

    def _opened(self, bound: ResourceBinding) -> object:
        function = self._modules(bound.module).resources[bound.type]
        where = f"the resource `{bound.name}` ({bound.module.namespace}.{bound.type})"
        if function.call is None:
            raise StepFailure(f"{where} cannot be opened in this version of Heddle", "Unsupported", "")
        try:
            return function.open(bound.config)
        except BaseException as error:
            _reraise_interrupt(error)
            raise _failure(error, f"{where} could not be opened: ") from error


class InlineSession:
    def __init__(self, binding: StepBinding, function: StepFunction, resources: Mapping[str, object]) -> None:
        self._function = function
        self._name = _step_name(binding.module, binding.signature)
        self._contract = Contract(self._name, binding.signature, binding.output)
        self._pinned = PinnedSchema() if binding.output is None else None
        self._pin_lock = threading.Lock()
        try:
            self._config = function.config(binding.config, resources)
        except Exception as error:
            raise _failure(error, f"the settings of `{self._name}` were refused: ") from error

    def invoke(self, input: pa.Table | None, context: CallContext) -> CallResult:
        if input is None:
            return self._invoke_without_input(context)
        prepared = self._contract.prepare(arrow_table(input))
        empty = self._contract.empty_result(prepared)
        if empty is not None:
            return empty
        step_context = _step_context(context, prepared.table.num_rows)
        table = self._function.input_class.from_arrow(prepared.table)
        returned = self._called(table, step_context)
        result = self._contract.finish(prepared, returned, step_context.rejections)
        return CallResult(self._pin(result.output), result.rejections, result.kept)

    def batches(self, context: CallContext) -> Iterator[pa.RecordBatch]:
        """The rows of a step without input, as they are made."""
        step_context = _step_context(context, 0)
        output: pa.Table | None = None
        for table in self._stream(self._entered(None, step_context)):
            output = self._pin(self._contract.source_rows(table))
            yield from output.to_batches() if output is not None else ()
        if output is None:
            yield self._contract.no_rows()
        elif not output.num_rows and not output.to_batches():
            yield pa.RecordBatch.from_pylist([], schema=output.schema)

    def close(self) -> None:
        """The resources stay open for the run's other steps; the transport closes them."""

    def _invoke_without_input(self, context: CallContext) -> CallResult:
        if self._contract.signature.output is None:
            self._entered(None, _step_context(context, 0))
            return CallResult(None)
        batches = list(self.batches(context))
        schema = batches[0].schema if batches else self._contract.output
        return CallResult(pa.Table.from_batches(batches, schema=schema))

    def _entered(self, table: Table | None, context: StepContext) -> object:
        """The door to user code: what it raises becomes a `StepFailure`."""
        try:
            return self._function.invoke(self._config, table, context)
        except BaseException as error:
            _reraise_interrupt(error)
            raise _failure(error) from error

    def _called(self, table: Table, context: StepContext) -> pa.Table | None:
        returned = self._entered(table, context)
        if returned is None:
            return None
        if isinstance(returned, Iterator):
            parts = list(self._stream(returned))
            return pa.concat_tables(parts, promote_options="permissive") if parts else None
        return self._arrow(returned)

    def _stream(self, returned: object) -> Iterator[pa.Table]:
        if not isinstance(returned, Iterator):
            if isinstance(returned, list | tuple):
                returned = iter(returned)
            elif returned is None:
                raise StepContractError(
                    f"`{self._name}` returned None where a table is wanted; end it with `return` or `yield`"
                )
            else:
                yield self._arrow(returned)
                return
        while True:
            try:
                item = next(returned)
            except StopIteration:
                return
            except BaseException as error:
                _reraise_interrupt(error)
                raise _failure(error) from error
            yield self._arrow(item)

    def _arrow(self, returned: object) -> pa.Table:
        """What a function returned as an Arrow table."""
        try:
            return arrow_table(returned)
        except (TypeError, pa.ArrowInvalid) as error:
            raise StepContractError(
                f"`{self._name}` returned {_shown_type(returned)} where a Table is wanted; "
                "make one with Table.from_arrow, from_pandas or from_polars"
            ) from error

    def _pin(self, output: pa.Table | None) -> pa.Table | None:
        if self._pinned is None or output is None:
            return output
        with self._pin_lock:
            return self._pinned.conform(self._name, output)


def _step_name(module: ModuleSignature, signature: StepSignature) -> str:
    return f"{module.namespace.removeprefix('./')}.{signature.name}"


def _step_context(context: CallContext, row_count: int) -> StepContext:
    return StepContext(
        run_id=context.run_id,
        workflow=context.workflow,
        step=context.step,
        attempt=context.attempt,
        idempotency_key=context.idempotency_key,
        deadline=context.deadline_s,
        cancelled=context.cancelled,
        row_count=row_count,
    )


def _reraise_interrupt(error: BaseException) -> None:
    """^C arrives in the main thread only; there, and for a generator that is being closed, it goes on."""
    if isinstance(error, GeneratorExit):
        raise error
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error


def _failure(error: BaseException, prefix: str = "") -> StepFailure:
    if isinstance(error, StepFailure):
        return error
    if isinstance(error, TableError):
        return StepContractError(f"{prefix}{error}")
    name = type(error).__name__
    message = str(error) or name
    if isinstance(error, SystemExit):
        message = f"it called sys.exit({error.code!r})"
    return StepFailure(f"{prefix}{message}", name, stack_trace_of(error), transient=is_transient(error))


def is_transient(error: BaseException) -> bool:
    """Whether another attempt may succeed: connection errors, time-outs, and what is marked so."""
    marked = getattr(error, "transient", False) is True
    return marked or isinstance(error, Transient | ConnectionError | TimeoutError)


def stack_trace_of(error: BaseException) -> str:
    """The stack trace without the engine's own frames, causes included."""
    summary = traceback.TracebackException.from_exception(error)
    pending: list[Any] = [summary]
    while pending:
        current = pending.pop()
        user = [frame for frame in current.stack if ENGINE_FOLDER not in Path(frame.filename).parents]
        current.stack = traceback.StackSummary.from_list(user)
        pending += [part for part in (current.__cause__, current.__context__) if part is not None]
    return "".join(summary.format())


def _shown_type(value: object) -> str:
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
