"""Before a run: every `env`, `secret` and `@parameter` that its plan needs becomes a plain value.

What cannot be had is a diagnostic at the program's own span, so nothing starts that could not finish.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from heddle.core.config import ConfigField, ConfigValue
from heddle.diagnostics import Diagnostic, Source, Span
from heddle.frontend.typed import ConfigData, ParamRef, SecretRef, StepCall, TypedProgram
from heddle.logical.plan import Op, OpId, Scan, Sink, Step
from heddle.secrets import ConfigPlace, References, resolve_config
from heddle.std.signatures import STD_MODULES
from heddle.std.stores import STORE_FIELD
from heddle.udf_bridge.transport import ResourceBinding


class ResolvedConfigs:
    """The plain configs of a run's operators; implements the executor's `ConfigResolver`."""

    def __init__(self, program: TypedProgram, references: References) -> None:
        self._program = program
        self._references = references
        self._configs: dict[tuple[OpId, str], Mapping[str, ConfigValue]] = {}
        self._parameters: dict[tuple[OpId, str], Mapping[str, ConfigValue]] = {}
        self._resources: dict[str, ResourceBinding] = {}

    def resolve(self, ops: Iterable[Op]) -> list[Diagnostic]:
        """Take the operators of one more plan; the findings are what cannot be resolved."""
        found: list[Diagnostic] = []
        for op in _each(ops):
            match op:
                case Step(call=call):
                    config = self._resolve(
                        call.config,
                        call.signature.config,
                        f"`{call.callee}`",
                        call.span,
                        call.config_spans,
                        found,
                    )
                    self._configs[op.id, op.path] = config
                    if call.parameters:
                        self._parameters[op.id, op.path] = self._statement_values(call, found)
                    for name in call.resources.values():
                        self._open(name, found)
                case Scan() | Sink():
                    fields = _std_fields(op)
                    self._configs[op.id, op.path] = self._resolve(
                        op.config, fields, f"`io.{op.step}`", op.span, {}, found
                    )
                case _:
                    continue
        return found

    def config(self, op: Scan | Step | Sink) -> Mapping[str, ConfigValue]:
        return self._configs[op.id, op.path]

    def parameters(self, op: Step) -> Mapping[str, ConfigValue]:
        return self._parameters.get((op.id, op.path), {})

    def resources(self, op: Step) -> Mapping[str, ResourceBinding]:
        return {slot: self._resources[name] for slot, name in op.call.resources.items()}

    def holds_secret(self, op: Scan | Step | Sink) -> bool:
        """Whether a value of the config is a secret, or refers to one."""
        config = op.call.config if isinstance(op, Step) else op.config
        fields = op.call.signature.config if isinstance(op, Step) else _std_fields(op)
        if any(field.secret and field.name in config for field in fields):
            return True
        text = json.dumps(self.config(op), default=str)
        return self._refers_to_secret(dict(config)) or self.masked(text) != text

    def _refers_to_secret(self, value: ConfigData) -> bool:
        match value:
            case SecretRef():
                return True
            case ParamRef(name):
                return self._refers_to_secret(self._references.parameters[name])
            case list():
                return any(self._refers_to_secret(item) for item in value)
            case dict():
                return any(self._refers_to_secret(item) for item in value.values())
            case _:
                return False

    def masked(self, text: str) -> str:
        return self._references.masker.mask(text)

    def _statement_values(self, call: StepCall, found: list[Diagnostic]) -> Mapping[str, ConfigValue]:
        from heddle.statement_values import statement_values

        values, diagnostics = statement_values(call, self._program, self._references)
        found += diagnostics
        return values

    def _open(self, name: str, found: list[Diagnostic]) -> None:
        if name in self._resources:
            return
        use = self._program.resources[name]
        config = self._resolve(
            use.config,
            use.signature.config,
            f"the resource `{name}`",
            use.span,
            use.config_spans,
            found,
        )
        self._resources[name] = ResourceBinding(name, use.module, use.signature.name, config)

    def _resolve(
        self,
        config: Mapping[str, ConfigData],
        fields: tuple[ConfigField, ...],
        owner: str,
        span: Span,
        spans: Mapping[str, Span],
        found: list[Diagnostic],
    ) -> Mapping[str, ConfigValue]:
        place = ConfigPlace(owner, self._source, span, spans)
        values, diagnostics = resolve_config(config, fields, self._references, place)
        found += diagnostics
        return values

    @property
    def _source(self) -> Source:
        return self._program.source


def _each(ops: Iterable[Op]) -> Iterator[Op]:
    """The operators, with steps that run in one call one by one."""
    for op in ops:
        if isinstance(op, Step):
            yield from op.steps
            if op.scan is not None:
                yield op.scan.step
        else:
            yield op


def _std_fields(op: Scan | Sink) -> tuple[ConfigField, ...]:
    signature = STD_MODULES["std/io"].step(op.step, head=isinstance(op, Scan))
    assert signature is not None, f"std/io has `{op.step}`"
    return (*signature.config, STORE_FIELD) if STORE_FIELD.name in op.config else signature.config
