"""Parameters: `@name` in statements and settings, and where each takes its value (language.md section 7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from heddle.core.config import ConfigField
from heddle.core.types import SCALAR_TYPE_NAMES, RowType, TypeSyntaxError, parse_type, type_name
from heddle.diagnostics import Label, Span
from heddle.frontend import ast
from heddle.frontend.catalog import Catalog
from heddle.frontend.checker.calls import ResolvedCall
from heddle.frontend.checker.report import Report
from heddle.frontend.typed import (
    ConfigData,
    EnvRef,
    ParamBinding,
    Parameter,
    ParamRef,
    SecretRef,
    parameters_in,
)


class Parameters:
    """The workflow parameters of a program: declared in headers or met as `@name`."""

    def __init__(self, catalog: Catalog, report: Report) -> None:
        self._given = catalog.parameters()
        self._report = report
        self._found: dict[str, Parameter] = {}
        self._declared: dict[str, ast.Param] = {}
        self._used: set[str] = set()

    def declare(self, workflow: ast.WorkflowItem) -> None:
        own: dict[str, Span] = {}
        for param in workflow.params:
            name, before = param.name.text, self._declared.get(param.name.text)
            if name in own:
                label = Label(own[name], "declared here first")
                message = f"the parameter `{name}` is declared twice"
                self._report.error("HD0305", param.name.span, message, "rename one of them", labels=(label,))
            elif before is None:
                self._declared[name] = param
                self._declare(param)
            elif not _same(before, param):
                self._differs(param, before)
            own.setdefault(name, param.name.span)

    def use_in(
        self,
        settings: Mapping[str, ConfigData],
        fields: Iterable[ConfigField],
        spans: Mapping[str, Span],
        whole: Span,
    ) -> None:
        """Note the parameters that settings refer to; `whole` is the place of settings without a span."""
        kinds = {f.name: f.type.kind for f in fields}
        for name, value in settings.items():
            for parameter in parameters_in(value):
                kind = kinds.get(name, "string")
                type_text = kind if kind in ("int", "float", "bool") else "string"
                self._use(parameter, spans.get(name, whole), type_text)

    @property
    def declared(self) -> frozenset[str]:
        """The parameters that headers of workflows declare."""
        return frozenset(self._declared)

    def bind(
        self, call: ResolvedCall, piped: RowType | None, joined: Mapping[str, str] | None = None
    ) -> tuple[ParamBinding, ...]:
        """Where the parameters in a call's statements take their values: from what is piped in, from the
        columns `joined` of the rows that a lookup is joined to, else from the run."""
        spans = call.settings.spans
        self.use_in(call.settings.values, call.signature.config, spans, call.span)
        if not any(setting.type.kind == "statement" for setting in call.signature.config):
            return ()
        from heddle.core.statements import parameter_names
        from heddle.frontend.checker.lookups import statements_of

        columns = joined or {}
        bindings: list[ParamBinding] = []
        for setting, text in statements_of(call):
            for name in parameter_names(text):
                if self._is_column_of(piped, name):
                    bindings.append(ParamBinding(name, "piped", name))
                elif name in columns:
                    bindings.append(ParamBinding(name, "joined", columns[name]))
                else:
                    self._use(name, spans.get(setting, call.span), "string")
                    bindings.append(ParamBinding(name, "workflow", name))
        return tuple(bindings)

    def with_values(self, settings: Mapping[str, ConfigData]) -> dict[str, ConfigData]:
        """Settings with the values of those parameters that have one."""
        return {name: self._value(value) for name, value in settings.items()}

    def values(self) -> dict[str, ConfigData]:
        """The values of all parameters that have one."""
        return {**self._given, **{name: p.value for name, p in self._found.items() if p.bound}}

    def lack_in(self, settings: Mapping[str, ConfigData]) -> bool:
        """Whether a setting waits for a parameter's value."""
        names = (name for value in settings.values() for name in parameters_in(value))
        return any(name not in self._found or not self._found[name].bound for name in names)

    def _value(self, value: ConfigData) -> ConfigData:
        parameter = self._found.get(value.name) if isinstance(value, ParamRef) else None
        return value if parameter is None or not parameter.bound else parameter.value

    def result(self) -> dict[str, Parameter]:
        """All parameters; those without a value and those that nothing uses are warned about."""
        for name, param in self._declared.items():
            if name not in self._used:
                self._report.warning(
                    "HD0310",
                    param.name.span,
                    f"the parameter `{name}` is never used",
                    f'take it out, or write "@{name}" where its value belongs',
                )
        for name, parameter in self._found.items():
            if name in self._used and not parameter.bound:
                self._report.warning(
                    "HD0804",
                    parameter.span,
                    f"the parameter `@{name}` has no value yet",
                    f"a run needs one: --param {name}=…",
                )
        return {name: p for name, p in self._found.items() if name in self._used or p.bound}

    def _use(self, name: str, span: Span, type_text: str) -> None:
        self._used.add(name)
        if name not in self._found:
            self._found[name] = Parameter(name, type_text, name in self._given, self._given.get(name), span)

    def _is_column_of(self, row: RowType | None, name: str) -> bool:
        """A declared parameter wins over a column that an open row may have."""
        if row is None:
            return False
        return row.column(name) is not None or (row.open and name not in self._declared)

    def _declare(self, param: ast.Param) -> None:
        name = param.name.text
        type_ = self._type(param)
        default = _literal(param.default)
        if param.default is not None and type_ is not None:
            self._check(default, type_, f"the default of `{name}`", param.default.span)
        if name in self._given and type_ is not None:
            self._check(self._given[name], type_, f"the value given for `@{name}`", param.span)
        value = self._given.get(name, default)
        bound = name in self._given or param.default is not None
        self._found[name] = Parameter(name, param.type_text, bound, value, param.span)

    def _type(self, param: ast.Param) -> pa.DataType | None:
        try:
            type_, _ = parse_type(param.type_text)
        except TypeSyntaxError as error:
            help = f"write one of: {', '.join(SCALAR_TYPE_NAMES)}"
            self._report.error("HD0805", param.type_span, f"`{param.name.text}` has no type: {error}", help)
            return None
        if pa.types.is_nested(type_):
            message = f"`{param.name.text}` is {param.type_text}, and a parameter is a single value"
            help = f"make it one of: {', '.join(SCALAR_TYPE_NAMES)}"
            self._report.error("HD0805", param.type_span, message, help)
            return None
        return type_

    def _check(self, value: ConfigData, type_: pa.DataType, what: str, span: Span) -> None:
        if value is None or isinstance(value, EnvRef | SecretRef | ParamRef):
            return
        from heddle.core.parameter_values import example, fits

        if not fits(value, type_):
            help = f"give it {example(type_)}"
            self._report.error("HD0805", span, f"{what} is no {type_name(type_)}", help)

    def _differs(self, param: ast.Param, before: ast.Param) -> None:
        name = param.name.text
        self._report.error(
            "HD0807",
            param.name.span,
            f"the parameter `{name}` is declared in two ways",
            "a parameter has one type and one default in a program: make them alike, or rename one",
            labels=(Label(before.name.span, "declared here first"),),
        )


def _same(one: ast.Param, other: ast.Param) -> bool:
    return one.type_text == other.type_text and _literal(one.default) == _literal(other.default)


def _literal(value: ast.Value | None) -> ConfigData:
    match value:
        case ast.StringValue(value=plain) | ast.NumberValue(value=plain) | ast.BoolValue(value=plain):
            return plain
        case ast.EnvValue(name=name):
            return EnvRef(name)
        case ast.SecretValue(name=name):
            return SecretRef(name)
        case _:
            return None
