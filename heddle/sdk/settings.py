"""The check of settings before user code sees them: the same as the engine's, so neither trusts the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heddle.core.config import ConfigError, ConfigField, ConfigType, ConfigValue, convert_fields
from heddle.core.failure import StepError


def checked_settings(
    values: Mapping[str, ConfigValue], fields: tuple[ConfigField, ...], *, open: bool
) -> dict[str, ConfigValue]:
    """All settings checked, defaults filled in. Raises `StepError` of the kind "config", which names the
    setting and never shows a value."""
    if not fields and not values:
        return {}
    known = {field.name for field in fields}
    others = {key: value for key, value in values.items() if key not in known}
    if others and not open:
        listed = ", ".join(f"`{name}`" for name in known) or "none"
        raise _refused(f"there is no setting `{next(iter(others))}`; there are: {listed}")
    named = {key: value for key, value in values.items() if key in known}
    try:
        return convert_fields(_without_absent(named, fields), fields) | others
    except ConfigError as error:
        path = ".".join(str(part) for part in error.problem.path)
        place = f"setting `{path}`: " if path else ""
        raise _refused(f"{place}{error.problem.message}") from None


def _without_absent(
    values: Mapping[str, ConfigValue], fields: Iterable[ConfigField]
) -> dict[str, ConfigValue]:
    """Without the nulls that stand for a setting that was not given and has no default of its own."""
    types = {field.name: field for field in fields}
    return {
        key: _inner(value, types[key].type) if key in types else value
        for key, value in values.items()
        if not (value is None and key in types and not types[key].required and types[key].default is None)
    }


def _inner(value: ConfigValue, type_: ConfigType) -> ConfigValue:
    match value:
        case dict() if type_.kind == "struct":
            return _without_absent(value, type_.fields)
        case dict() if type_.kind == "map" and type_.items is not None:
            return {key: _inner(item, type_.items) for key, item in value.items()}
        case list() if type_.items is not None:
            return [_inner(item, type_.items) for item in value]
        case _:
            return value


def _refused(message: str) -> StepError:
    return StepError("config", message, "ConfigError")
