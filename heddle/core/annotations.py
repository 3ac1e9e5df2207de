"""Python annotations -> column types and config types.

The classes of a plugin are its schema: `row_of_class` reads a `Table` subclass, `config_fields` a
`TypedDict`, a dataclass or a `Settings` class. `instantiate` goes the other way: checked settings of a
program become the value that a function's annotation asks for. Raises `AnnotationError`.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import types
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import pyarrow as pa

from heddle.core.config import ConfigField, ConfigType, ConfigValue
from heddle.core.settings import SettingMark, Settings, is_secret, vars_of
from heddle.core.types import OPEN_ROW, TIMESTAMP, Column, RowType, TypeSyntaxError, parse_type


class AnnotationError(TypeError):
    """An annotation that is not a column's or a setting's type; the message says what is."""


_COLUMN_TYPES: Mapping[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    datetime.datetime: TIMESTAMP,
    datetime.date: pa.date32(),
    datetime.time: pa.time64("us"),
    datetime.timedelta: pa.duration("us"),
}

Int8 = Annotated[int, pa.int8()]
Int16 = Annotated[int, pa.int16()]
Int32 = Annotated[int, pa.int32()]
UInt8 = Annotated[int, pa.uint8()]
UInt16 = Annotated[int, pa.uint16()]
UInt32 = Annotated[int, pa.uint32()]
UInt64 = Annotated[int, pa.uint64()]
Float32 = Annotated[float, pa.float32()]


def row_of_class(cls: type) -> RowType:
    """The row type that a class's annotations name; without any it is open."""
    return _row_of_class(cls)


@lru_cache(maxsize=1024)
def _row_of_class(cls: type) -> RowType:
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise AnnotationError(_unresolved(cls.__name__, error)) from error
    columns: list[Column] = []
    for name, hint in hints.items():
        if name.startswith("_") or get_origin(hint) is ClassVar or hint is ClassVar:
            continue
        try:
            columns.append(column_of(name, hint))
        except AnnotationError as error:
            raise AnnotationError(f"{cls.__name__}.{name}: {error}") from error
    return RowType(tuple(columns)) if columns else OPEN_ROW


def column_of(name: str, hint: Any) -> Column:
    inner, nullable = _optional(hint)
    return Column(name, _column_type(inner), nullable)


def config_fields(hint: Any) -> tuple[ConfigField, ...]:
    """The settings that a config class names."""
    cls = get_origin(hint) or hint
    try:
        hints, defaults = _settings_of(cls)
    except NameError as error:
        raise AnnotationError(_unresolved(cls.__name__, error)) from error
    fields: list[ConfigField] = []
    optional = _optional_keys(cls, hints)
    for name, field_hint in hints.items():
        try:
            fields.append(_config_field(name, field_hint, name in optional, defaults))
        except AnnotationError as error:
            raise AnnotationError(f"{cls.__name__}.{name}: {error}") from error
    return tuple(fields)


def config_type(hint: Any) -> ConfigType:
    """The config type of one setting's annotation."""
    inner, nullable = _optional(hint)
    return dataclasses.replace(_config_type(inner), nullable=nullable or inner is Any)


def is_config_class(hint: Any) -> bool:
    cls = get_origin(hint) or hint
    return isinstance(cls, type) and (
        is_typeddict(cls) or dataclasses.is_dataclass(cls) or issubclass(cls, Settings)
    )


def instantiate(hint: Any, value: ConfigValue, **extra: object) -> Any:
    """A checked setting as the annotation wants it: nested classes are made, a TypedDict keeps only the
    keys that were given. `extra` goes to the outermost class."""
    if value is None:
        return None
    inner, _ = _optional(hint)
    cls = get_origin(inner) or inner
    if is_config_class(inner) and isinstance(value, dict):
        return _instance(cls, value, extra)
    if isinstance(cls, type) and issubclass(cls, enum.Enum):
        return cls(value)
    arguments = get_args(inner)
    if isinstance(value, list) and arguments:
        items = [instantiate(arguments[0], item) for item in value]
        return tuple(items) if cls is tuple else items
    if isinstance(value, dict) and len(arguments) == 2:
        return {key: instantiate(arguments[1], item) for key, item in value.items()}
    return value


def _instance(cls: type, values: dict[str, ConfigValue], extra: Mapping[str, object]) -> Any:
    hints, defaults = _settings_of(cls)
    if is_typeddict(cls):
        # An absent NotRequired key arrives as None, because that is a config field's default.
        optional = _optional_keys(cls, hints)
        given = {
            key: item
            for key, item in values.items()
            if not (item is None and key in optional and not _optional(hints[key])[1])
        }
        return {key: instantiate(hints[key], item) for key, item in given.items()}
    made: dict[str, object] = {}
    for key, item in values.items():
        if item is None and defaults.get(key) is not None and not _optional(hints[key])[1]:
            continue
        made[key] = instantiate(hints[key], item)
    return cls(**made, **extra)


def _column_type(hint: Any) -> pa.DataType:
    if isinstance(hint, pa.DataType):
        return hint
    if hint in _COLUMN_TYPES:
        return _COLUMN_TYPES[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _marked_column(arguments[0], arguments[1:])
    if origin in (list, Sequence) and arguments:
        item, nullable = _optional(arguments[0])
        return pa.list_(pa.field("item", _column_type(item), nullable=nullable))
    if origin in (dict, Mapping) and len(arguments) == 2:
        key, (item, nullable) = _column_type(_optional(arguments[0])[0]), _optional(arguments[1])
        return pa.map_(key, pa.field("value", _column_type(item), nullable=nullable))
    if origin is Literal and all(isinstance(a, str) for a in arguments):
        return pa.string()
    if hint is decimal.Decimal:
        raise AnnotationError("a decimal needs its digits: write Annotated[Decimal, (10, 2)]")
    if isinstance(hint, type) and hint is not object and getattr(hint, "__annotations__", None):
        row = row_of_class(hint)
        return pa.struct([pa.field(c.name, c.type, nullable=c.nullable) for c in row.columns])
    raise AnnotationError(
        f"{_shown(hint)} is not a column type; use int, float, str, bool, bytes, datetime, date, time, "
        "timedelta, Annotated[Decimal, (10, 2)], list[T], dict[str, T], a class with annotations, or T | None"
    )


def _marked_column(hint: Any, marks: tuple[Any, ...]) -> pa.DataType:
    for mark in marks:
        if isinstance(mark, pa.DataType):
            return mark
        if isinstance(mark, str):
            try:
                return parse_type(mark)[0]
            except TypeSyntaxError as error:
                raise AnnotationError(str(error)) from error
        if hint is decimal.Decimal and isinstance(mark, tuple) and len(mark) == 2:
            try:
                return parse_type(f"decimal({mark[0]},{mark[1]})")[0]
            except TypeSyntaxError as error:
                raise AnnotationError(str(error)) from error
    return _column_type(hint)


def _optional_keys(cls: Any, hints: Mapping[str, Any]) -> frozenset[str]:
    """The keys that a TypedDict may lack. It cannot know its own marks when annotations are postponed."""
    if not is_typeddict(cls):
        return frozenset()
    marked = {key for key, hint in hints.items() if get_origin(hint) is NotRequired}
    required = {key for key, hint in hints.items() if get_origin(hint) is Required}
    return frozenset((cls.__optional_keys__ - required) | marked)


def _config_field(name: str, hint: Any, optional: bool, defaults: Mapping[str, Any]) -> ConfigField:
    secret = is_secret(hint)
    if name in defaults:
        return ConfigField(name, config_type(hint), False, _plain_default(defaults[name]), secret)
    return ConfigField(name, config_type(hint), not optional, None, secret)


def _config_type(hint: Any) -> ConfigType:
    simple: dict[Any, ConfigType] = {
        Any: ConfigType("any", nullable=True),
        bool: ConfigType("bool"),
        int: ConfigType("int"),
        float: ConfigType("float"),
        str: ConfigType("string"),
        list: ConfigType("list"),
        dict: ConfigType("map"),
    }
    if isinstance(hint, type | type(Any)) and hint in simple:
        return simple[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if SettingMark("statement") in arguments[1:]:
            return ConfigType("statement")
        if SettingMark("row") in arguments[1:]:
            return ConfigType("row")
        return config_type(arguments[0])
    if origin is Literal:
        return ConfigType("choice", choices=tuple(arguments))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return ConfigType("choice", choices=tuple(member.value for member in hint))
    if origin in (list, Sequence) or (origin is tuple and arguments[1:] == (Ellipsis,)):
        return ConfigType("list", items=config_type(arguments[0]))
    if origin in (dict, Mapping) and _optional(arguments[0])[0] is str:
        return ConfigType("map", items=config_type(arguments[1]))
    if is_config_class(hint):
        return ConfigType("struct", fields=config_fields(hint))
    raise AnnotationError(
        f"{_shown(hint)} is not a setting's type; use str, int, float, bool, Literal[…], list[T], "
        "dict[str, T], a TypedDict, a dataclass, Secret[str], or T | None"
    )


def _settings_of(cls: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The annotations and the defaults of a config class."""
    if is_typeddict(cls):
        return get_type_hints(cls, include_extras=True), {}
    if dataclasses.is_dataclass(cls):
        hints = get_type_hints(cls, include_extras=True)
        fields = [f for f in dataclasses.fields(cls) if f.init]
        defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
        for field in fields:
            if field.default_factory is not dataclasses.MISSING:
                defaults[field.name] = field.default_factory()
        return {f.name: hints[f.name] for f in fields}, defaults
    hints = cls.setting_annotations()
    attributes = vars_of(cls)
    return hints, {name: attributes[name] for name in hints if name in attributes}


def _plain_default(value: Any) -> ConfigValue:
    if isinstance(value, enum.Enum):
        return _plain_default(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain_default(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain_default(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain_default(dataclasses.asdict(value))
    if isinstance(value, Settings):
        return _plain_default({key: getattr(value, key) for key in value.setting_annotations()})
    raise AnnotationError(f"its default is {_shown(type(value))}, which a program could not write")


def _optional(hint: Any) -> tuple[Any, bool]:
    """`T | None` -> (T, True); `Required` and `NotRequired` are looked through."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (NotRequired, Required):
        return _optional(arguments[0])
    if origin is Annotated:
        inner, nullable = _optional(arguments[0])
        return (Annotated[(inner, *arguments[1:])], True) if nullable else (hint, False)
    if origin in (Union, types.UnionType):
        rest = [a for a in arguments if a is not types.NoneType]
        if len(rest) < len(arguments) and len(rest) == 1:
            inner, _ = _optional(rest[0])
            return inner, True
    return hint, False


def _unresolved(owner: str, error: NameError) -> str:
    return (
        f"the annotations of {owner} name `{error.name}`, which the module does not define at run time; "
        "import it outside of `if TYPE_CHECKING:`"
    )


def _shown(hint: Any) -> str:
    return f"`{hint.__name__}`" if isinstance(hint, type) else f"`{hint}`"
