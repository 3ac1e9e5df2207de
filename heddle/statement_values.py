"""The values that a run gives to the workflow parameters in a step's statements, as the parameters' types.

Numbers, booleans and texts go to the step as they are; dates, times, decimals and durations as texts: a date
as `2026-01-31`, a timestamp as `2026-01-31T12:00:00+00:00`.
"""

from __future__ import annotations

import pyarrow as pa

from heddle.core.config import ConfigField, ConfigType, ConfigValue
from heddle.core.types import parse_type, type_name
from heddle.diagnostics import Diagnostic
from heddle.frontend.typed import ConfigData, Parameter, ParamRef, SecretRef, StepCall, TypedProgram
from heddle.secrets import ConfigPlace, References, resolve_config

_ANY = ConfigType("any", nullable=True)


def statement_values(
    call: StepCall, program: TypedProgram, references: References
) -> tuple[dict[str, ConfigValue], list[Diagnostic]]:
    """The values by name. What has none, or not one of its type, is left out and has a diagnostic where it is
    the value that is wrong; that a parameter has no value is said of the whole program."""
    values: dict[str, ConfigValue] = {}
    found: list[Diagnostic] = []
    for name in dict.fromkeys(p.name for p in call.parameters if p.source == "workflow"):
        parameter = program.parameters.get(name)
        if parameter is None or not parameter.bound:
            continue
        if _is_secret(parameter.value, references):
            found.append(_secret(parameter, call, program))
            continue
        place = ConfigPlace(f"`{call.callee}`", program.source, call.span, {})
        field = ConfigField(name, _ANY)
        resolved, diagnostics = resolve_config({name: parameter.value}, (field,), references, place)
        found += diagnostics
        if name in resolved:
            try:
                values[name] = _typed(resolved[name], parameter.type_text)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
                found.append(_wrong_type(parameter, call, program))
    return values, found


def _typed(value: ConfigValue, type_text: str) -> ConfigValue:
    if value is None:
        return None
    type_, _ = parse_type(type_text)
    t = pa.types
    if t.is_string(type_) or t.is_duration(type_) or t.is_binary(type_):
        return value if isinstance(value, str) else str(value)
    typed = pa.scalar(value).cast(type_)
    if t.is_integer(type_) or t.is_floating(type_) or t.is_boolean(type_):
        plain: ConfigValue = typed.as_py()
        return plain
    if t.is_decimal(type_):
        return str(typed.as_py())
    return str(typed.as_py().isoformat())


def _is_secret(value: ConfigData, references: References) -> bool:
    while isinstance(value, ParamRef):
        value = references.parameters.get(value.name)
    return isinstance(value, SecretRef)


def _secret(parameter: Parameter, call: StepCall, program: TypedProgram) -> Diagnostic:
    return Diagnostic(
        "HD0816",
        "error",
        f"the parameter `@{parameter.name}` of a statement of `{call.callee}` is a secret",
        program.source,
        call.span,
        "a service may write the values of a statement into its log: give the parameter a plain value",
    )


def _wrong_type(parameter: Parameter, call: StepCall, program: TypedProgram) -> Diagnostic:
    name = type_name(parse_type(parameter.type_text)[0])
    article = "an" if name[0] in "aeiou" else "a"
    return Diagnostic(
        "HD0814",
        "error",
        f"the parameter `@{parameter.name}` of `{call.callee}` does not hold {article} {name}",
        program.source,
        call.span,
        "give it such a value",
    )
