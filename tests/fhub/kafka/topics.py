"""What the tests of Kafka share: messages to a topic and from it by confluent-kafka, and the connector's
streams and writers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from fhub.kafka.cluster import Cluster
from fhub.kafka.config import ConnectionConfig, ConsumeConfig, ProduceConfig
from fhub.kafka.stream import TopicStream
from fhub.kafka.writer import TopicWriter
from heddle.core.report import StepLogged
from heddle.core.step import StepContext, Turn
from heddle.core.table import Table
from tests.services.kafka import Kafka
from tests.waiting import until

PATIENCE_S = 60.0


@contextmanager
def cluster_of(kafka: Kafka, **settings: Any) -> Iterator[Cluster]:
    cluster = Cluster(ConnectionConfig(broker=kafka.bootstrap_servers, **settings))
    try:
        yield cluster
    finally:
        cluster.close()


def send(
    kafka: Kafka, topic: str, values: Iterable[bytes | None], partition_count: int = 1, **settings: Any
) -> None:
    """The values in turn to the first `partition_count` partitions."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, **settings})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % partition_count)
    assert producer.flush(PATIENCE_S) == 0


def messages_of(kafka: Kafka, topic: str, count: int) -> list[Any]:
    """The topic's first messages."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "checks", "enable.auto.commit": False}
    )
    partitions = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    try:
        found: list[Any] = []
        until = time.monotonic() + PATIENCE_S
        while len(found) < count and time.monotonic() < until:
            found += consumer.consume(count - len(found), 0.2)
        assert [m.error() for m in found] == [None] * count
        return found
    finally:
        consumer.close()


class Told:
    """A context that keeps what it is told."""

    def __init__(self, columns: pa.Schema | None = None, turn: Turn | None = None) -> None:
        self.logs: list[str] = []
        self.context = StepContext(
            workflow="W", step="kafka.consume", tell=self._tell, columns=columns, turn=turn
        )

    @property
    def bad(self) -> list[tuple[str, dict[str, Any]]]:
        """Reasons and records of what was rejected."""
        found = []
        for each in self.context.rejections:
            assert each.records is not None
            found += [(each.reason, record) for record in each.records.to_pylist()]
        return found

    def _tell(self, report: object) -> None:
        if isinstance(report, StepLogged):
            self.logs.append(report.message)


@contextmanager
def streaming(cluster: Cluster, told: Told | None = None, **settings: Any) -> Iterator[TopicStream]:
    stream = TopicStream(ConsumeConfig(resource=cluster, **settings), (told or Told()).context)
    try:
        yield stream
    finally:
        stream.close()


def turn(
    stream: TopicStream, told: Told | None = None, *, rows: int = 1 << 30, wait_s: float = 1.0
) -> list[Any]:
    """The rows of one turn."""
    context = (told or Told()).context
    context.turn = Turn(rows, wait_s)
    return [row for table in stream.read(context) for row in table.to_pylist()]


def rows_until(stream: TopicStream, count: int, told: Told | None = None) -> list[Any]:
    """Turns, until so many rows have come."""
    rows: list[Any] = []
    until(lambda: len(rows.__iadd__(turn(stream, told, rows=count, wait_s=0.2))) >= count)
    return rows


def everything(cluster: Cluster, told: Told | None = None, **settings: Any) -> list[Any]:
    """The rows of a topic up to its end."""
    told = told or Told()
    with streaming(cluster, told, until="latest", **settings) as stream:
        rows = [row for table in stream.read(told.context) for row in table.to_pylist()]
        assert stream.ended
        stream.commit(stream.position())
    return rows


def write(cluster: Cluster, rows: pa.Table, **settings: Any) -> None:
    told = Told()
    writer = TopicWriter(ProduceConfig(resource=cluster, **settings), told.context)
    try:
        writer.write(Table.from_arrow(rows), told.context)
        writer.commit()
    except BaseException:
        writer.abort()
        raise
