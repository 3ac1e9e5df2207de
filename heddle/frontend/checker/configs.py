"""Configs: the `{…}` of a call against the settings that a step or resource has, with precise spans.

`Settings` is a checked config: the values, and the span of each for messages later on. References
(`env`, `secret`, `"@name"`) are kept as such; their values are converted when the run starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Final, assert_never

from heddle.core.config import (
    ConfigError,
    ConfigField,
    ConfigProblem,
    ConfigType,
    ConfigValue,
    convert,
    describe,
)
from heddle.core.record import record
from heddle.diagnostics import Span, did_you_mean
from heddle.frontend import ast
from heddle.frontend.checker.report import Report
from heddle.frontend.typed import ConfigData, EnvRef, ParamRef, SecretRef

_PARAMETER = r"@([A-Za-z_][A-Za-z0-9_]*)"
_ANY: Final = ConfigType("any", nullable=True)


@record(frozen=True, slots=True)
class Settings:
    """`meant` are settings that misspelt keys probably stand for: they count as given."""

    values: Mapping[str, ConfigData] = field(default_factory=dict)
    spans: Mapping[str, Span] = field(default_factory=dict)
    meant: frozenset[str] = frozenset()

    def over(self, below: Settings) -> Settings:
        return Settings(
            {**below.values, **self.values}, {**below.spans, **self.spans}, below.meant | self.meant
        )


class ConfigChecker:
    def __init__(self, report: Report) -> None:
        self._report = report

    def read(
        self, written: ast.DictValue | None, fields: tuple[ConfigField, ...], owner: str, *, open: bool
    ) -> Settings:
        """The written settings, each checked by itself; what is missing is found by `complete`."""
        if written is None:
            return Settings()
        known = {f.name: f for f in fields}
        values: dict[str, ConfigData] = {}
        spans: dict[str, Span] = {}
        meant: set[str] = set()
        for pair in last_pairs(written, self._report):
            name, setting = pair.key.text, known.get(pair.key.text)
            if setting is None and not open:
                message = f"{owner} has no setting `{name}`"
                near = self._report.unknown("HD0701", pair.key.span, message, known, "settings", name=name)
                meant.update(() if near is None else (near,))
                continue
            values[name] = self._value(pair.value, setting.type if setting else _ANY, name)
            spans[name] = pair.value.span
            if setting is not None and setting.secret and isinstance(values[name], str):
                self._readable_secret(pair)
        return Settings(values, spans, frozenset(meant))

    def overlay(
        self,
        laid: Mapping[str, ConfigData],
        fields: tuple[ConfigField, ...],
        owner: str,
        span: Span,
        *,
        open: bool,
        by: str = "the profile",
    ) -> Settings:
        """Settings of heddle.toml, of its profile if nothing else is said; mistakes in them are shown at what
        they are laid over."""
        known = {f.name: f for f in fields}
        values: dict[str, ConfigData] = {}
        for name, value in laid.items():
            setting = known.get(name)
            if setting is None and not open:
                message = f"{by} sets `{name}`, which {owner} does not have"
                near = did_you_mean(name, tuple(known))
                listed = f"settings: {', '.join(known) or 'none'}"
                self._report.error("HD0708", span, message, f"did you mean `{near}`?" if near else listed)
                continue
            try:
                values[name] = _laid(value, setting.type if setting else _ANY)
            except ConfigError as error:
                message = f"{by}'s `{name}` for {owner} does not fit: {error}"
                self._report.error("HD0708", span, message, "correct it in heddle.toml")
        return Settings(values, dict.fromkeys(values, span))

    def complete(
        self, settings: Settings, fields: tuple[ConfigField, ...], owner: str, span: Span
    ) -> Settings:
        """Defaults filled in; required settings that are missing are errors."""
        values = dict(settings.values)
        for setting in fields:
            if setting.name in values:
                continue
            if not setting.required:
                values[setting.name] = _data(setting.default)
            elif setting.name not in settings.meant:
                about = f" ({setting.doc})" if setting.doc else ""
                self._report.error(
                    "HD0704",
                    span,
                    f"{owner} needs the setting `{setting.name}` ({setting.type})",
                    f"add `{setting.name}: …`{about}",
                )
        return Settings(values, settings.spans, settings.meant)

    def _readable_secret(self, pair: ast.Pair) -> None:
        name = pair.key.text
        self._report.warning(
            "HD0806",
            pair.value.span,
            f"`{name}` is secret, and stands here for everybody to read",
            f'write `{name}: secret("{name.upper()}")` and set it outside',
        )

    def _value(self, value: ast.Value, wanted: ConfigType, name: str) -> ConfigData:
        match value:
            case ast.EnvValue(name=variable):
                return EnvRef(variable)
            case ast.SecretValue(name=secret):
                return SecretRef(secret)
            case ast.StringValue(value=text) if found := re.fullmatch(_PARAMETER, text):
                return ParamRef(found[1])
            case ast.StringValue(value=text):
                return self._scalar(text, wanted, value.span, name)
            case ast.NumberValue(value=number):
                return self._scalar(number, wanted, value.span, name)
            case ast.BoolValue(value=flag):
                return self._scalar(flag, wanted, value.span, name)
            case ast.NullValue():
                return self._scalar(None, wanted, value.span, name)
            case ast.ListValue(items=items) if wanted.kind in {"list", "any"}:
                inner = wanted.items or _ANY
                return [self._value(item, inner, f"{name}[{i}]") for i, item in enumerate(items)]
            case ast.ListValue():
                return self._scalar([], wanted, value.span, name)
            case ast.DictValue():
                return self._dict(value, wanted, name)
            case _:
                assert_never(value)

    def _dict(self, value: ast.DictValue, wanted: ConfigType, name: str) -> ConfigData:
        match wanted.kind:
            case "struct":
                read = self.read(value, wanted.fields, f"`{name}`", open=False)
                return dict(self.complete(read, wanted.fields, f"`{name}`", value.span).values)
            case "row":
                return {p.key.text: self._row_column(p, wanted) for p in last_pairs(value, self._report)}
            case "map" | "any":
                items = wanted.items or _ANY
                pairs = last_pairs(value, self._report)
                return {p.key.text: self._value(p.value, items, p.key.text) for p in pairs}
            case _:
                return self._scalar({}, wanted, value.span, name)

    def _row_column(self, pair: ast.Pair, wanted: ConfigType) -> str:
        plain = pair.value.value if isinstance(pair.value, ast.StringValue) else ""
        try:
            convert({pair.key.text: plain}, wanted)
        except ConfigError as error:
            self._report.error(
                "HD0702",
                pair.value.span,
                f"`{pair.key.text}` has no type: {error}",
                'write one like "int", "string?" or "decimal(10,2)"',
            )
            return "string"
        return plain

    def _scalar(self, value: ConfigValue, wanted: ConfigType, span: Span, name: str) -> ConfigData:
        try:
            return _data(convert(value, wanted))
        except ConfigError:
            if wanted.kind == "choice" and isinstance(value, str):
                self._no_choice(value, wanted, span, name)
                return None
            message = f"`{name}` is {describe(value)}, where {wanted} is wanted"
            self._report.error("HD0702", span, message, _cure(value, wanted))
            return None

    def _no_choice(self, value: str, wanted: ConfigType, span: Span, name: str) -> None:
        near = did_you_mean(value, [str(c) for c in wanted.choices])
        help = f'did you mean "{near}"?' if near else f"it is {wanted}"
        self._report.error("HD0702", span, f'`{name}` cannot be "{value}"', help)


def last_pairs(config: ast.DictValue, report: Report) -> list[ast.Pair]:
    """The pairs of a dict without those that a later one overwrites, which are warned about."""
    last: dict[str, ast.Pair] = {}
    for pair in config.pairs:
        if pair.key.text in last:
            message = f"`{pair.key.text}` is set twice; the last one counts"
            report.warning("HD0703", pair.key.span, message, "take one of them out")
        last[pair.key.text] = pair
    return list(last.values())


def _cure(value: ConfigValue, wanted: ConfigType) -> str:
    if wanted.kind in {"int", "float", "bool"} and isinstance(value, str) and _looks_plain(value):
        return f"write {value} without quotes"
    if wanted.kind in {"string", "statement"} and isinstance(value, int | float):
        return f'write "{str(value).lower()}" in quotes'
    if wanted.kind == "list" and not isinstance(value, dict):
        return "put it into brackets: […]"
    return f"write {_EXAMPLES.get(wanted.kind, str(wanted))}"


_EXAMPLES: Final[Mapping[str, str]] = {
    "int": "a whole number, like 10",
    "float": "a number, like 0.5",
    "bool": "true or false",
    "string": 'text in quotes, like "text"',
    "statement": 'text in quotes, like "SELECT …"',
    "list": "a list, like [1, 2]",
    "map": "a dict, like { name: … }",
    "row": 'a type for each column, like { id: "int", name: "string" }',
}


def _looks_plain(text: str) -> bool:
    return text in {"true", "false"} or text.replace(".", "", 1).lstrip("-").isdigit()


def _laid(value: ConfigData, wanted: ConfigType) -> ConfigData:
    """A profile's value as a setting wants it; references stay, and are converted at the run."""
    match value:
        case EnvRef() | SecretRef() | ParamRef():
            return value
        case list() if wanted.kind in {"list", "any"}:
            return [_laid(item, wanted.items or _ANY) for item in value]
        case dict() if wanted.kind in {"map", "any"}:
            return {key: _laid(item, wanted.items or _ANY) for key, item in value.items()}
        case dict() if wanted.kind == "struct":
            return _laid_struct(value, wanted)
        case _:
            return _data(convert(_plain(value), wanted))


def _laid_struct(value: Mapping[str, ConfigData], wanted: ConfigType) -> ConfigData:
    known = {f.name for f in wanted.fields}
    for key in value:
        if key not in known:
            raise ConfigError(ConfigProblem((key,), f"`{key}` is not a setting here"))
    laid: dict[str, ConfigData] = {}
    for field_ in wanted.fields:
        if field_.name in value:
            laid[field_.name] = _laid(value[field_.name], field_.type)
        elif field_.required:
            raise ConfigError(ConfigProblem((), f"the setting `{field_.name}` ({field_.type}) is missing"))
        else:
            laid[field_.name] = _data(field_.default)
    return laid


def _plain(value: ConfigData) -> ConfigValue:
    """A value without references."""
    match value:
        case EnvRef() | SecretRef() | ParamRef():
            raise ConfigError(ConfigProblem((), "a reference where a plain value is wanted"))
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value


def _data(value: ConfigValue) -> ConfigData:
    """A plain value as the wider type that may also hold references."""
    match value:
        case list():
            return [_data(item) for item in value]
        case dict():
            return {key: _data(item) for key, item in value.items()}
        case _:
            return value
