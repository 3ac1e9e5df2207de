"""The columns of a topic of JSON messages, found out by reading some of them without joining a group."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from fhub.kafka.broker import Broker
from fhub.kafka.cluster import Cluster, Errors
from fhub.kafka.config import ConsumeConfig
from fhub.kafka.failures import KafkaProblem, lasting, problem
from fhub.kafka.json_types import Mixed, names_in, objects_in, types_in
from fhub.kafka.offsets import edges, places

if TYPE_CHECKING:
    from fhub.kafka.messages import Message

SAMPLE_MESSAGES: Final = 1000
SAMPLE_WAIT_S: Final = 10.0


def sampled_schema(config: ConsumeConfig) -> pa.Schema:
    """All columns may be null, since a sample says nothing of the messages to come. Raises `KafkaProblem` and
    `KafkaUnavailable`."""
    cluster = config.resource
    assert isinstance(cluster, Broker)
    messages = cluster.sample(config.topic, SAMPLE_MESSAGES, config.isolation)
    found = objects_in(message.value() for message in messages)
    if not found:
        raise KafkaProblem(
            f"the topic `{config.topic}` has no JSON objects to tell its columns from; name them in `schema`"
        )
    types = types_in(found, names_in(found))
    for name, type_ in types.items():
        if isinstance(type_, Mixed):
            raise KafkaProblem(
                f"`{name}` in the messages of `{config.topic}` is {type_}; name its type in `schema`"
            )
    return pa.schema(list(types.items()))


def sampled(cluster: Cluster, topic: str, count_max: int, isolation: str) -> list[Message]:
    """The newest messages, about as many of each partition."""
    partitions = cluster.partitions(topic)
    first = edges(cluster, topic, partitions, "earliest", isolation)
    end = edges(cluster, topic, partitions, "latest", isolation)
    share = -(-count_max // len(partitions))
    begin = {p: max(first[p], end[p] - share) for p in partitions if end[p] > first[p]}
    if not begin:
        return []
    errors = Errors()
    settings = {"group.id": "heddle.sample", "isolation.level": isolation, "enable.partition.eof": True}
    consumer = cluster.consumer(settings, errors)
    try:
        consumer.assign(places(topic, begin))
        return _read(consumer, set(begin), count_max, errors, topic)
    finally:
        consumer.close()


def _read(
    consumer: Any, open_partitions: set[int], count_max: int, errors: Errors, topic: str
) -> list[Message]:
    from confluent_kafka import KafkaError

    messages: list[Message] = []
    until = time.monotonic() + SAMPLE_WAIT_S
    while open_partitions and len(messages) < count_max and time.monotonic() < until:
        for message in consumer.consume(count_max, 0.1):
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            elif lasting(error):
                raise problem(f"reading the topic `{topic}`", error)
    said = errors.take_lasting()
    if said is not None and not messages:
        raise problem(f"reading the topic `{topic}`", said)
    return messages
