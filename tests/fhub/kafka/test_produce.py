"""`kafka.produce` against Apache Kafka."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka.admin import NewPartitions

from fhub.kafka.cluster import Cluster
from fhub.kafka.config import ProduceConfig
from fhub.kafka.failures import KafkaProblem
from fhub.kafka.messages import HEADERS
from fhub.kafka.writer import TopicWriter
from heddle.core.table import Table
from tests.fhub.kafka.topics import PATIENCE_S, Told, cluster_of, everything, messages_of, send, write
from tests.services.kafka import Kafka

UTC = dt.UTC
NASTY = ["'); DROP TABLE x --", 'quo"te', "nul\0", "snow☃", "line\nbreak", "back\\slash", ""]


@pytest.fixture
def cluster(kafka: Kafka) -> Iterator[Cluster]:
    with cluster_of(kafka) as cluster:
        yield cluster


def test_rows_are_json_objects(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    rows = pa.table(
        {
            "user_id": pa.array([17, None]),
            "amount": [12500.5, 2.0],
            "at": pa.array([dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            "price": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
        }
    )
    write(cluster, rows, topic=topic)
    found = messages_of(kafka, topic, 2)
    assert found[0].value() == b'{"user_id":17,"amount":12500.5,"at":"2026-01-02T03:04:05Z","price":1.50}'
    assert json.loads(found[1].value()) == {"user_id": None, "amount": 2.0, "at": None, "price": None}
    assert found[0].key() is None


def test_any_text_goes_there_and_back(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    rows = pa.table({n: NASTY for n in ("value", "key", *NASTY[:5])})
    write(cluster, rows, topic=topic, key="key")
    schema = {n: "string" for n in ("value", *NASTY[:5])}
    found = everything(cluster, topic=topic, schema=schema, columns=["key"])
    assert found == pa.table({**{n: NASTY for n in schema}, "key": NASTY}).to_pylist()


def test_keys_headers_times_and_partitions(kafka: Kafka, cluster: Cluster) -> None:
    topic, copy = (kafka.create_topic(partition_count=3) for _ in range(2))
    rows = pa.table(
        {
            "n": [1, 2],
            "key": pa.array(["k", None]),
            "headers": pa.array([[("a", b"\xff"), ("a", None)], []], HEADERS),
            "timestamp": pa.array([dt.datetime(2020, 1, 1, tzinfo=UTC)] * 2, pa.timestamp("us", "UTC")),
            "partition": [2, 0],
        }
    )
    places = {"key": "key", "headers": "headers", "timestamp": "timestamp", "partition": "partition"}
    write(cluster, rows, topic=topic, columns=["n"], **places)
    extras = ["key", "headers", "timestamp", "partition"]
    schema = {"n": "int"}
    found = everything(cluster, topic=topic, schema=schema, columns=extras)
    assert sorted(found, key=lambda row: int(row["n"])) == rows.to_pylist()
    # What was read goes on as it came.
    read = pa.Table.from_pylist(found, pa.schema([*rows.schema]))
    write(cluster, read, topic=copy, columns=["n"], **places)
    copied = everything(cluster, topic=copy, schema=schema, columns=extras)
    assert sorted(copied, key=lambda row: int(row["n"])) == rows.to_pylist()


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        (pa.array([1, None]), [b"1", None]),
        (pa.array([b"\xff", b""]), [b"\xff", b""]),
        (pa.array([dt.date(2020, 1, 2), None]), [b"2020-01-02", None]),
        (pa.array([True, False]), [b"true", b"false"]),
        (pa.array(["x", None]).dictionary_encode(), [b"x", None]),
    ],
)
def test_keys_of_other_types(kafka: Kafka, cluster: Cluster, column: pa.Array, keys: list[Any]) -> None:
    topic = kafka.create_topic()
    write(cluster, pa.table({"k": column, "n": [1, 2]}), topic=topic, key="k")
    assert [message.key() for message in messages_of(kafka, topic, 2)] == keys


def test_a_key_has_the_partition_that_java_gives_it(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic(partition_count=10)
    write(cluster, pa.table({"k": ["21", "foobar", "abc"]}), topic=topic, key="k")
    # murmur2 of "21" is -973932308, of "foobar" -790332482 and of "abc" 479470107 (Kafka's own tests).
    expected = {"21": (-973932308 & 0x7FFFFFFF) % 10, "foobar": (-790332482 & 0x7FFFFFFF) % 10, "abc": 7}
    found = {m.key().decode(): m.partition() for m in messages_of(kafka, topic, 3)}
    assert found == expected


def test_texts_bytes_and_tombstones(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    write(
        cluster, pa.table({"key": ["a", "b"], "text": ["x", None]}), topic=topic, format="string", key="key"
    )
    write(cluster, pa.table({"raw": [b"\xff"]}), topic=topic, format="bytes")
    assert [(m.key(), m.value()) for m in messages_of(kafka, topic, 3)] == [
        (b"a", b"x"),
        (b"b", None),
        (None, b"\xff"),
    ]
    with pytest.raises(KafkaProblem, match="a message is one column, but the rows have `a`, `b`"):
        write(cluster, pa.table({"a": ["x"], "b": ["y"]}), topic=topic, format="string")


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed(kafka: Kafka, cluster: Cluster, compression: str) -> None:
    topic = kafka.create_topic()
    texts = ["x" * 1000] * 100
    write(cluster, pa.table({"text": texts}), topic=topic, compression=compression)
    assert [row["text"] for row in everything(cluster, topic=topic, schema={"text": "string"})] == texts


def test_what_was_not_sent_is_dropped(kafka: Kafka) -> None:
    topic = kafka.create_topic()
    with cluster_of(kafka, client={"linger.ms": 60_000}) as cluster:
        told = Told()
        writer = TopicWriter(ProduceConfig(resource=cluster, topic=topic), told.context)
        writer.write(Table.from_pylist([{"n": 1}]), told.context)
        writer.abort()
    with cluster_of(kafka) as cluster:
        assert everything(cluster, topic=topic, schema={"n": "int"}) == []


def test_a_full_queue_waits(kafka: Kafka) -> None:
    topic = kafka.create_topic()
    with cluster_of(kafka, client={"queue.buffering.max.messages": 100}) as cluster:
        write(cluster, pa.table({"n": list(range(5000))}), topic=topic)
        write(cluster, pa.table({"n": [1] * 300, "p": [0] * 300}), topic=topic, partition="p")
        rows = everything(cluster, topic=topic, schema={"n": "int"})
    assert [row["n"] for row in rows[:5000]] == list(range(5000))
    assert len(rows) == 5300


def test_producers_are_used_again(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    for _ in range(3):
        write(cluster, pa.table({"n": [1]}), topic=topic)
        (idle,) = cluster._idle.values()
        assert len(idle) == 1
    write(cluster, pa.table({"n": [1]}), topic=topic, acks="1")
    assert len(cluster._idle) == 2


def test_messages_that_the_cluster_refuses(kafka: Kafka, cluster: Cluster) -> None:
    small = kafka.create_topic(max_message_bytes="2000")
    with pytest.raises(KafkaProblem, match=r"max\.message\.bytes.*1 messages to partition 0: .*too large"):
        write(cluster, pa.table({"text": ["x" * 5000]}), topic=small)
    with pytest.raises(KafkaProblem, match=r"message\.max\.bytes"):
        write(cluster, pa.table({"text": ["x" * (2 << 20)]}), topic=small)
    topic = kafka.create_topic(partition_count=1)
    with pytest.raises(KafkaProblem, match=r"writing to `.*partition"):
        write(cluster, pa.table({"n": [1], "p": [7]}), topic=topic, partition="p")
    write(cluster, pa.table({"n": [1]}), topic=topic)
    assert everything(cluster, topic=topic, schema={"n": "int"}) == [{"n": 1}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"key": "x"}, "`key` names `x`, which is no column of the rows; they have `n`, `l`"),
        ({"columns": ["x"]}, "`columns` names `x`"),
        ({"headers": "n"}, "headers are a list"),
        ({"key": "l"}, "the column `l` is list<int\\?>"),
        ({"timestamp": "n"}, "`timestamp` names a column of type int"),
        ({"partition": "l"}, "`partition` names a column of type list"),
    ],
)
def test_columns_of_no_use(kafka: Kafka, cluster: Cluster, settings: dict[str, Any], message: str) -> None:
    rows = pa.table({"n": [1], "l": [[1]]})
    with pytest.raises(KafkaProblem, match=message):
        write(cluster, rows, topic=kafka.create_topic(), **settings)


def test_a_topic_that_is_not_there(cluster: Cluster) -> None:
    with pytest.raises(KafkaProblem, match=r"`nowhere` .*create it, or check its name"):
        write(cluster, pa.table({"n": [1]}), topic="nowhere")


def test_partitions_that_come_later(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic(partition_count=1)
    send(kafka, topic, [b'{"n": 0}'])
    admin = kafka.admin()
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result(PATIENCE_S)
    kafka.wait_for_topic(topic, 2)
    write(cluster, pa.table({"n": [1], "p": [1]}), topic=topic, partition="p")
    assert sorted(r["n"] for r in everything(cluster, topic=topic, schema={"n": "int"})) == [0, 1]
