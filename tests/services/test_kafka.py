"""Apache Kafka as a service, asked by confluent-kafka."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, Producer

from tests.services.kafka import Kafka

PATIENCE_S = 60.0


def servers(kafka: Kafka) -> dict[str, object]:
    return {"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 200}


@contextmanager
def consuming(kafka: Kafka, topic: str, group: str) -> Iterator[Consumer]:
    consumer = Consumer({**servers(kafka), "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        yield consumer
    finally:
        consumer.close()


def values(consumer: Consumer, count: int) -> list[bytes | None]:
    messages = consumer.consume(count, PATIENCE_S)
    assert [message.error() for message in messages] == [None] * count
    return [message.value() for message in messages]


def test_only_what_is_committed_is_seen(kafka: Kafka) -> None:
    topic = kafka.create_topic(partition_count=1)
    producer = Producer({**servers(kafka), "transactional.id": topic})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(topic, b"given up")
    producer.flush(PATIENCE_S)
    producer.abort_transaction(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(topic, b"kept", b"key")
    producer.commit_transaction(PATIENCE_S)
    with consuming(kafka, topic, topic) as consumer:
        assert values(consumer, 1) == [b"kept"]


def test_a_group_goes_on_where_it_committed(kafka: Kafka) -> None:
    topic = kafka.create_topic(retention_ms="3600000")
    producer = Producer(servers(kafka))
    for number in range(4):
        producer.produce(topic, b"%d" % number)
    assert producer.flush(PATIENCE_S) == 0
    with consuming(kafka, topic, topic) as consumer:
        assert values(consumer, 2) == [b"0", b"1"]
        consumer.commit(asynchronous=False)
    with consuming(kafka, topic, topic) as consumer:
        assert values(consumer, 2) == [b"2", b"3"]


@pytest.mark.parametrize("crash", [False, True])
def test_messages_outlive_a_restart_and_clients_come_back(crash: bool) -> None:
    with Kafka() as broker:
        topic = broker.create_topic()
        producer = Producer(servers(broker))
        producer.produce(topic, b"before")
        assert producer.flush(PATIENCE_S) == 0
        if crash:
            broker.kill()
        broker.restart()
        producer.produce(topic, b"after")
        assert producer.flush(PATIENCE_S) == 0
        with consuming(broker, topic, "g") as consumer:
            assert values(consumer, 2) == [b"before", b"after"]
