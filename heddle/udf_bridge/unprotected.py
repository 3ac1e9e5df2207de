"""Secrets that must not travel where others can read them, wherever in a step's settings they stand.

A secret is what a module declares as one, and any text that has a secret of the run in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from heddle.core.config import ConfigField, ConfigValue
from heddle.udf_bridge.address import GatewayUrl
from heddle.udf_bridge.session import step_name
from heddle.udf_bridge.transport import StepBinding, StepFailure

HoldsSecret: TypeAlias = Callable[[str], bool]
"""Whether a text has a secret of the run in it."""


def refuse_secrets(binding: StepBinding, url: GatewayUrl, holds_secret: HoldsSecret) -> None:
    """Raises `StepFailure` when a setting of the step or of its resources is a secret."""
    owners = [(f"`{step_name(binding)}`", binding.config, binding.signature.config)]
    for resource in binding.resources.values():
        declared = resource.module.resources[resource.type].config
        owners.append((f"the resource `{resource.name}`", resource.config, declared))
    for owner, config, fields in owners:
        if setting := _secret_setting(config, fields, holds_secret):
            raise StepFailure(
                f"`{setting}` of {owner} is a secret, and {url} would carry it unprotected; serve "
                "the plugin with --tls-cert and --tls-key and write `grpc+tls://` in heddle.toml",
                "SecretUnprotected",
                "",
            )


def _secret_setting(
    config: Mapping[str, ConfigValue], fields: tuple[ConfigField, ...], holds_secret: HoldsSecret
) -> str | None:
    """The name of a setting with a secret in it."""
    known = {field.name: field for field in fields}
    for name, value in config.items():
        field = known.get(name)
        inner = field.type.fields if field is not None else ()
        if (field is not None and field.secret and value) or _holds(value, holds_secret):
            return name
        if isinstance(value, dict) and _secret_setting(value, inner, holds_secret):
            return name
    return None


def _holds(value: ConfigValue, holds_secret: HoldsSecret) -> bool:
    match value:
        case str():
            return holds_secret(value)
        case list():
            return any(_holds(item, holds_secret) for item in value)
        case dict():
            return any(_holds(item, holds_secret) for item in value.values())
        case _:
            return False
