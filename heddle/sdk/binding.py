"""Functions of user code -> callables with a signature.

`bind_step` reads which parameter takes the rows, the settings and the context, by annotation first and by
name (`input`, `config`, `context`) where there is none; `bind_resource` does so for resources. A function
that does not bind raises `PluginError`, which names it and the cure.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import pyarrow as pa

from heddle.core.annotations import AnnotationError, config_fields, instantiate, is_config_class
from heddle.core.config import ConfigField, ConfigValue
from heddle.core.record import record
from heddle.core.resource import ResourceConfig
from heddle.core.settings import vars_of
from heddle.core.signature import InputMode, ResourceSignature, Rows, Slot, StepSignature
from heddle.core.step import StepConfig, StepContext
from heddle.core.table import Table
from heddle.core.types import OPEN_ROW, Column, RowType, TypeSyntaxError, parse_type, row_of_schema

Role = Literal["input", "config", "context"]
RowSpec: TypeAlias = type[Table] | RowType | Mapping[str, str] | pa.Schema
Infer: TypeAlias = Callable[..., RowSpec]
"""From a step's settings, and the input's row where it takes two arguments, to the output's row."""
Estimate: TypeAlias = Callable[[Any], int | None]
"""From a step's settings to about how many rows it would give, None where the service does not know."""
ResourceSpec = str | Mapping[str, str]
FlowKind = Literal["writer", "stream"]

ROWS_VALUES: tuple[Rows, ...] = ("map", "filter", "flat", "table")
_BY_NAME: Mapping[str, Role] = {
    "input": "input",
    "input_table": "input",
    "table": "input",
    "config": "config",
    "context": "context",
}
_TAKEN = {"resource": "the resource", "resources": "the resources", "base": "the program's folder"}
_STREAMS = (Iterator, Iterable, Generator)


class PluginError(TypeError):
    """A registration that cannot work; the message names the function and the cure."""


@record(frozen=True, slots=True)
class Properties:
    """What a step declares of itself (language.md section 8)."""

    rows: Rows = "table"
    passthrough: bool = False
    deterministic: bool | None = None
    idempotent: bool | None = None
    effect: bool | None = None
    wait: bool = False
    slots: tuple[Slot, ...] = ()
    sql: str = ""
    lookup: bool = False


@record(frozen=True, slots=True)
class StepFunction:
    """A step that can be called: `arguments` are what its parameters take, in order, with the names of those
    that are given by name.

    `call` is None for a step that is declared without a body.
    """

    signature: StepSignature
    call: Callable[..., object] | None
    arguments: tuple[tuple[Role, str | None], ...] = ()
    config_class: Any = None
    input_class: type[Table] = Table
    infer: Infer | None = None
    estimate: Estimate | None = None

    def config(self, values: Mapping[str, ConfigValue], resources: Mapping[str, object]) -> object:
        """The settings as the function's annotation wants them; resources go into a `StepConfig`."""
        if self.config_class is None:
            return None
        cls = get_origin(self.config_class) or self.config_class
        if isinstance(cls, type) and issubclass(cls, StepConfig):
            return instantiate(self.config_class, dict(values), resources=resources)
        return instantiate(self.config_class, dict(values))

    def invoke(self, config: object, table: Table | None, context: StepContext) -> object:
        assert self.call is not None, f"{self.signature.name} has no body"
        given: dict[Role, object] = {"config": config, "input": table, "context": context}
        positional: list[object] = []
        named: dict[str, object] = {}
        for role, name in self.arguments:
            if name is None:
                positional.append(given[role])
            else:
                named[name] = given[role]
        return self.call(*positional, **named)


@record(frozen=True, slots=True)
class ResourceFunction:
    signature: ResourceSignature
    call: Callable[..., object] | None
    config_class: Any = None
    takes_config: bool = field(default=False)

    def open(self, values: Mapping[str, ConfigValue], base: str) -> object:
        assert self.call is not None, f"{self.signature.name} has no body"
        if not self.takes_config:
            return self.call()
        cls = get_origin(self.config_class) or self.config_class
        if isinstance(cls, type) and issubclass(cls, ResourceConfig):
            return self.call(instantiate(self.config_class, dict(values), base=base))
        return self.call(instantiate(self.config_class, dict(values)))


def bind_step(
    function: Callable[..., object],
    name: str,
    properties: Properties,
    output: RowSpec | None = None,
    infer: Infer | None = None,
    estimate: Estimate | None = None,
) -> StepFunction:
    """The function as a step. Raises `PluginError`."""
    where = f"step `{name}` (function `{function.__name__}`)"
    hints, arguments = _parameters(function, where)
    by_role = {role: hints.get(parameter.name) for role, parameter in arguments}
    config_class = by_role.get("config")
    input_class, input_mode = _input(by_role, where)
    _check_slots(properties, config_class, where)
    row = row_of(output, where) if output is not None else _output(hints, where)
    signature = StepSignature(
        name=name,
        input_mode=input_mode,
        input=_row(input_class, where),
        output=row,
        output_from_config=infer is not None,
        config=settings_of(config_class, where),
        config_open=_takes_any(config_class),
        estimates=estimate is not None,
        doc=inspect.getdoc(function) or "",
    )
    signature = with_properties(signature, properties, where)
    if infer is not None:
        check_infer(infer, signature, where)
    return StepFunction(signature, function, _taken(arguments), config_class, input_class, infer, estimate)


def bind_flow(
    function: Callable[..., object],
    name: str,
    kind: FlowKind,
    properties: Properties,
    infer: Infer | None = None,
) -> StepFunction:
    """A function that gives a `Writer` or a `Stream` as a step. Raises `PluginError`."""
    where = f"{kind} `{name}` (function `{function.__name__}`)"
    hints, arguments = _parameters(function, where)
    by_role = {role: hints.get(parameter.name) for role, parameter in arguments}
    if "input" in by_role:
        raise PluginError(
            f"{where} takes no rows; what it returns does: def {function.__name__}(config, context)"
        )
    config_class = by_role.get("config")
    _check_slots(properties, config_class, where)
    signature = StepSignature(
        name=name,
        input_mode="required" if kind == "writer" else "none",
        output=None if kind == "writer" else OPEN_ROW,
        output_from_config=kind == "stream",
        config=settings_of(config_class, where),
        config_open=_takes_any(config_class),
        writer=kind == "writer",
        stream=kind == "stream",
        doc=inspect.getdoc(function) or "",
    )
    signature = with_properties(signature, properties, where)
    if infer is not None:
        check_infer(infer, signature, where)
    return StepFunction(signature, function, _taken(arguments), config_class, Table, infer)


def bind_resource(function: Callable[..., object], name: str) -> ResourceFunction:
    """The function, or the class, as a resource. Raises `PluginError`."""
    where = f"resource `{name}` (`{function.__name__}`)"
    target: Any = vars_of(function)["__init__"] if isinstance(function, type) else function
    hints = _hints(target, where)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    if len(parameters) > 1:
        names = ", ".join(p.name for p in parameters)
        raise PluginError(f"{where} takes ({names}); it may take one parameter, its config")
    config_class = hints.get(parameters[0].name) if parameters else None
    if parameters and config_class is None:
        raise PluginError(
            f"{where}: annotate the parameter `{parameters[0].name}` with a subclass of ResourceConfig"
        )
    signature = ResourceSignature(
        name, settings_of(config_class, where), _takes_any(config_class), inspect.getdoc(function) or ""
    )
    return ResourceFunction(signature, function, config_class, bool(parameters))


def with_properties(signature: StepSignature, properties: Properties, where: str) -> StepSignature:
    if properties.rows not in ROWS_VALUES:
        known = ", ".join(f'"{value}"' for value in ROWS_VALUES)
        raise PluginError(f'{where}: rows="{properties.rows}" is not one of {known}')
    if properties.passthrough and (signature.input_mode == "none" or signature.output is None):
        raise PluginError(f"{where}: passthrough=True needs a step that takes a Table and returns one")
    if properties.deterministic and properties.effect:
        raise PluginError(f"{where}: effect=True and deterministic=True exclude each other; drop one")
    if properties.lookup and signature.input_mode != "optional":
        raise PluginError(f"{where}: a lookup is called with values and without: take `input: Table | None`")
    return replace(
        signature,
        rows=properties.rows,
        passthrough=properties.passthrough,
        deterministic=properties.deterministic,
        idempotent=properties.idempotent,
        effect=properties.effect,
        wait=properties.wait,
        slots=properties.slots,
        sql=properties.sql,
        lookup=properties.lookup,
    )


def slots_of(resource: ResourceSpec | None, where: str) -> tuple[Slot, ...]:
    match resource:
        case None:
            return ()
        case str():
            return (Slot(resource, resource),)
        case Mapping():
            return tuple(Slot(slot, type_) for slot, type_ in resource.items())
        case _:
            raise PluginError(f"{where}: resource= takes a resource's name, or a dict from slot to resource")


def row_of(spec: RowSpec, where: str) -> RowType:
    """A row type of a Table class, a row type, or a dict from column to type text."""
    match spec:
        case RowType():
            return spec
        case pa.Schema():
            return row_of_schema(spec)
        case Mapping():
            try:
                parsed = [(name, parse_type(text)) for name, text in spec.items()]
            except TypeSyntaxError as error:
                raise PluginError(f"{where}: {error}") from error
            return RowType(tuple(Column(name, type_, nullable) for name, (type_, nullable) in parsed))
        case _:
            return _row(spec, where)


def check_infer(infer: Infer, signature: StepSignature, where: str) -> None:
    """Raises `PluginError` for a function that cannot be asked for the output's row."""
    if signature.output is None:
        raise PluginError(f"{where} returns nothing, so there is nothing to infer; drop infer=")
    if infer_takes(infer) not in (1, 2):
        raise PluginError(
            f"{where}: the function given as infer= takes the settings, and the input's row if it wants that"
        )


def infer_takes(infer: Infer) -> int:
    """How many arguments it takes."""
    parameters = inspect.signature(infer).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 2
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def inferred_row(infer: Infer, config: object, input: RowType, where: str) -> RowType:
    """What `infer` says of the output. Raises `PluginError` when that is no row, and what `infer` raises."""
    spec: object = infer(config, input) if infer_takes(infer) == 2 else infer(config)
    is_class = isinstance(spec, type) and issubclass(spec, Table)
    if not is_class and not isinstance(spec, RowType | Mapping | pa.Schema):
        raise PluginError(
            f"{where}: infer= returned {type(spec).__name__}; it returns a Table class, a dict from "
            "column to type, an Arrow schema or a RowType"
        )
    return row_of(spec, where)


def settings_of(config_class: Any, where: str) -> tuple[ConfigField, ...]:
    if config_class is None or _takes_any(config_class):
        return ()
    cls = get_origin(config_class) or config_class
    taken = [name for name in inspect.get_annotations(cls) if name in _TAKEN]
    if taken:
        raise PluginError(f"{where}: rename the setting `{taken[0]}`; that name holds {_TAKEN[taken[0]]}")
    try:
        return config_fields(config_class)
    except AnnotationError as error:
        raise PluginError(f"{where}: {error}") from error


def role_of(hint: Any) -> Role | None:
    """What a parameter with this annotation takes; None when the annotation says nothing of that."""
    cls = get_origin(hint) or hint
    if _table_class(hint) is not None:
        return "input"
    if isinstance(cls, type) and issubclass(cls, StepContext):
        return "context"
    return "config" if is_config_class(hint) or _takes_any(hint) else None


def streams(hint: Any) -> bool:
    """Whether a return annotation is an iterator of tables."""
    return get_origin(hint) in _STREAMS


def _hints(function: Any, where: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise PluginError(
            f"{where}: its annotations name `{error.name}`, which the module does not define; "
            "import it outside of `if TYPE_CHECKING:`"
        ) from error
    except TypeError as error:
        raise PluginError(f"{where}: an annotation is not a type ({error})") from error


def _parameters(
    function: Callable[..., object], where: str
) -> tuple[dict[str, Any], tuple[tuple[Role, inspect.Parameter], ...]]:
    """A function's annotations, and what each of its parameters takes."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(f"{where} is `async`; write a plain `def` and call `asyncio.run` inside it")
    hints = _hints(function, where)
    arguments = _arguments(function, hints, where)
    roles = [role for role, _ in arguments]
    for role in ("input", "config", "context"):
        if roles.count(role) > 1:
            raise PluginError(f"{where} has two parameters for the {role}; keep one")
    return hints, arguments


def _taken(
    arguments: tuple[tuple[Role, inspect.Parameter], ...],
) -> tuple[tuple[Role, str | None], ...]:
    by_name = inspect.Parameter.KEYWORD_ONLY
    return tuple((role, p.name if p.kind is by_name else None) for role, p in arguments)


def _arguments(
    function: Callable[..., object], hints: Mapping[str, Any], where: str
) -> tuple[tuple[Role, inspect.Parameter], ...]:
    result: list[tuple[Role, inspect.Parameter]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PluginError(f"{where} takes `*{parameter.name}`; name its parameters one by one")
        hint = hints.get(parameter.name)
        role = _BY_NAME.get(parameter.name) if hint is None else role_of(hint)
        if role is None and parameter.default is not parameter.empty:
            continue
        if role is None:
            raise PluginError(
                f"{where}: it is not clear what the parameter `{parameter.name}` takes; annotate it with "
                "Table or a subclass, a config class (StepConfig, TypedDict, dataclass), or StepContext"
            )
        result.append((role, parameter))
    return tuple(result)


def _input(by_role: Mapping[Role, Any], where: str) -> tuple[type[Table], InputMode]:
    if "input" not in by_role:
        return Table, "none"
    hint = by_role["input"]
    found = _table_class(hint) if hint is not None else (Table, False)
    assert found is not None, where
    cls, optional = found
    return cls, "optional" if optional else "required"


def _output(hints: Mapping[str, Any], where: str) -> RowType | None:
    if "return" not in hints:
        return OPEN_ROW
    hint = hints["return"]
    if hint is None or hint is type(None):
        return None
    if get_origin(hint) is AsyncIterator:
        raise PluginError(f"{where} returns an AsyncIterator; return an Iterator of Tables")
    item = get_args(hint)[0] if streams(hint) and get_args(hint) else hint
    found = _table_class(item)
    if found is not None and not found[1]:
        return _row(found[0], where)
    if item in (pa.Table, pa.RecordBatch) or getattr(item, "__name__", "") == "DataFrame":
        return OPEN_ROW
    shown = getattr(item, "__name__", item)
    raise PluginError(f"{where} returns `{shown}`; a step returns a Table, an Iterator of Tables, or None")


def _table_class(hint: Any) -> tuple[type[Table], bool] | None:
    """The Table class in `T` or `T | None`, and whether None is allowed."""
    if isinstance(hint, type) and issubclass(hint, Table):
        return hint, False
    rest = [a for a in get_args(hint) if a is not type(None)]
    if len(rest) == 1 and len(rest) < len(get_args(hint)):
        found = _table_class(rest[0])
        return (found[0], True) if found else None
    return None


def _row(cls: type[Table], where: str) -> RowType:
    try:
        return cls.row_type()
    except AnnotationError as error:
        raise PluginError(f"{where}: {error}") from error


def _check_slots(properties: Properties, config_class: Any, where: str) -> None:
    cls = get_origin(config_class) or config_class
    if properties.slots and not (isinstance(cls, type) and issubclass(cls, StepConfig)):
        raise PluginError(
            f"{where} uses a resource, so it needs a parameter `config: StepConfig` that brings it"
        )


def _takes_any(hint: Any) -> bool:
    """A bare `dict` takes any settings."""
    return hint is dict or (get_origin(hint) in (dict, Mapping) and get_args(hint)[:1] == (str,))
