"""Messages of Protobuf as rows: the columns of a message's fields, its values, and a message of a row."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa

from fhub.kafka.failures import KafkaProblem
from heddle.core.types import TIMESTAMP

if TYPE_CHECKING:
    from google.protobuf.message import Message

Descriptor: TypeAlias = Any
FieldDescriptor: TypeAlias = Any
"""Those of google.protobuf: its annotations name classes of each of its implementations."""

_MICROSECOND: Final = datetime.timedelta(microseconds=1)
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_KINDS: Final[Mapping[str, pa.DataType]] = {
    "int32": pa.int64(),
    "sint32": pa.int64(),
    "sfixed32": pa.int64(),
    "uint32": pa.int64(),
    "fixed32": pa.int64(),
    "int64": pa.int64(),
    "sint64": pa.int64(),
    "sfixed64": pa.int64(),
    "uint64": pa.uint64(),
    "fixed64": pa.uint64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "bytes": pa.binary(),
    "enum": pa.string(),
}
_NAMES: Final = (
    *("double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "group"),
    *("message", "bytes", "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64"),
)
"""Names of the kinds of fields, in the order of their numbers, which begin with 1."""
_WRAPPED: Final = {
    f"google.protobuf.{name}Value": kind
    for name, kind in {
        "Double": "double",
        "Float": "float",
        "Int64": "int64",
        "UInt64": "uint64",
        "Int32": "int32",
        "UInt32": "uint32",
        "Bool": "bool",
        "String": "string",
        "Bytes": "bytes",
    }.items()
}
_MOMENT: Final = "google.protobuf.Timestamp"
_DURATION: Final = "google.protobuf.Duration"
_AS_JSON: Final = frozenset(f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue", "Any"))


def row_type(descriptor: Descriptor) -> pa.Schema:
    """Raises `KafkaProblem` for a message that contains itself."""
    return pa.schema(_fields(descriptor, ()))


def values_of(message: Message) -> dict[str, Any]:
    """The fields as Arrow takes them; a field without presence has its default, any other may be null."""
    return {field.name: _field_value(message, field) for field in message.DESCRIPTOR.fields}


def filled(message: Message, row: Mapping[str, Any]) -> None:
    """Set the fields of a new message. Raises `TypeError`, `ValueError` and `AttributeError`."""
    for field in message.DESCRIPTOR.fields:
        value = row.get(field.name)
        if value is None:
            continue
        if _is_map(field):
            _fill_map(getattr(message, field.name), field, value)
        elif field.is_repeated:
            into = getattr(message, field.name)
            for item in value:
                if field.message_type is None:
                    into.append(_scalar_in(field, item))
                else:
                    _fill_message(into.add(), item)
        elif field.message_type is None:
            setattr(message, field.name, _scalar_in(field, value))
        else:
            inner = getattr(message, field.name)
            inner.SetInParent()
            _fill_message(inner, value)


def _fields(descriptor: Descriptor, inside: tuple[str, ...]) -> list[pa.Field]:
    if descriptor.full_name in inside:
        raise KafkaProblem(f"the message `{descriptor.full_name}` contains itself, which no column can")
    inside = (*inside, descriptor.full_name)
    return [
        pa.field(field.name, _field_type(field, inside), nullable=field.has_presence)
        for field in descriptor.fields
    ]


def _field_type(field: FieldDescriptor, inside: tuple[str, ...]) -> pa.DataType:
    if _is_map(field):
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        item = pa.field("value", _single_type(value, inside), nullable=value.message_type is not None)
        return pa.map_(_single_type(key, inside), item)
    type_ = _single_type(field, inside)
    return pa.list_(pa.field("item", type_, nullable=False)) if field.is_repeated else type_


def _single_type(field: FieldDescriptor, inside: tuple[str, ...]) -> pa.DataType:
    if field.message_type is None:
        return _KINDS[_NAMES[field.type - 1]]
    name = field.message_type.full_name
    if name == _MOMENT:
        return TIMESTAMP
    if name == _DURATION:
        return pa.duration("us")
    if name in _WRAPPED:
        return _KINDS[_WRAPPED[name]]
    if name in _AS_JSON:
        return pa.string()
    return pa.struct(_fields(field.message_type, inside))


def _field_value(message: Message, field: FieldDescriptor) -> Any:
    if field.has_presence and not message.HasField(field.name):
        return None
    value = getattr(message, field.name)
    if _is_map(field):
        inner = field.message_type.fields_by_name["value"]
        return [(key, _single_value(inner, value[key])) for key in value]
    if field.is_repeated:
        return [_single_value(field, item) for item in value]
    return _single_value(field, value)


def _single_value(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return str(value) if known is None else known.name
    if field.message_type is None:
        return value
    name = field.message_type.full_name
    if name == _MOMENT:
        return value.seconds * 1_000_000 + value.nanos // 1000
    if name == _DURATION:
        # Towards zero, as both parts have the sign of the whole.
        return value.seconds * 1_000_000 + int(value.nanos / 1000)
    if name in _WRAPPED:
        return value.value
    if name in _AS_JSON:
        from google.protobuf.json_format import MessageToJson

        return MessageToJson(value, indent=None)
    return values_of(value)


def _scalar_in(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is None or not isinstance(value, str):
        return value
    known = field.enum_type.values_by_name.get(value)
    if known is None:
        raise ValueError(f"`{field.name}` has no {value!r}")
    return known.number


def _fill_message(message: Message, value: Any) -> None:
    name = message.DESCRIPTOR.full_name
    fill = _FILL.get(name)
    if fill is not None:
        fill(message, value)
    elif name in _WRAPPED:
        message.value = value  # type: ignore[attr-defined]  # the field of every wrapper
    elif isinstance(value, Mapping):
        unknown = [key for key in value if key not in message.DESCRIPTOR.fields_by_name]
        if unknown:
            raise ValueError(f"`{name}` has no field `{unknown[0]}`")
        filled(message, value)
    else:
        raise TypeError(f"{type(value).__name__} where a `{name}` is wanted")


def _fill_map(into: Any, field: FieldDescriptor, value: Any) -> None:
    inner = field.message_type.fields_by_name["value"]
    pairs = value.items() if isinstance(value, Mapping) else value
    for key, item in pairs:
        if inner.message_type is None:
            into[key] = _scalar_in(inner, item)
        else:
            _fill_message(into[key], item)


def _fill_moment(message: Any, value: datetime.datetime) -> None:
    moment = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    message.FromMicroseconds((moment - _EPOCH) // _MICROSECOND)


def _fill_duration(message: Any, value: datetime.timedelta) -> None:
    message.FromMicroseconds(value // _MICROSECOND)


def _fill_json(message: Any, value: str) -> None:
    from google.protobuf.json_format import Parse

    Parse(value, message)


_FILL: Final[Mapping[str, Callable[[Any, Any], None]]] = {
    _MOMENT: _fill_moment,
    _DURATION: _fill_duration,
    **dict.fromkeys(_AS_JSON, _fill_json),
}


def _is_map(field: FieldDescriptor) -> bool:
    return bool(
        field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry
    )
