"""Avro by a schema registry: values -> rows and back, by fastavro.

A value is read with the schema that it was written with, as the newest schema of the topic says: fields that
it lacks have that schema's defaults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final

import pyarrow as pa

from fhub.cells import Misfit
from fhub.kafka.avro_types import avro_schema, reading_of
from fhub.kafka.broker import Broker
from fhub.kafka.decoding import Decoded, Decoder
from fhub.kafka.encoding import ValueEncoder
from fhub.kafka.failures import KafkaProblem, install_hint
from fhub.kafka.registered_rows import rows_of
from fhub.kafka.registry import Registered, SchemaRegistry, framed, subject_of, unframed
from fhub.kafka.text_rows import COLUMN

KIND: Final = "AVRO"


class AvroDecoder(Decoder):
    def __init__(self, registry: SchemaRegistry, newest: Registered, declared: pa.Schema | None) -> None:
        self._registry = registry
        self._reader, named = parsed(registry, newest)
        self._reading = reading_of(self._reader, named)
        self._is_record = _is_record(self._reader)
        type_ = self._reading.type if self._is_record else pa.struct([(COLUMN, self._reading.type)])
        self._found = pa.schema(list(type_))
        self.schema = declared if declared is not None else self._found
        self._writers: dict[int, Any] = {newest.id: self._reader}

    @staticmethod
    def open(cluster: Broker, topic: str, declared: pa.Schema | None) -> AvroDecoder:
        registry = cluster.registry()
        newest = registry.latest(subject_of(topic))
        if newest is None or newest.kind != KIND:
            raise no_schema(registry, topic, KIND, newest)
        return AvroDecoder(registry, newest, declared)

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        return rows_of(values, self._row, self._found, self.schema)

    def _row(self, value: bytes | None) -> Mapping[str, Any]:
        import fastavro
        from fastavro.schema import SchemaParseException

        id, payload = unframed(value)
        writer = self._writers.get(id)
        if writer is None:
            writer = self._writers[id] = self._written_with(id)
        stream = BytesIO(payload)
        try:
            found = fastavro.schemaless_reader(stream, writer, self._reader)
        except (EOFError, IndexError):
            raise Misfit("it ends in the midst of its value") from None
        except (ValueError, TypeError, ArithmeticError, KeyError, SchemaParseException) as error:
            raise Misfit(f"it is not what its schema {id} says: {error}") from error
        except fastavro.read.SchemaResolutionError as error:
            raise Misfit(f"its schema {id} does not fit the newest: {error}") from error
        if stream.read(1):
            raise Misfit(f"it is longer than its schema {id} says")
        converted = self._reading.value(found)
        return converted if self._is_record else {COLUMN: converted}

    def _written_with(self, id: int) -> Any:
        try:
            registered = self._registry.by_id(id)
        except KafkaProblem as problem:
            raise Misfit(str(problem)) from problem
        if registered.kind != KIND:
            raise Misfit(f"its schema {id} is {registered.kind.capitalize()}")
        return parsed(self._registry, registered)[0]


class AvroEncoder(ValueEncoder):
    """Writes with the newest schema of the topic, and registers that of the first rows where it has none."""

    def __init__(self, registry: SchemaRegistry, topic: str) -> None:
        self._registry = registry
        self._topic = topic
        self._schema: tuple[int, Any] | None = None

    @staticmethod
    def open(cluster: Broker, topic: str) -> AvroEncoder:
        return AvroEncoder(cluster.registry(), topic)

    def encode(self, rows: pa.Table) -> Sequence[bytes | str | None]:
        import fastavro

        id, schema = self._schema = self._schema or self._find(rows.schema)
        write: Callable[..., None] = fastavro.schemaless_writer
        _check_columns(rows.column_names, schema, self._topic)
        values: list[bytes | str | None] = []
        for row in rows.to_pylist(maps_as_pydicts="strict"):
            stream = BytesIO()
            try:
                write(stream, schema, row)
            except (ValueError, TypeError, AttributeError) as error:
                raise KafkaProblem(
                    f"a row does not fit the schema {id} of `{subject_of(self._topic)}`: {error}"
                ) from error
            values.append(framed(id, stream.getvalue()))
        return values

    def _find(self, columns: pa.Schema) -> tuple[int, Any]:
        subject = subject_of(self._topic)
        newest = self._registry.latest(subject)
        if newest is None:
            text = json.dumps(avro_schema(columns))
            id = self._registry.register(subject, text, KIND)
            newest = Registered(id, KIND, text, {})
        if newest.kind != KIND:
            raise no_schema(self._registry, self._topic, KIND, newest)
        return newest.id, parsed(self._registry, newest)[0]


def parsed(registry: SchemaRegistry, registered: Registered) -> tuple[Any, dict[str, Any]]:
    """A schema as fastavro takes it, and those that it names."""
    try:
        import fastavro
    except ImportError as error:
        raise install_hint("fastavro") from error

    named: dict[str, Any] = {}
    _read_references(registry, registered, named)
    try:
        return fastavro.parse_schema(json.loads(registered.text), named), named
    except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException) as error:
        raise KafkaProblem(f"the registered schema {registered.id} cannot be read: {error}") from error


def no_schema(registry: SchemaRegistry, topic: str, kind: str, found: Registered | None) -> KafkaProblem:
    subject = subject_of(topic)
    word = kind.capitalize()
    if found is None:
        return KafkaProblem(
            f"no schema is registered as `{subject}` at {registry.url}; register one, or set another `format`"
        )
    return KafkaProblem(f"the schema registered as `{subject}` is {found.kind.capitalize()}, not {word}")


def _read_references(registry: SchemaRegistry, registered: Registered, named: dict[str, Any]) -> None:
    import fastavro

    for subject, version in registered.references.values():
        referred = registry.version(subject, version)
        _read_references(registry, referred, named)
        fastavro.parse_schema(json.loads(referred.text), named)


def _is_record(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "record"


def _check_columns(names: Sequence[str], schema: Any, topic: str) -> None:
    """Raises `KafkaProblem` when the columns are not the schema's fields."""
    if not _is_record(schema):
        raise KafkaProblem(
            f"the schema of `{subject_of(topic)}` is no record, so rows cannot be written by it"
        )
    fields = {field["name"]: field for field in schema["fields"]}
    unknown = [name for name in names if name not in fields]
    if unknown:
        raise KafkaProblem(
            f"`{unknown[0]}` is no field of the schema of `{subject_of(topic)}`; name the columns to "
            "be written in `columns`"
        )
    lacking = [
        name
        for name, field in fields.items()
        if name not in names and "default" not in field and not _takes_null(field["type"])
    ]
    if lacking:
        raise KafkaProblem(f"the schema of `{subject_of(topic)}` needs a column `{lacking[0]}`")


def _takes_null(type_: Any) -> bool:
    return type_ == "null" or (isinstance(type_, list) and "null" in type_)
