"""Parameters: `@name` in statements and settings, and where each takes its value (language.md section 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from heddle.core.config import ConfigError, ConfigField, ConfigType, convert
from heddle.core.types import RowType, TypeSyntaxError, parse_type
from heddle.diagnostics import Span
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog
from heddle.frontend.checker.configs import Settings
from heddle.frontend.checker.report import Report
from heddle.frontend.typed import ConfigData, ParamBinding, Parameter, ParamRef

_IN_STATEMENT = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|@@\w+|[\w.]@|@(?P<name>[A-Za-z_][A-Za-z0-9_]*)", re.DOTALL
)


def names_in_statement(text: str) -> tuple[str, ...]:
    """The parameters of a SQL text in order; quoted parts, comments, `@@x` and `a@b` are not parameters."""
    names = (found["name"] for found in _IN_STATEMENT.finditer(text))
    return tuple(dict.fromkeys(name for name in names if name))


class Parameters:
    """The workflow parameters of a program: declared in headers or met as `@name`."""

    def __init__(self, catalog: Catalog, report: Report) -> None:
        self._given = catalog.parameters()
        self._report = report
        self._found: dict[str, Parameter] = {}

    def declare(self, workflow: ast.WorkflowItem) -> None:
        for param in workflow.params:
            kind = _config_type(param.type_text)
            try:
                parse_type(param.type_text)
            except TypeSyntaxError as error:
                self._report.error(
                    "HD0805",
                    param.type_span,
                    f"`{param.name.text}` has no type: {error}",
                    "write one like int, string or date",
                )
            default = _literal(param.default)
            name = param.name.text
            given = self._given.get(name)
            if param.default is not None:
                self._check(default, kind, param)
            bound = name in self._given or param.default is not None
            self._found[name] = Parameter(
                name, param.type_text, bound, given if name in self._given else default, param.span
            )

    def use(self, name: str, span: Span) -> None:
        if name not in self._found:
            self._found[name] = Parameter(name, "string", name in self._given, self._given.get(name), span)

    def use_in(self, value: ConfigData, span: Span) -> None:
        """Note the parameters that a setting refers to."""
        for name in _workflow_names(value):
            self.use(name, span)

    def result(self) -> dict[str, Parameter]:
        for parameter in self._found.values():
            if not parameter.bound:
                self._report.warning(
                    "HD0804",
                    parameter.span,
                    f"the parameter `@{parameter.name}` has no value yet",
                    f"a run needs one: --param {parameter.name}=…",
                )
        return dict(self._found)

    def bind(
        self,
        settings: Settings,
        fields: tuple[ConfigField, ...],
        span: Span,
        input_row: RowType | None,
        *,
        joined: bool,
    ) -> tuple[ParamBinding, ...]:
        """Where the parameters of a call take their values; `joined`: the call stands in from or join."""
        bindings: list[ParamBinding] = []
        for setting in fields:
            value = settings.values.get(setting.name)
            where = settings.spans.get(setting.name, span)
            self.use_in(value, where)
            if setting.type.kind != "statement" or not isinstance(value, str):
                continue
            for name in names_in_statement(value):
                bindings.append(self._binding(name, where, input_row, joined=joined))
        return tuple(bindings)

    def _binding(self, name: str, span: Span, input_row: RowType | None, *, joined: bool) -> ParamBinding:
        if input_row is not None and (input_row.column(name) is not None or input_row.open):
            return ParamBinding(name, "piped", name)
        if joined:
            return ParamBinding(name, "joined", name)
        self.use(name, span)
        return ParamBinding(name, "workflow", name)

    def _check(self, value: ConfigData, kind: ConfigType, param: ast.Param) -> None:
        assert param.default is not None
        if isinstance(value, bool | int | float | str) or value is None:
            try:
                convert(value, kind, text=True)
            except ConfigError as error:
                self._report.error(
                    "HD0805",
                    param.default.span,
                    f"the value of `{param.name.text}` does not fit its type: {error}",
                )


def _workflow_names(value: ConfigData) -> Iterator[str]:
    match value:
        case ParamRef(name=name):
            yield name
        case list():
            for item in value:
                yield from _workflow_names(item)
        case dict():
            for item in value.values():
                yield from _workflow_names(item)


def _config_type(type_text: str) -> ConfigType:
    nullable = type_text.endswith("?")
    match type_text.rstrip("?"):
        case "int":
            return ConfigType("int", nullable=nullable)
        case "float":
            return ConfigType("float", nullable=nullable)
        case "bool":
            return ConfigType("bool", nullable=nullable)
        case _:
            return ConfigType("string", nullable=nullable)


def _literal(value: ast.Value | None) -> ConfigData:
    match value:
        case ast.StringValue(value=plain) | ast.NumberValue(value=plain) | ast.BoolValue(value=plain):
            return plain
        case _:
            return None
