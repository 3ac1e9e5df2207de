"""A loaded module at work: resources opened, steps bound and called.

The plugin process and the engine's inline steps both run user code through here, so a step behaves the same
in either. Whatever user code raises leaves as a `StepError`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeVar, runtime_checkable

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.failure import StepError, contract_error, failure_of
from heddle.core.signature import StepSignature
from heddle.core.step import StepContext
from heddle.core.table import Table, arrow_table
from heddle.core.types import RowType
from heddle.sdk.binding import StepFunction, inferred_row
from heddle.sdk.loaded import LoadedModule
from heddle.sdk.settings import checked_settings

Value = TypeVar("Value")


@runtime_checkable
class _Closeable(Protocol):
    """A resource need not be a `Resource`; whatever has `close` is closed."""

    def close(self) -> None: ...


@runtime_checkable
class _Checkable(Protocol):
    def health(self) -> str | None: ...


class ModuleRuntime:
    """Every method raises `StepError`. Thread-safe."""

    def __init__(self, module: LoadedModule) -> None:
        self.module = module
        self._namespace = module.signature.namespace.removeprefix("./")

    def open_resource(self, type: str, config: Mapping[str, ConfigValue], base: str = ".") -> object:
        """A resource by the name of its type; `base` is the program's folder. Settings that do not fit are
        refused before user code runs."""
        name = f"{self._namespace}.{type}"
        function = self.module.resources.get(type)
        if function is None:
            raise _unknown(f"the module `{self._namespace}` has no resource `{type}`")
        if function.call is None:
            raise _unsupported(f"the resource `{name}`")
        signature = function.signature
        settings = checked_settings(config, signature.config, open=signature.config_open)
        return user_code(lambda: function.open(settings, base))

    def check_resource(self, resource: object) -> str | None:
        """None when the resource can do its work, else what is wrong."""
        if not isinstance(resource, _Checkable):
            return None
        return user_code(resource.health) or None

    def close_resource(self, resource: object) -> None:
        if not isinstance(resource, _Closeable):
            return
        user_code(resource.close)

    def bind(
        self, step: str, config: Mapping[str, ConfigValue], resources: Mapping[str, object]
    ) -> BoundStep:
        """A step with its settings and its open resources, by slot."""
        function = self.module.steps.get(step)
        if function is None:
            raise _unknown(f"the module `{self._namespace}` has no step `{step}`")
        name = f"{self._namespace}.{step}"
        if function.call is None:
            raise _unsupported(f"the step `{name}`")
        signature = function.signature
        self._check_slots(signature, resources, name)
        settings = checked_settings(config, signature.config, open=signature.config_open)
        try:
            made = function.config(settings, resources)
        except Exception as error:
            raise failure_of(error, "config") from error
        return _bound(name, function, made)

    def _check_slots(self, signature: StepSignature, resources: Mapping[str, object], name: str) -> None:
        for slot in signature.slots:
            if slot.required and slot.name not in resources:
                raise StepError(
                    "config",
                    f"`{name}` needs a resource in its slot `{slot.name}` ({slot.resource})",
                    "ConfigError",
                )


def _bound(name: str, function: StepFunction, config: object) -> BoundStep:
    signature = function.signature
    if not signature.stateful:
        return BoundStep(name, function, config)
    from heddle.sdk.bound_flows import BoundStream, BoundWriter

    return (BoundWriter if signature.writer else BoundStream)(name, function, config)


class BoundStep:
    """A step ready to be called, by several threads at once. `name` stands in messages."""

    def __init__(self, name: str, function: StepFunction, config: object) -> None:
        self.name = name
        self.signature = function.signature
        self._function = function
        self._config = config

    def call(self, input: pa.Table | None, context: StepContext) -> Iterator[pa.Table]:
        """What the function returned or yielded, as Arrow tables; nothing when it returned None."""
        try:
            yield from self._tables(input, context)
        except StepError as failure:
            if context.cancelled:
                failure.kind = "cancelled"
            raise

    @property
    def busy(self) -> bool:
        """Whether something of a run is open between its calls, so that the resources must stay."""
        return False

    def ask(self, operation: str, argument: ConfigValue, context: StepContext) -> ConfigValue:
        """The answer to what is asked of the step beside its rows."""
        estimate = self._function.estimate
        if operation == "estimate" and estimate is not None:
            return user_code(lambda: estimate(self._config))
        raise StepError("unsupported", f"`{self.name}` does not know `{operation}`", "Unsupported")

    def close(self) -> None:
        """End what is open."""

    def infer(self, input: RowType) -> RowType:
        """The output's row for these settings."""
        function = self._function
        if function.infer is None:
            raise StepError(
                "unsupported", f"`{self.name}` does not say which columns its settings make", "Unsupported"
            )
        infer = function.infer
        return user_code(lambda: inferred_row(infer, self._config, input, f"`{self.name}`"))

    def _tables(self, input: pa.Table | None, context: StepContext) -> Iterator[pa.Table]:
        returned = self._entered(input, context)
        if input is None and self.signature.output is None:
            return
        if returned is None:
            if input is None:
                raise contract_error(
                    f"`{self.name}` returned None where a table is wanted; end it with `return` or `yield`"
                )
            return
        yield from self._tables_of(returned, input)

    def _tables_of(self, returned: object, input: pa.Table | None) -> Iterator[pa.Table]:
        if input is None and isinstance(returned, list | tuple):
            returned = iter(returned)
        if not isinstance(returned, Iterator):
            yield self._arrow(returned)
            return
        while True:
            try:
                item = next(returned)
            except StopIteration:
                return
            except BaseException as error:
                _reraise_interrupt(error)
                raise failure_of(error) from error
            yield self._arrow(item)
            del item

    def _entered(self, input: pa.Table | None, context: StepContext) -> object:
        """The door to user code."""

        def entered() -> object:
            table: Table | None = None
            if input is not None:
                table = self._function.input_class.from_arrow(input)
            return self._function.invoke(self._config, table, context)

        return user_code(entered)

    def _arrow(self, returned: object) -> pa.Table:
        try:
            return arrow_table(returned)
        except (TypeError, pa.ArrowInvalid) as error:
            raise contract_error(
                f"`{self.name}` returned {_shown_type(returned)} where a Table is wanted; "
                "make one with Table.from_arrow, from_pandas or from_polars"
            ) from error


def user_code(call: Callable[[], Value]) -> Value:
    """What user code gives. Raises `StepError` for whatever it raises."""
    try:
        return call()
    except BaseException as error:
        _reraise_interrupt(error)
        raise failure_of(error) from error


def _reraise_interrupt(error: BaseException) -> None:
    """^C arrives in the main thread only; there, and for a generator that is being closed, it goes on."""
    if isinstance(error, GeneratorExit):
        raise error
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error


def _unsupported(what: str) -> StepError:
    return StepError("unsupported", f"{what} is declared but has no body", "Unsupported")


def _unknown(message: str) -> StepError:
    return StepError("protocol", message, "NotFound")


def _shown_type(value: object) -> str:
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
