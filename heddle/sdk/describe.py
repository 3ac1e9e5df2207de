"""What a module offers, as text for people: `plugin.serve()` prints it."""

from __future__ import annotations

from heddle.core.config import ConfigField
from heddle.core.signature import ModuleSignature, StepSignature


def describe(module: ModuleSignature) -> str:
    lines = [f"plugin {module.namespace}"]
    lines += [f"  {line}" for line in module.doc.splitlines()]
    for resource in module.resources.values():
        lines.append(f"  resource {resource.name} {_settings(resource.config)}".rstrip())
    for step in (*module.readers.values(), *module.steps.values()):
        lines += _step_lines(step)
    if len(lines) == 1:
        lines.append("  offers nothing yet: register functions with @plugin.step(name=…)")
    return "\n".join(lines) + "\n"


def _step_lines(step: StepSignature) -> list[str]:
    slots = "".join(f"<{slot.name}: {slot.resource}> " for slot in step.slots)
    source = "" if step.input_mode == "none" else f"{step.input} -> "
    output = "nothing" if step.output is None else str(step.output)
    output += " and what its settings say" if step.output_from_config else ""
    lines = [f"  step {step.name} {slots}{_settings(step.config)}".rstrip(), f"    {source}{output}"]
    if step.input_mode == "none":
        lines[-1] = f"    -> {output}"
    flags = [f"rows={step.rows}"] if step.rows != "table" else []
    flags += ["passthrough"] if step.passthrough else []
    flags += ["deterministic"] if step.deterministic else []
    flags += ["idempotent"] if step.idempotent else []
    flags += ["effect"] if step.effect else []
    return [*lines, f"    {', '.join(flags)}"] if flags else lines


def _settings(fields: tuple[ConfigField, ...]) -> str:
    if not fields:
        return ""
    return "{ " + ", ".join(_setting(field) for field in fields) + " }"


def _setting(field: ConfigField) -> str:
    secret = " (secret)" if field.secret else ""
    return f"{field.name}{'' if field.required else '?'}: {field.type}{secret}"
