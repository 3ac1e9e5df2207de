"""Steps inside the engine's process: `std`, and the Python modules of a run that asks for it.

`InlineTransport` opens a step's resources once a run; the SDK's runtime calls the functions, as it does in
a plugin's process.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.failure import CONTRACT, StepError
from heddle.core.signature import ModuleSignature
from heddle.core.step import RejectedRows, StepContext
from heddle.core.types import OPEN_ROW, RowType
from heddle.sdk.chain import Member, run_chain
from heddle.sdk.loader import LoadedModule, loaded
from heddle.sdk.runtime import BoundStep, ModuleRuntime
from heddle.udf_bridge.session import ContractedSession
from heddle.udf_bridge.transport import (
    CallContext,
    ChainEnd,
    ChainRefused,
    Reporter,
    ResourceBinding,
    StepBinding,
    StepContractError,
    StepFailure,
)
from heddle.udf_bridge.user_output import divert_stdout, restore_stdout

LOG = logging.getLogger("heddle.udf_bridge")

Modules: TypeAlias = Callable[[ModuleSignature], LoadedModule]
"""From a signature in a typed program to the code that it was made of."""


@dataclass
class _Module:
    """A module at work, with the resources that a run has opened in it, by type and settings."""

    runtime: ModuleRuntime
    resources: dict[tuple[str, str], object] = field(default_factory=dict)


class InlineTransport:
    """`modules` finds a module's code. Close the transport when the run ends."""

    def __init__(self, modules: Modules = loaded) -> None:
        self._find = modules
        self._lock = threading.Lock()
        self._modules: dict[tuple[str, str], _Module] = {}
        self._stdout = divert_stdout()
        self._closed = False

    def open(self, binding: StepBinding, report: Reporter) -> ContractedSession:
        """Raises `StepFailure` when a resource cannot be opened or the step has no body."""
        return ContractedSession(binding, InlineEndpoint(self._bound(binding), binding, report))

    def open_chain(self, bindings: Sequence[StepBinding], report: Reporter) -> InlineChain:
        """Raises `ChainRefused`."""
        steps: list[BoundStep] = []
        for number, binding in enumerate(bindings):
            try:
                steps.append(self._bound(binding))
            except StepFailure as failure:
                raise ChainRefused(number, failure) from failure
        return InlineChain(bindings, steps)

    def close(self) -> None:
        """Close the resources, the last opened first. What a `close` raises is logged."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            modules = list(self._modules.values())
            self._modules.clear()
        for module in reversed(modules):
            for (type_, _), resource in reversed(module.resources.items()):
                try:
                    module.runtime.close_resource(resource)
                except StepError as error:
                    LOG.warning("closing the resource `%s` failed: %s", type_, error)
        restore_stdout(self._stdout)

    def _bound(self, binding: StepBinding) -> BoundStep:
        module = self._module(binding.module)
        resources = {slot: self._resource(bound, binding.base) for slot, bound in binding.resources.items()}
        try:
            return module.runtime.bind(binding.signature.name, binding.config, resources)
        except StepError as error:
            refused = error.kind == "config"
            name = f"{binding.module.namespace.removeprefix('./')}.{binding.signature.name}"
            prefix = f"the settings of `{name}` were refused: " if refused else ""
            raise step_failure(error, prefix) from error

    def _module(self, signature: ModuleSignature) -> _Module:
        key = (signature.path, signature.code_hash)
        with self._lock:
            if key not in self._modules:
                self._modules[key] = _Module(ModuleRuntime(self._find(signature)))
            return self._modules[key]

    def _resource(self, bound: ResourceBinding, base: str) -> object:
        module = self._module(bound.module)
        key = (bound.type, json.dumps([bound.config, base], sort_keys=True, default=str))
        with self._lock:
            if key not in module.resources:
                try:
                    module.resources[key] = module.runtime.open_resource(bound.type, bound.config, base)
                except StepError as error:
                    where = f"the resource `{bound.name}` ({bound.module.namespace}.{bound.type})"
                    raise step_failure(error, f"{where} could not be opened: ") from error
            return module.resources[key]


class InlineEndpoint:
    """Implements `Endpoint`. A call cannot be stopped, so it is abandoned when its deadline has passed."""

    keeps_deadlines = False

    def __init__(self, step: BoundStep, binding: StepBinding, report: Reporter) -> None:
        self._step = step
        self._binding = binding
        self._report = report

    def call(
        self, input: pa.Table | None, context: CallContext, refused: list[RejectedRows]
    ) -> Iterator[pa.Table]:
        rows = input.num_rows if input is not None else 0
        step_context = self._context(context, rows)
        try:
            yield from self._step.call(input, step_context)
        except StepError as error:
            raise step_failure(error) from error
        finally:
            refused += step_context.rejections

    def ask(self, context: CallContext) -> ConfigValue:
        try:
            step_context = self._context(context, 0)
            return self._step.ask(context.operation, context.argument, step_context)
        except StepError as error:
            raise step_failure(error) from error

    def infer(self, input: RowType | None) -> RowType:
        try:
            return self._step.infer(input or OPEN_ROW)
        except StepError as error:
            raise step_failure(error) from error

    def close(self) -> None:
        """The resources stay open for the run's other steps; the transport closes them."""

    def _context(self, context: CallContext, rows: int) -> StepContext:
        return _step_context(context, rows, self._binding, self._report)


class InlineChain:
    """Implements `ChainSession`."""

    def __init__(self, bindings: Sequence[StepBinding], steps: Sequence[BoundStep]) -> None:
        self._bindings = bindings
        self._steps = steps

    def run(self, input: pa.Table, contexts: Sequence[CallContext], reports: Sequence[Reporter]) -> ChainEnd:
        members = list(map(_member, self._bindings, self._steps, contexts, reports))
        end = run_chain(members, input, contexts[0].cancelled)
        return ChainEnd(end.done, end.table, None if end.failure is None else step_failure(end.failure))

    def close(self) -> None:
        """The resources stay open for the run's other steps; the transport closes them."""


def _member(binding: StepBinding, step: BoundStep, context: CallContext, report: Reporter) -> Member:
    assert binding.link is not None, "a step of a chain has a link"
    return Member(step, binding.link, lambda rows: _step_context(context, rows, binding, report))


def _step_context(context: CallContext, rows: int, binding: StepBinding, report: Reporter) -> StepContext:
    return StepContext(
        run_id=context.run_id,
        workflow=context.workflow,
        step=context.step,
        attempt=context.attempt,
        idempotency_key=context.idempotency_key,
        deadline=context.deadline_s,
        cancelled=context.cancelled,
        row_count=rows,
        base=binding.base,
        tell=report,
        parameters=binding.parameters,
        columns=binding.output if binding.signature.input_mode == "none" else None,
        turn=context.turn,
    )


def step_failure(error: StepError, prefix: str = "") -> StepFailure:
    """A failure of user code, as the executor takes it."""
    if error.error_type == CONTRACT:
        return StepContractError(f"{prefix}{error.message}")
    return StepFailure(
        f"{prefix}{error.message}", error.error_type, error.stack_trace, transient=error.transient
    )
