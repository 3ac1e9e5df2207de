"""Configs: the `{…}` of a call against the settings that a step or resource has, with precise spans.

`Settings` is a checked config: the values, and the span of each for messages later on. References
(`env`, `secret`, `"@name"`) are kept as such; their values are converted when the run starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Final, assert_never

from heddle.core.config import ConfigError, ConfigField, ConfigType, ConfigValue, convert, describe
from heddle.core.record import record
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.checker.report import Report, near_or_known, rename_fix
from heddle.frontend.typed import ConfigData, EnvRef, ParamRef, SecretRef

_PARAMETER = re.compile(r"@([A-Za-z_][A-Za-z0-9_]*)")
_ANY: Final = ConfigType("any", nullable=True)


@record(frozen=True, slots=True)
class Settings:
    values: Mapping[str, ConfigData] = field(default_factory=dict)
    spans: Mapping[str, Span] = field(default_factory=dict)

    def over(self, below: Settings) -> Settings:
        return Settings({**below.values, **self.values}, {**below.spans, **self.spans})


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
        for pair in self._pairs(written):
            setting = known.get(pair.key.text)
            if setting is None and not open:
                hint = near_or_known(pair.key.text, known, "settings")
                fix = rename_fix(pair.key.text, known, pair.key.span)
                self._report.error(
                    "HD0701", pair.key.span, f"{owner} has no setting `{pair.key.text}`", hint, fix=fix
                )
                continue
            value = self._value(pair.value, setting.type if setting else _ANY, pair.key.text)
            if setting is not None and setting.secret and isinstance(value, str):
                self._report.warning(
                    "HD0806",
                    pair.value.span,
                    f"`{pair.key.text}` is secret, and stands here for everybody to read",
                    f'write `{pair.key.text}: secret("{pair.key.text.upper()}")` and set it outside',
                )
            values[pair.key.text] = value
            spans[pair.key.text] = pair.value.span
        return Settings(values, spans)

    def overlay(
        self,
        laid: Mapping[str, ConfigData],
        fields: tuple[ConfigField, ...],
        owner: str,
        span: Span,
        *,
        open: bool,
    ) -> Settings:
        """The profile's settings; mistakes in them are shown at what they are laid over."""
        known = {f.name: f for f in fields}
        values: dict[str, ConfigData] = {}
        for name, value in laid.items():
            setting = known.get(name)
            if setting is None and not open:
                hint = near_or_known(name, known, "settings")
                self._report.error(
                    "HD0708", span, f"the profile sets `{name}`, which {owner} does not have", hint
                )
                continue
            if setting is not None and not isinstance(value, EnvRef | SecretRef | ParamRef):
                try:
                    values[name] = _data(convert(_plain(value), setting.type))
                except ConfigError as error:
                    self._report.error("HD0708", span, f"the profile sets `{name}` of {owner} to {error}")
            else:
                values[name] = value
        return Settings(values, dict.fromkeys(values, span))

    def complete(
        self, settings: Settings, fields: tuple[ConfigField, ...], owner: str, span: Span
    ) -> Settings:
        """Defaults filled in; required settings that are missing are errors."""
        values = dict(settings.values)
        for setting in fields:
            if setting.name in values:
                continue
            if setting.required:
                help = f"add `{setting.name}: …`" + (f" ({setting.doc})" if setting.doc else "")
                self._report.error(
                    "HD0704", span, f"{owner} needs the setting `{setting.name}` ({setting.type})", help
                )
            else:
                values[setting.name] = _data(setting.default)
        return Settings(values, settings.spans)

    def _pairs(self, written: ast.DictValue) -> list[ast.Pair]:
        last: dict[str, ast.Pair] = {}
        for pair in written.pairs:
            if pair.key.text in last:
                self._report.warning(
                    "HD0703",
                    pair.key.span,
                    f"`{pair.key.text}` is set twice; the last one counts",
                    "take one of them out",
                )
            last[pair.key.text] = pair
        return list(last.values())

    def _value(self, value: ast.Value, wanted: ConfigType, name: str) -> ConfigData:
        match value:
            case ast.EnvValue(name=variable):
                return EnvRef(variable)
            case ast.SecretValue(name=secret):
                return SecretRef(secret)
            case ast.StringValue(value=text) if found := _PARAMETER.fullmatch(text):
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
                return [self._value(item, wanted.items or _ANY, name) for item in items]
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
                return {pair.key.text: self._row_column(pair, wanted) for pair in self._pairs(value)}
            case "map" | "any":
                items = wanted.items or _ANY
                return {p.key.text: self._value(p.value, items, p.key.text) for p in self._pairs(value)}
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
            self._report.error(
                "HD0702",
                span,
                f"`{name}` is {describe(value)}, where {wanted} is wanted",
                _cure(value, wanted),
            )
            return None


def _cure(value: ConfigValue, wanted: ConfigType) -> str | None:
    if wanted.kind in {"int", "float", "bool"} and isinstance(value, str):
        return f"write {value} without quotes" if _looks_plain(value) else None
    if wanted.kind in {"string", "statement"} and isinstance(value, int | float):
        return f'write "{value}" in quotes'
    if wanted.kind == "list" and not isinstance(value, dict):
        return "put it into brackets: […]"
    return None


def _looks_plain(text: str) -> bool:
    return text in {"true", "false"} or text.replace(".", "", 1).lstrip("-").isdigit()


def _plain(value: ConfigData) -> ConfigValue:
    """A profile's value without references; inside lists and dicts they count as strings."""
    match value:
        case EnvRef() | SecretRef() | ParamRef():
            return ""
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
