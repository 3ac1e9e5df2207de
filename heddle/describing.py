"""Asking services, while a program is checked, what only they know: the columns of what a step reads, and
whether a resource is there.

`Describer.row` is asked by the catalog for one call after the other; it starts the step's plugin, opens the
resources and calls the step's `infer`. What cannot be had is an answer without a row, with its reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Self

from heddle.catalog_problems import UNANSWERED
from heddle.core.config import ConfigValue
from heddle.core.record import record
from heddle.core.signature import ModuleSignature, StepSignature
from heddle.core.types import RowType
from heddle.diagnostics import Diagnostic, Source
from heddle.frontend.catalog import AskedCall
from heddle.frontend.typed import ConfigData, ResourceUse, TypedProgram
from heddle.lockfile import FILE_NAME, asked_settings, lock_key
from heddle.secrets import ConfigPlace, Masker, References, SecretStore, UnresolvedValue, resolve_config
from heddle.udf_bridge.plugins import Plugins
from heddle.udf_bridge.transport import (
    Report,
    ResourceBinding,
    StepBinding,
    StepFailure,
    StepSession,
    StepTransport,
)

UNHEALTHY: Final = "HD0415"


@record(frozen=True, slots=True)
class Answer:
    """What a service said of one call. `label` names the call for people; without a `row`, `problems` say
    why, as errors."""

    key: str
    label: str
    asked: Mapping[str, ConfigValue]
    row: RowType | None
    problems: tuple[Diagnostic, ...] = ()


class Describer:
    """Asks each thing once. Close it: its resources stay open until then."""

    def __init__(
        self,
        plugins: Plugins,
        secrets: SecretStore,
        environ: Mapping[str, str],
        masker: Masker,
        base: Path,
        notify: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`notify` is told what is asked."""
        self._plugins = plugins
        self._secrets = secrets
        self._environ = environ
        self._masker = masker
        self._base = base
        self._notify = notify
        self._transport: StepTransport | None = None
        self._sessions: list[StepSession] = []
        self.answers: dict[str, Answer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        while self._sessions:
            self._sessions.pop().close()
        if self._transport is not None:
            self._transport.close()

    def row(
        self,
        module: ModuleSignature,
        step: StepSignature,
        config: Mapping[str, ConfigData],
        input_row: RowType | None,
        call: AskedCall,
    ) -> Answer:
        key = lock_key(module, step, config, input_row)
        if key not in self.answers:
            line = call.source.position(call.span.start).line
            label = f"{module.path}.{step.name} at {call.source.path}:{line}"
            found: list[Diagnostic] = []
            row = self._row(module, step, config, input_row, call, found)
            asked = asked_settings(step, config)
            self.answers[key] = Answer(key, label, asked, row, tuple(found))
        return self.answers[key]

    def health(self, program: TypedProgram) -> dict[str, Diagnostic | None]:
        """What is wrong with each resource of a program; None where nothing is."""
        parameters = {name: p.value for name, p in program.parameters.items() if p.bound}
        result: dict[str, Diagnostic | None] = {}
        for use in program.resources.values():
            found: list[Diagnostic] = []
            binding = self._resource(use, self._references(parameters), program.source, found)
            if not found:
                found += self._health(binding, use, program.source)
            result[use.name] = found[0] if found else None
        return result

    def _health(self, binding: ResourceBinding, use: ResourceUse, source: Source) -> list[Diagnostic]:
        try:
            problem = self._plugins.health(binding, str(self._base))
        except StepFailure as failure:
            problem = failure.message
        if problem is None:
            return []
        message = f"the resource `{use.name}` cannot do its work: {self._masker.mask(problem)}"
        help = "start the service, or correct the settings of the resource"
        return [Diagnostic(UNHEALTHY, "error", message, source, use.span, help)]

    def _row(
        self,
        module: ModuleSignature,
        step: StepSignature,
        config: Mapping[str, ConfigData],
        input_row: RowType | None,
        call: AskedCall,
        found: list[Diagnostic],
    ) -> RowType | None:
        references = self._references(call.parameters)
        place = ConfigPlace(f"`{call.callee}`", call.source, call.span, call.spans)
        values, problems = resolve_config(config, step.config, references, place)
        found += problems
        resources = {
            slot: self._resource(use, references, call.source, found) for slot, use in call.resources.items()
        }
        if found:
            return None
        binding = StepBinding(call.callee, module, step, values, resources, str(self._base), None)
        self._notify(f"asking for the columns of `{call.callee}`")
        try:
            session = self._steps().open(binding, _unheard)
            self._sessions.append(session)
            return session.infer(input_row)
        except StepFailure as failure:
            found.append(self._unanswered(call, failure))
            return None

    def _unanswered(self, call: AskedCall, failure: StepFailure) -> Diagnostic:
        message = (
            f"the columns of `{call.callee}` could not be asked for: {self._masker.mask(failure.message)}"
        )
        help = f"what {FILE_NAME} says of it stays as it is; start the service, or correct the settings"
        return Diagnostic(UNANSWERED, "error", message, call.source, call.span, help)

    def _resource(
        self, use: ResourceUse, references: References, source: Source, found: list[Diagnostic]
    ) -> ResourceBinding:
        place = ConfigPlace(f"the resource `{use.name}`", source, use.span, use.config_spans)
        values, problems = resolve_config(use.config, use.signature.config, references, place)
        found += problems
        return ResourceBinding(use.name, use.module, use.signature.name, values)

    def _references(self, parameters: Mapping[str, ConfigData]) -> References:
        return References(self._environ, self._secrets, _Values(parameters), self._masker)

    def _steps(self) -> StepTransport:
        if self._transport is None:
            self._transport = self._plugins.transport(
                inline=False, holds_secret=lambda text: self._masker.mask(text) != text
            )
        return self._transport


class _Values(dict[str, ConfigData]):
    """The values of parameters; one that has none cannot be resolved."""

    def __missing__(self, name: str) -> ConfigData:
        raise UnresolvedValue(
            "HD0902", f"the parameter `@{name}` has no value", f"give it one: --param {name}=…"
        )


def _unheard(told: Report) -> None:
    """What a plugin says while it is asked is for the run's log."""
