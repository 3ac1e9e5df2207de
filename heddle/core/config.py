"""Config types: what a step or a resource accepts in its `{…}`, and the check of a value against it.

A `ConfigType` comes from the annotations of a config class (`type_of_annotation`) or is written
by hand; it is plain data, so a plugin in any language can send it. `convert` checks and converts
one value. A text that comes from `env` or `secret` is converted by the same rules with `text=True`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from heddle.core.record import record

ConfigValue: TypeAlias = "bool | int | float | str | list[ConfigValue] | dict[str, ConfigValue] | None"


@record(frozen=True, slots=True)
class ConfigType:
    """`items` is a list's or map's value type, `fields` a struct's, `choices` a choice's values.

    `statement` is a string whose `@name` parts are bound parameters; `row` is a row type written as
    `{column: "type"}`.
    """

    kind: Literal[
        "any", "bool", "int", "float", "string", "statement", "choice", "list", "map", "struct", "row"
    ]
    items: ConfigType | None = None
    fields: tuple[ConfigField, ...] = ()
    choices: tuple[str | int, ...] = ()
    nullable: bool = False

    def __str__(self) -> str:
        match self.kind:
            case "choice":
                name = " or ".join(f'"{c}"' if isinstance(c, str) else str(c) for c in self.choices)
            case "list":
                name = f"list of {self.items or 'any'}"
            case "map":
                name = f"map to {self.items or 'any'}"
            case "struct":
                name = "{" + ", ".join(f"{f.name}: {f.type}" for f in self.fields) + "}"
            case "row":
                name = '{column: "type", …}'
            case "statement":
                name = "string"
            case _:
                name = self.kind
        return name + (" or null" if self.nullable else "")


@record(frozen=True, slots=True)
class ConfigField:
    """`secret`: the value never reaches a log, a plan, a journal or an error text."""

    name: str
    type: ConfigType
    required: bool = True
    default: ConfigValue = None
    secret: bool = False
    doc: str = ""


@record(frozen=True, slots=True)
class ConfigProblem:
    """`path` leads to the offending value: keys and list indices."""

    path: tuple[str | int, ...]
    message: str


class ConfigError(ValueError):
    def __init__(self, problem: ConfigProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def convert(value: ConfigValue, type_: ConfigType, *, text: bool = False) -> ConfigValue:
    """The value as `type_` wants it (an int becomes a float where one is wanted).

    With `text`, a string is read as the wanted type ("5432" -> 5432). Raises `ConfigError`.
    """
    return _convert(value, type_, text, ())


def _convert(value: ConfigValue, type_: ConfigType, text: bool, path: tuple[str | int, ...]) -> ConfigValue:
    if value is None:
        if type_.nullable or type_.kind == "any":
            return None
        raise ConfigError(ConfigProblem(path, f"null where {type_} is wanted"))
    if text and isinstance(value, str):
        value = _from_text(value, type_, path)
    match type_.kind:
        case "any":
            return value
        case "bool" if isinstance(value, bool):
            return value
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "float" if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        case "string" | "statement" if isinstance(value, str):
            return value
        case "choice" if value in type_.choices and not isinstance(value, bool):
            return value
        case "list" if isinstance(value, list):
            items = type_.items or ConfigType("any", nullable=True)
            return [_convert(item, items, text, (*path, i)) for i, item in enumerate(value)]
        case "map" if isinstance(value, dict):
            items = type_.items or ConfigType("any", nullable=True)
            return {key: _convert(item, items, text, (*path, key)) for key, item in value.items()}
        case "row" if isinstance(value, dict):
            return {key: _row_column(item, (*path, key)) for key, item in value.items()}
        case "struct" if isinstance(value, dict):
            return convert_fields(value, type_.fields, text=text, path=path)
        case _:
            raise ConfigError(ConfigProblem(path, f"{describe(value)} where {type_} is wanted"))


def convert_fields(
    values: Mapping[str, ConfigValue],
    fields: tuple[ConfigField, ...],
    *,
    text: bool = False,
    path: tuple[str | int, ...] = (),
) -> dict[str, ConfigValue]:
    """All fields checked, defaults filled in. Raises `ConfigError` for the first problem."""
    known = {f.name: f for f in fields}
    for key in values:
        if key not in known:
            raise ConfigError(ConfigProblem((*path, key), f"`{key}` is not a setting here"))
    result: dict[str, ConfigValue] = {}
    for field in fields:
        if field.name in values:
            result[field.name] = _convert(values[field.name], field.type, text, (*path, field.name))
        elif field.required:
            raise ConfigError(ConfigProblem(path, f"the setting `{field.name}` ({field.type}) is missing"))
        else:
            result[field.name] = field.default
    return result


def describe(value: ConfigValue) -> str:
    """A value's kind for messages; never the value itself, which may be secret."""
    match value:
        case None:
            return "null"
        case bool():
            return "a bool"
        case int():
            return "an int"
        case float():
            return "a float"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "a dict"


def _row_column(value: ConfigValue, path: tuple[str | int, ...]) -> ConfigValue:
    from heddle.core.types import TypeSyntaxError, parse_type

    if not isinstance(value, str):
        raise ConfigError(ConfigProblem(path, f'{describe(value)} where a type such as "int" is wanted'))
    try:
        parse_type(value)
    except TypeSyntaxError as error:
        raise ConfigError(ConfigProblem(path, str(error))) from error
    return value


def _from_text(value: str, type_: ConfigType, path: tuple[str | int, ...]) -> ConfigValue:
    try:
        match type_.kind:
            case "int":
                return int(value)
            case "float":
                return float(value)
            case "bool":
                return {"true": True, "1": True, "false": False, "0": False}[value.strip().lower()]
            case "choice":
                return next((c for c in type_.choices if str(c) == value), value)
            case _:
                return value
    except (ValueError, KeyError):
        raise ConfigError(ConfigProblem(path, f"the text given for it is not {type_}")) from None
