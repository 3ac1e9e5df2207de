"""Protobuf by a schema registry: values -> rows and back.

The registry gives a schema as a descriptor, so no compiler is needed. Fields are found by name: one that a
message's own schema does not have is null. Enums are texts, `Timestamp`, `Duration` and the wrappers of
google.protobuf are what they stand for.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from fhub.cells import Misfit
from fhub.kafka.avro import no_schema
from fhub.kafka.broker import Broker
from fhub.kafka.decoding import Decoded, Decoder
from fhub.kafka.encoding import ValueEncoder
from fhub.kafka.failures import KafkaProblem, install_hint
from fhub.kafka.protobuf_types import filled, row_type, values_of
from fhub.kafka.registered_rows import rows_of
from fhub.kafka.registry import Registered, SchemaRegistry, framed, subject_of, unframed

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

KIND: Final = "PROTOBUF"


class File:
    """The messages of one registered schema, by the path of their numbers."""

    def __init__(self, registry: SchemaRegistry, registered: Registered) -> None:
        try:
            from google.protobuf.descriptor_pool import DescriptorPool
            from google.protobuf.message_factory import GetMessageClass
        except ImportError as error:
            raise install_hint("protobuf") from error

        self._class_of = GetMessageClass
        self.id = registered.id
        pool = DescriptorPool()
        _add_well_known(pool)
        try:
            self._file = _add(pool, registry, registered, f"schema-{registered.id}.proto", set())
        except (TypeError, ValueError, KeyError) as error:
            raise KafkaProblem(f"the registered schema {registered.id} cannot be read: {error}") from error
        self._found: dict[tuple[int, ...], type[Message]] = {}

    def message(self, path: tuple[int, ...]) -> type[Message]:
        """Raises `Misfit`."""
        found = self._found.get(path)
        if found is None:
            found = self._found[path] = self._class_of(self._descriptor(path))
        return found

    def _descriptor(self, path: tuple[int, ...]) -> Any:
        kinds = list(self._file.message_types_by_name.values())
        try:
            descriptor = kinds[path[0]]
            for number in path[1:]:
                descriptor = descriptor.nested_types[number]
        except IndexError:
            raise Misfit(f"its schema {self.id} has no message {list(path)}") from None
        return descriptor


class ProtobufDecoder(Decoder):
    """The columns are the fields of the first message of the topic's newest schema."""

    def __init__(self, registry: SchemaRegistry, newest: Registered, declared: pa.Schema | None) -> None:
        self._registry = registry
        file = File(registry, newest)
        self._files = {newest.id: file}
        self._found = row_type(file.message((0,)).DESCRIPTOR)
        self.schema = self._found if declared is None else declared

    @staticmethod
    def open(cluster: Broker, topic: str, declared: pa.Schema | None) -> ProtobufDecoder:
        registry = cluster.registry()
        return ProtobufDecoder(registry, newest_of(registry, topic), declared)

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        return rows_of(values, self._row, self._found, self.schema)

    def _row(self, value: bytes | None) -> Mapping[str, Any]:
        from google.protobuf.message import DecodeError

        id, rest = unframed(value)
        path, payload = _path(rest)
        file = self._files.get(id)
        if file is None:
            file = self._files[id] = self._written_with(id)
        message = file.message(path)()
        try:
            message.ParseFromString(payload)
        except DecodeError as error:
            raise Misfit(f"it is not what its schema {id} says: {error}") from error
        return values_of(message)

    def _written_with(self, id: int) -> File:
        try:
            registered = self._registry.by_id(id, serialized=True)
            if registered.kind != KIND:
                raise Misfit(f"its schema {id} is {registered.kind.capitalize()}")
            return File(self._registry, registered)
        except KafkaProblem as problem:
            raise Misfit(str(problem)) from problem


class ProtobufEncoder(ValueEncoder):
    """Writes the first message of the topic's newest schema."""

    def __init__(self, registry: SchemaRegistry, topic: str) -> None:
        newest = newest_of(registry, topic)
        self._subject = subject_of(topic)
        self._id = newest.id
        self._message = File(registry, newest).message((0,))

    @staticmethod
    def open(cluster: Broker, topic: str) -> ProtobufEncoder:
        return ProtobufEncoder(cluster.registry(), topic)

    def encode(self, rows: pa.Table) -> Sequence[bytes | str | None]:
        fields = self._message.DESCRIPTOR.fields_by_name
        unknown = [name for name in rows.column_names if name not in fields]
        if unknown:
            raise KafkaProblem(
                f"`{unknown[0]}` is no field of the schema of `{self._subject}`; name the columns to "
                "be written in `columns`"
            )
        values: list[bytes | str | None] = []
        for row in rows.to_pylist():
            message = self._message()
            try:
                filled(message, row)
            except (TypeError, ValueError, AttributeError) as error:
                raise KafkaProblem(
                    f"a row does not fit the schema {self._id} of `{self._subject}`: {error}"
                ) from error
            # A zero stands for the path to the first message.
            values.append(framed(self._id, b"\0" + message.SerializeToString()))
        return values


def newest_of(registry: SchemaRegistry, topic: str) -> Registered:
    newest = registry.latest(subject_of(topic), serialized=True)
    if newest is None or newest.kind != KIND:
        raise no_schema(registry, topic, KIND, newest)
    return newest


def _add(
    pool: DescriptorPool, registry: SchemaRegistry, registered: Registered, name: str, added: set[str]
) -> Any:
    """The schema's file in the pool, behind those that it imports."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.message import DecodeError

    for imported, (subject, version) in registered.references.items():
        if imported not in added:
            added.add(imported)
            referred = registry.version(subject, version, serialized=True)
            _add(pool, registry, referred, imported, added)
    file = FileDescriptorProto()
    try:
        file.ParseFromString(b64decode(registered.text, validate=True))
    except (ValueError, DecodeError) as error:  # what is no base64 is a ValueError
        raise KafkaProblem(
            f"the registry at {registry.url} does not give the schema {registered.id} as a descriptor"
        ) from error
    file.name = name
    return pool.AddSerializedFile(file.SerializeToString())


def _add_well_known(pool: DescriptorPool) -> None:
    """The files of google.protobuf that schemas import."""
    from google.protobuf import (
        any_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )

    for module in (any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)


def _path(value: bytes) -> tuple[tuple[int, ...], bytes]:
    """Which message of the schema's file it is, and the message. Raises `Misfit`."""
    count, at = _zigzag(value, 0)
    if count == 0:
        return (0,), value[at:]
    if not 0 < count <= 64:
        raise Misfit("it does not say which message it is")
    path = []
    for _ in range(count):
        number, at = _zigzag(value, at)
        if number < 0:
            raise Misfit("it does not say which message it is")
        path.append(number)
    return tuple(path), value[at:]


def _zigzag(value: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if at >= len(value) or shift > 28:
            raise Misfit("it does not say which message it is")
        byte = value[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1), at
        shift += 7
