"""Where reading a topic begins and ends: offsets that a group committed, the first and the last of a topic.

An offset names the next message to be read, as in Kafka itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from fhub.kafka.failures import lasting, problem
from heddle.core.record import record

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    from fhub.kafka.cluster import Cluster

RETRY_PAUSE_S: Final = 0.2
Start = Literal["earliest", "latest", "committed"]


@record(frozen=True, slots=True)
class Reading:
    """Which messages of a topic: from `start` on, with `to_latest` no further than its present end. A
    `bounded` reader takes all partitions for itself, any other is a member of its group."""

    topic: str
    group: str
    start: Start
    isolation: str
    bounded: bool = False
    to_latest: bool = False


Edge = Literal["earliest", "latest"]


def places(topic: str, offsets: Mapping[int, int]) -> list[TopicPartition]:
    from confluent_kafka import TopicPartition

    return [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]


def edges(
    cluster: Cluster, topic: str, partitions: Iterable[int], edge: Edge, isolation: str
) -> dict[int, int]:
    """The first offsets that are there, or those behind the last messages that a reader may see."""
    from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
    from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

    specs: Any = OffsetSpec
    spec = specs.earliest() if edge == "earliest" else specs.latest()
    level = IsolationLevel[isolation.upper()]
    wanted = {TopicPartition(topic, partition): spec for partition in partitions}
    if not wanted:
        return {}
    found = cluster.admin().list_offsets(
        wanted, isolation_level=level, request_timeout=cluster.connect_timeout_s
    )
    try:
        return {place.partition: future.result().offset for place, future in found.items()}
    except KafkaException as error:
        raise problem(f"asking for the offsets of the topic `{topic}`", error.args[0]) from error


def committed(consumer: Consumer, topic: str, partitions: Iterable[int], timeout_s: float) -> dict[int, int]:
    """What the consumer's group committed; partitions without are left out."""
    from confluent_kafka import TopicPartition

    wanted = [TopicPartition(topic, partition) for partition in partitions]
    what = f"asking for the committed offsets of the topic `{topic}`"
    found = insisting(lambda: consumer.committed(wanted, timeout=timeout_s), what, timeout_s)
    return {place.partition: place.offset for place in found if place.offset >= 0}


def insisting(ask: Callable[[], list[TopicPartition]], what: str, timeout_s: float) -> list[TopicPartition]:
    """What a request about a group gives. A coordinator that is not ready, or is moving, is asked again until
    `timeout_s` have passed. Raises `KafkaProblem` and `KafkaUnavailable`."""
    from confluent_kafka import KafkaException

    until = time.monotonic() + timeout_s
    while True:
        try:
            found = ask()
            for place in found:
                if place.error is not None:
                    raise KafkaException(place.error)
            return found
        except KafkaException as failed:
            error = failed.args[0]
            if lasting(error) or in_use(error) or time.monotonic() > until:
                raise problem(what, error) from failed
            time.sleep(RETRY_PAUSE_S)


def in_use(error: KafkaError) -> bool:
    """Whether the group has members, of which this client is none, or no longer one."""
    from confluent_kafka import KafkaError as Known

    return error.code() in (Known.UNKNOWN_MEMBER_ID, Known.ILLEGAL_GENERATION, Known._ASSIGNMENT_LOST)
