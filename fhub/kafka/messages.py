"""Messages of Kafka as columns: what Kafka knows of them beside their values, and records of those that are
bad."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from fhub.kafka.decoding import Bad
from heddle.core.types import TIMESTAMP


class Message(Protocol):
    """A message that was read; confluent-kafka's class is also that of messages without a place."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...
    def error(self) -> Any: ...


HEADERS: Final = pa.list_(
    pa.field(
        "item",
        pa.struct([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.binary())]),
        nullable=False,
    )
)
_FIELDS: Final = {
    "headers": pa.field("headers", HEADERS, nullable=False),
    "timestamp": pa.field("timestamp", TIMESTAMP),
    "partition": pa.field("partition", pa.int64(), nullable=False),
    "offset": pa.field("offset", pa.int64(), nullable=False),
}


def extra_field(name: str, key_format: str) -> pa.Field:
    """The column that `columns` adds under this name."""
    if name == "key":
        return pa.field("key", pa.string() if key_format == "string" else pa.binary())
    return _FIELDS[name]


def extra_columns(messages: Sequence[Message], fields: Sequence[pa.Field]) -> dict[str, pa.Array]:
    """The columns of `fields` for these messages. Keys are UTF-8 where the column is text."""
    return {
        field.name: pa.array([_READ[field.name](message) for message in messages], field.type)
        for field in fields
    }


def bad_keys(messages: Sequence[Message]) -> list[Bad]:
    """The messages whose keys are no text."""
    return [
        Bad(index, 'its key is not UTF-8; with `key_format: "bytes"` keys are bytes')
        for index, message in enumerate(messages)
        if not _is_text(message.key())
    ]


def records(messages: Sequence[Message]) -> list[pa.Table]:
    """A record for each message, in tables of records of one shape: keys and values that are no text stand
    in `key_base64` and `value_base64`."""
    shapes: dict[tuple[str, ...], list[dict[str, object]]] = {}
    for message in messages:
        record = _record(message)
        shapes.setdefault(tuple(record), []).append(record)
    return [pa.Table.from_pylist(rows, _record_schema(names)) for names, rows in shapes.items()]


def _record(message: Message) -> dict[str, object]:
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": _timestamp_us(message),
        **_text_or_base64("key", message.key()),
        **_text_or_base64("value", message.value()),
    }


def _record_schema(names: Sequence[str]) -> pa.Schema:
    types = {"partition": pa.int64(), "offset": pa.int64(), "timestamp": TIMESTAMP}
    return pa.schema([(name, types.get(name, pa.string())) for name in names])


def _text_or_base64(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(value).decode()}


def _is_text(value: bytes | None) -> bool:
    if value is None:
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _timestamp_us(message: Message) -> int | None:
    kind, milliseconds = message.timestamp()
    return milliseconds * 1000 if kind else None


_READ: Final[Mapping[str, Callable[[Message], Any]]] = {
    "key": lambda message: message.key(),
    "headers": lambda message: [{"key": k, "value": v} for k, v in message.headers() or []],
    "timestamp": _timestamp_us,
    "partition": lambda message: message.partition(),
    "offset": lambda message: message.offset(),
}
