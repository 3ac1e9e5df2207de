"""The columns that a topic gives: those of its values, by a schema that is written, demanded, registered or
sampled, and those that Kafka adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from fhub.cells import schema_of
from fhub.kafka.broker import Broker
from fhub.kafka.config import ConsumeConfig
from fhub.kafka.decoding import Decoder
from fhub.kafka.failures import KafkaProblem
from fhub.kafka.json_rows import JsonDecoder, schema_with_marks
from fhub.kafka.json_types import Mixed, names_in, objects_in, types_in
from fhub.kafka.messages import extra_field
from fhub.kafka.text_rows import COLUMN, BytesDecoder, StringDecoder
from heddle.core.record import record
from heddle.core.types import is_open


@record(frozen=True, slots=True)
class Layout:
    """`output` are the columns of the stream's rows: those of the decoder, and `extras`. One that is not
    `settled` knows no columns, since none of the messages that it was made for is a row."""

    decoder: Decoder
    extras: tuple[pa.Field, ...]
    output: tuple[pa.Field, ...]
    settled: bool = True

    @property
    def checks_keys(self) -> bool:
        return any(field.name == "key" and pa.types.is_string(field.type) for field in self.extras)


def layout_of(config: ConsumeConfig, columns: pa.Schema | None, values: Sequence[bytes | None]) -> Layout:
    """`columns` are those that the program wants, None or an open row when it takes what there is. What
    neither they nor `schema` say of JSON is told from `values`, the first messages. Raises `KafkaProblem`."""
    closed = columns is not None and not is_open(columns)
    if config.format == "json" and config.schema is None:
        found = objects_in(values)
        decoder = JsonDecoder(_seen_schema(config, columns, closed, found))
        return _laid_out(config, decoder, columns if closed else None, bool(found))
    return _laid_out(config, decoder_of(config), columns if closed else None, True)


def row_of(config: ConsumeConfig) -> pa.Schema:
    """The columns of a topic's rows, found out by asking the registry or by reading a sample."""
    if config.format == "json" and config.schema is None:
        from fhub.kafka.sampling import sampled_schema

        layout = _laid_out(config, JsonDecoder(sampled_schema(config)), None, True)
    else:
        layout = _laid_out(config, decoder_of(config), None, True)
    return pa.schema(list(layout.output))


def _laid_out(config: ConsumeConfig, decoder: Decoder, columns: pa.Schema | None, settled: bool) -> Layout:
    extras = [extra_field(name, config.key_format) for name in config.columns]
    check_clash(decoder.schema.names, config.columns)
    if columns is None:
        return Layout(decoder, tuple(extras), (*decoder.schema, *extras), settled)
    there = {field.name: field for field in (*decoder.schema, *extras)}
    lacking = [field.name for field in columns if field.name not in there]
    if lacking:
        raise KafkaProblem(
            f"`{config.topic}` has no column `{lacking[0]}`; it has {', '.join(f'`{n}`' for n in there)}"
        )
    wanted = tuple(extra for extra in extras if extra.name in columns.names)
    return Layout(decoder, wanted, tuple(_as_wanted(field, there[field.name]) for field in columns), settled)


def decoder_of(config: ConsumeConfig) -> Decoder:
    """What makes rows of the values. The columns of `schema` are all read, so that what they demand of a
    message does not depend on what a program does with it."""
    declared = None if config.schema is None else schema_of(config.schema)
    match config.format:
        case "json":
            assert declared is not None and config.schema is not None
            return JsonDecoder(schema_with_marks(config.schema, declared))
        case "string":
            return StringDecoder(_value_field(config, declared, pa.string()))
        case "bytes":
            return BytesDecoder(_value_field(config, declared, pa.binary()))
        case "avro":
            from fhub.kafka.avro import AvroDecoder

            return AvroDecoder.open(_cluster(config), config.topic, declared)
        case "protobuf":
            from fhub.kafka.protobuf import ProtobufDecoder

            return ProtobufDecoder.open(_cluster(config), config.topic, declared)


def check_clash(names: Sequence[str], extras: Sequence[str]) -> None:
    clash = [name for name in extras if name in names]
    if clash:
        raise KafkaProblem(
            f"the messages have a column `{clash[0]}` of their own; leave `{clash[0]}` out of `columns`, or "
            "out of `schema`"
        )


def _seen_schema(
    config: ConsumeConfig, columns: pa.Schema | None, closed: bool, objects: Sequence[Mapping[str, Any]]
) -> pa.Schema:
    """The wanted columns, and all others there are unless these are all. One without a type has that of its
    values, or none."""
    fields = [field for field in columns or () if field.name not in config.columns]
    if not closed:
        known = {field.name for field in fields}
        fields += [pa.field(name, pa.null()) for name in names_in(objects) if name not in known]
    types = types_in(objects, [field.name for field in fields if pa.types.is_null(field.type)])
    seen = {name: type_ for name, type_ in types.items() if not isinstance(type_, Mixed)}
    return pa.schema([field.with_type(seen.get(field.name, field.type)) for field in fields])


def _value_field(config: ConsumeConfig, declared: pa.Schema | None, type_: pa.DataType) -> pa.Field:
    if declared is None:
        return pa.field(COLUMN, type_)
    if len(declared) != 1 or not declared.field(0).type.equals(type_):
        raise KafkaProblem(
            f'with `format: "{config.format}"` the `schema` has one column of type '
            f"{'string' if type_ == pa.string() else 'binary'}"
        )
    return declared.field(0)


def _as_wanted(wanted: pa.Field, there: pa.Field) -> pa.Field:
    return there if pa.types.is_null(wanted.type) else wanted.with_nullable(there.nullable)


def _cluster(config: ConsumeConfig) -> Broker:
    cluster = config.resource
    assert isinstance(cluster, Broker)
    return cluster
