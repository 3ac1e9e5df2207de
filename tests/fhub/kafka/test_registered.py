"""Avro and Protobuf with a schema registry."""

from __future__ import annotations

import datetime as dt
import json
from base64 import b64encode
from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2

from fhub.kafka.avro import AvroDecoder, AvroEncoder
from fhub.kafka.config import ConnectionConfig
from fhub.kafka.failures import KafkaProblem, KafkaUnavailable
from fhub.kafka.protobuf import ProtobufDecoder, ProtobufEncoder
from fhub.kafka.registry import SchemaRegistry, framed
from tests.fhub.kafka.registry_server import RegistryServer
from tests.fhub.kafka.topics import Told, cluster_of, everything, messages_of, send, write
from tests.services.kafka import Kafka

UTC = dt.UTC
ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


@pytest.fixture
def registry(server: RegistryServer) -> Iterator[SchemaRegistry]:
    registry = SchemaRegistry(ConnectionConfig(broker="x", schema_registry=server.url + "/"))
    yield registry
    registry.close()


def avro(id: int, schema: Any, value: Any) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return framed(id, stream.getvalue())


def avro_decoder(registry: SchemaRegistry, subject: str, declared: pa.Schema | None = None) -> AvroDecoder:
    newest = registry.latest(subject)
    assert newest is not None
    return AvroDecoder(registry, newest, declared)


def test_avro_messages_that_are_none(server: RegistryServer, registry: SchemaRegistry) -> None:
    id = server.register("orders-value", json.dumps(ORDER))
    other = server.register("x", json.dumps({**ORDER, "fields": [{"name": "id", "type": "string"}]}))
    proto = server.register("y", "", "PROTOBUF")
    good = avro(id, ORDER, {"id": 1, "note": "é"})
    values = [
        good,
        None,
        b"",
        b"{}",
        good[:-1],
        good + b"x",
        b"\0\0\0\0\x63" + good[5:],
        framed(other, b"\x02a"),
    ]
    values += [framed(proto, b""), framed(id, b"\x02\x02\x02\xff"), framed(id, b"\x02\x08")]
    decoded = avro_decoder(registry, "orders-value").decode([*values, good])
    assert decoded.rows.to_pylist() == [{"id": 1, "note": "é"}] * 2
    reasons = {bad.index: bad.reason for bad in decoded.bad}
    assert list(reasons) == list(range(1, len(values)))
    assert "tombstone" in reasons[1]
    assert "does not begin with the id" in reasons[2]
    assert "does not begin with the id" in reasons[3]
    assert "longer than its schema" in reasons[5]
    assert "has no schema 99" in reasons[6]
    assert f"its schema {proto} is Protobuf" in reasons[8]


def test_avro_types(server: RegistryServer, registry: SchemaRegistry) -> None:
    def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "logicalType": name, **more}

    types: dict[str, tuple[Any, Any, Any, pa.DataType]] = {
        "b": ("boolean", True, True, pa.bool_()),
        "i": ("int", -1, -1, pa.int64()),
        "f": ("float", 0.5, 0.5, pa.float64()),
        "raw": ("bytes", b"\xff", b"\xff", pa.binary()),
        "fix": ({"type": "fixed", "name": "F", "size": 2}, b"ab", b"ab", pa.binary()),
        "e": ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B", pa.string()),
        "d": (
            logical("bytes", "decimal", precision=10, scale=2),
            *[Decimal("-1.50")] * 2,
            pa.decimal128(10, 2),
        ),
        "at": (
            logical("long", "timestamp-millis"),
            *[dt.datetime(2026, 1, 2, 3, 4, 5, 123_000, tzinfo=UTC)] * 2,
            pa.timestamp("us", "UTC"),
        ),
        "day": (logical("int", "date"), *[dt.date(2026, 1, 2)] * 2, pa.date32()),
        "clock": (logical("long", "time-micros"), *[dt.time(1, 2, 3, 4)] * 2, pa.time64("us")),
        "l": ({"type": "array", "items": ["null", "long"]}, [1, None], [1, None], pa.list_(pa.int64())),
        "m": ({"type": "map", "values": "long"}, {"k": 1}, [("k", 1)], None),
        "r": (
            {"type": "record", "name": "R", "fields": [{"name": "x", "type": "string"}]},
            {"x": "y"},
            {"x": "y"},
            pa.struct([pa.field("x", pa.string(), nullable=False)]),
        ),
        "u": (["null", "long", "string"], 5, "5", pa.string()),
        "id": (logical("string", "uuid"), "12345678-1234-5678-1234-567812345678", None, pa.string()),
    }
    fields = [{"name": name, "type": each[0]} for name, each in types.items()]
    schema = {"type": "record", "name": "All", "fields": fields}
    id = server.register("all-value", json.dumps(schema))
    decoded = avro_decoder(registry, "all-value").decode(
        [avro(id, schema, {n: t[1] for n, t in types.items()})]
    )
    assert decoded.bad == ()
    (row,) = decoded.rows.to_pylist()
    for name, (_, written, read, type_) in types.items():
        assert row[name] == (written if read is None else read)
        assert type_ is None or decoded.rows.schema.field(name).type.equals(type_)


def test_avro_schemas_that_change(server: RegistryServer, registry: SchemaRegistry) -> None:
    old = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "int"}]}
    first = server.register("orders-value", json.dumps(old))
    second = server.register("orders-value", json.dumps(ORDER))
    decoder = avro_decoder(registry, "orders-value")
    later = {**ORDER, "fields": [*ORDER["fields"], {"name": "more", "type": "long", "default": 0}]}
    third = server.register("orders-value", json.dumps(later))
    values = [avro(first, old, {"id": 1}), avro(second, ORDER, {"id": 2, "note": "x"})]
    decoded = decoder.decode([*values, avro(third, later, {"id": 3, "more": 4, "note": None})] * 2)
    assert [tuple(row.values()) for row in decoded.rows.to_pylist()] == [(1, None), (2, "x"), (3, None)] * 2
    assert len([r for r in server.requests if "/schemas/ids/" in r]) == 2
    declared = pa.schema([pa.field("note", pa.string(), nullable=False)])
    narrow = avro_decoder(registry, "orders-value", declared).decode(values[1:])
    assert narrow.rows.to_pylist() == [{"note": "x"}]
    wrong = pa.schema([("id", pa.string())])
    with pytest.raises(ValueError, match="`id` is int, but the program reads it as string"):
        avro_decoder(registry, "orders-value", wrong).decode(values)
    with pytest.raises(ValueError, match="has no `z`; it has `id`, `note`"):
        avro_decoder(registry, "orders-value", pa.schema([("z", pa.string())])).decode(values)


def test_avro_schemas_that_refer_to_others(server: RegistryServer, registry: SchemaRegistry) -> None:
    city = {"type": "record", "name": "shop.City", "fields": [{"name": "name", "type": "string"}]}
    server.register("city", json.dumps(city))
    text = json.dumps({"type": "record", "name": "P", "fields": [{"name": "home", "type": "shop.City"}]})
    id = server.register("p-value", text, references=[{"name": "shop.City", "subject": "city", "version": 1}])
    whole = {"type": "record", "name": "P", "fields": [{"name": "home", "type": city}]}
    decoded = avro_decoder(registry, "p-value").decode([avro(id, whole, {"home": {"name": "Bonn"}})])
    assert decoded.rows.to_pylist() == [{"home": {"name": "Bonn"}}]


def test_avro_of_rows(server: RegistryServer, registry: SchemaRegistry) -> None:
    rows = pa.table(
        {
            "id": pa.array([1, 2]),
            "d": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
            "at": pa.array([dt.datetime(2026, 1, 2, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            "l": pa.array([[{"x": 1}], None]),
        }
    )
    values = AvroEncoder(registry, "new").encode(rows)
    assert avro_decoder(registry, "new-value").decode(values).rows.to_pylist() == rows.to_pylist()  # type: ignore[arg-type]
    server.register("old-value", json.dumps(ORDER))
    encoder = AvroEncoder(registry, "old")
    assert encoder.encode(pa.table({"id": [1]})) == [avro(2, ORDER, {"id": 1})]
    with pytest.raises(KafkaProblem, match="`z` is no field of the schema of `old-value`"):
        encoder.encode(pa.table({"id": [1], "z": [2]}))
    with pytest.raises(KafkaProblem, match="needs a column `id`"):
        encoder.encode(pa.table({"note": ["x"]}))
    with pytest.raises(KafkaProblem, match="a row does not fit the schema"):
        encoder.encode(pa.table({"id": ["x"]}))


def order_file() -> descriptor_pb2.FileDescriptorProto:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"])
    color = file.enum_type.add(name="Color")
    color.value.add(name="RED", number=0)
    color.value.add(name="BLUE", number=1)
    file.message_type.add(name="Other").field.add(name="n", number=1, type=kinds.TYPE_INT32, label=1)
    order = file.message_type.add(name="Order")
    for number, (name, kind, label, type_name) in enumerate(
        [
            ("id", kinds.TYPE_INT64, 1, ""),
            ("price", kinds.TYPE_DOUBLE, 1, ""),
            ("tags", kinds.TYPE_STRING, 3, ""),
            ("color", kinds.TYPE_ENUM, 1, ".shop.Color"),
            ("at", kinds.TYPE_MESSAGE, 1, ".google.protobuf.Timestamp"),
            ("note", kinds.TYPE_MESSAGE, 1, ".google.protobuf.StringValue"),
            ("item", kinds.TYPE_MESSAGE, 1, ".shop.Order.Item"),
            ("raw", kinds.TYPE_BYTES, 1, ""),
            ("counts", kinds.TYPE_MESSAGE, 3, ".shop.Order.CountsEntry"),
        ],
        1,
    ):
        order.field.add(name=name, number=number, type=kind, label=label, type_name=type_name or None)
    order.nested_type.add(name="Item").field.add(name="sku", number=1, type=kinds.TYPE_STRING, label=1)
    entry = order.nested_type.add(name="CountsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=1)
    entry.field.add(name="value", number=2, type=kinds.TYPE_INT32, label=1)
    # The first message is the topic's.
    file.message_type.insert(0, file.message_type.pop())
    return file


def registered(
    server: RegistryServer, subject: str, file: descriptor_pb2.FileDescriptorProto, **more: Any
) -> int:
    return server.register(subject, b64encode(file.SerializeToString()).decode(), "PROTOBUF", **more)


ROWS = [
    {
        "id": 1,
        "price": 2.5,
        "tags": ["a", "b"],
        "color": "BLUE",
        "at": dt.datetime(1969, 12, 31, 23, 59, 59, 250_000, tzinfo=UTC),
        "note": "é",
        "item": {"sku": "x"},
        "raw": b"\xff",
        "counts": [("k", 3)],
    },
    {
        "id": 0,
        "price": 0.0,
        "tags": [],
        "color": "RED",
        "at": None,
        "note": None,
        "item": None,
        "raw": b"",
        "counts": [],
    },
]


def test_protobuf_there_and_back(server: RegistryServer, registry: SchemaRegistry) -> None:
    id = registered(server, "orders-value", order_file())
    newest = registry.latest("orders-value", serialized=True)
    assert newest is not None
    decoder = ProtobufDecoder(registry, newest, None)
    rows = pa.Table.from_pylist(ROWS, decoder.schema)
    values = ProtobufEncoder(registry, "orders").encode(rows)
    decoded = decoder.decode([*values, None, b"{}", framed(id, b"\0\xff"), framed(id, b"\x02\x63")])  # type: ignore[list-item]
    assert decoded.rows.to_pylist() == ROWS
    assert [bad.index for bad in decoded.bad] == [2, 3, 4, 5]
    assert "has no message [-50]" in decoded.bad[3].reason or "which message" in decoded.bad[3].reason
    with pytest.raises(KafkaProblem, match="`z` is no field"):
        ProtobufEncoder(registry, "orders").encode(pa.table({"z": [1]}))
    with pytest.raises(KafkaProblem, match="a row does not fit"):
        ProtobufEncoder(registry, "orders").encode(pa.table({"id": ["x"]}))


def test_protobuf_schemas_that_import_others(server: RegistryServer, registry: SchemaRegistry) -> None:
    registered(server, "order", order_file())
    file = descriptor_pb2.FileDescriptorProto(name="list.proto", package="shop", syntax="proto3")
    file.dependency.append("shop/order.proto")
    file.message_type.add(name="Orders").field.add(
        name="orders", number=1, type=11, label=3, type_name=".shop.Order.Item"
    )
    references = [{"name": "shop/order.proto", "subject": "order", "version": 1}]
    registered(server, "lists-value", file, references=references)
    newest = registry.latest("lists-value", serialized=True)
    assert newest is not None
    decoder = ProtobufDecoder(registry, newest, None)
    rows = [{"orders": [{"sku": "a"}, {"sku": "b"}]}]
    values = ProtobufEncoder(registry, "lists").encode(pa.Table.from_pylist(rows, decoder.schema))
    assert decoder.decode(values).rows.to_pylist() == rows  # type: ignore[arg-type]


def test_through_a_topic(kafka: Kafka, server: RegistryServer) -> None:
    with cluster_of(kafka, schema_registry=server.url) as cluster:
        topic = kafka.create_topic()
        write(cluster, pa.table({"id": [1, 2], "note": ["x", None]}), topic=topic, format="avro", key="id")
        send(kafka, topic, [b"poison"])
        told = Told()
        rows = everything(cluster, told, topic=topic, format="avro", columns=["key"])
        assert rows == [{"id": 1, "note": "x", "key": "1"}, {"id": 2, "note": None, "key": "2"}]
        assert [record["value"] for _, record in told.bad] == ["poison"]
        other = kafka.create_topic()
        registered(server, f"{other}-value", order_file())
        write(cluster, pa.table({"id": [5]}), topic=other, format="protobuf")
        assert messages_of(kafka, other, 1)[0].value() == framed(2, b"\0\x08\x05")
        assert [row["id"] for row in everything(cluster, topic=other, format="protobuf")] == [5]
        with pytest.raises(KafkaProblem, match="is Avro, not Protobuf"):
            everything(cluster, topic=topic, format="protobuf")
        with pytest.raises(KafkaProblem, match=r"no schema is registered as `.*-value`"):
            everything(cluster, topic=kafka.create_topic(), format="avro")
    with (
        cluster_of(kafka) as cluster,
        pytest.raises(KafkaProblem, match="`schema_registry` of the connection"),
    ):
        everything(cluster, topic=topic, format="avro")


def test_a_registry_that_fails(server: RegistryServer) -> None:
    server.register("orders-value", json.dumps(ORDER))
    registry = SchemaRegistry(ConnectionConfig(broker="x", schema_registry=server.url))
    server.fail_next += [500, 503]
    assert registry.latest("orders-value") is not None
    server.fail_next += [500] * 4
    with pytest.raises(KafkaUnavailable, match="HTTP 500, Error in the backend datastore"):
        registry.latest("orders-value")
    server.password = "s3cret"
    with pytest.raises(KafkaProblem, match=r"refuses: .* HTTP 401; check `schema_registry_username`"):
        registry.latest("orders-value")
    wanted = {"schema_registry_username": "heddle", "schema_registry_password": "s3cret"}
    known = SchemaRegistry(ConnectionConfig(broker="x", schema_registry=server.url, **wanted))
    assert known.latest("orders-value") is not None
    assert known.latest("another") is None
    gone = SchemaRegistry(
        ConnectionConfig(broker="x", schema_registry="http://127.0.0.1:1", connect_timeout="100ms")
    )
    with pytest.raises(KafkaUnavailable, match="does not answer"):
        gone.latest("orders-value")
