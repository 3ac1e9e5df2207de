"""A topic as a sink. Messages go out while rows come, and others can read them at once; `commit` waits until
the cluster has confirmed each, `abort` drops those that have not gone out yet."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from fhub.kafka.broker import Broker
from fhub.kafka.cluster import LOOK_S
from fhub.kafka.config import ProduceConfig, seconds
from fhub.kafka.encoding import Encoded, JsonEncoder, PlainEncoder, ValueEncoder, encode, settings_of
from fhub.kafka.failures import KafkaUnavailable, lasting, problem, reason
from heddle.core.collector import collector_paused
from heddle.core.step import StepContext
from heddle.core.table import Table
from heddle.sdk.flows import Writer

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

FAILURES_NAMED_MAX: Final = 3
POLL_EVERY: Final = 2048
"""After so many messages the client is asked for failures."""


class TopicWriter(Writer):
    def __init__(self, config: ProduceConfig, context: StepContext) -> None:
        from confluent_kafka import KafkaException

        cluster = config.resource
        assert isinstance(cluster, Broker)
        self._config = config
        self._cluster = cluster
        self._timeout_s = seconds(config.delivery_timeout, "delivery_timeout")
        self._settings = settings_of(config, self._timeout_s)
        self._values = _value_encoder(config, cluster)
        self._failed: Counter[tuple[int, str]] = Counter()
        self._first: KafkaError | None = None
        self._error = KafkaException
        self._cancelled: Callable[[], bool] = lambda: context.cancelled
        cluster.find(config.topic)
        self._producer = cluster.producer(self._settings)

    def write(self, table: Table, context: StepContext) -> None:
        with collector_paused(keeping=False):
            encoded = encode(table.to_arrow(), self._config, self._values)
            if _plain(encoded):
                self._produce_values(encoded)
            else:
                self._produce_each(encoded)
        self._producer.poll(0)
        self._check()

    def commit(self) -> None:
        """Raises `KafkaProblem` or `KafkaUnavailable` that names the partitions whose messages failed."""
        until = time.monotonic() + self._timeout_s + 5.0
        while self._producer.flush(LOOK_S):
            self._check()
            if self._cancelled():
                raise KafkaUnavailable(
                    f"writing to `{self._config.topic}`: the run ended before all was confirmed"
                )
            if time.monotonic() > until:
                raise KafkaUnavailable(
                    f"writing to `{self._config.topic}`: {len(self._producer)} messages were not confirmed "
                    f"within {self._timeout_s:g} s"
                )
        self._check()
        self._cluster.release(self._producer, self._settings)

    def abort(self) -> None:
        self._producer.purge()
        # What was taken back reports so; its producer has no further use.
        self._producer.flush(LOOK_S)
        self._producer.close()

    def _produce_values(self, encoded: Encoded) -> None:
        produce, topic, failed = self._producer.produce, self._config.topic, self._on_failure
        for start in range(0, len(encoded.values), POLL_EVERY):
            some = slice(start, start + POLL_EVERY)
            keys = repeat(None) if encoded.keys is None else encoded.keys[some]
            for value, key in zip(encoded.values[some], keys, strict=False):
                try:
                    # By position, which takes a third less than by name.
                    produce(topic, value, key, -1, failed)
                except BufferError:
                    self._produce_when_there_is_room(value, key=key)
                except self._error as error:
                    raise self._refused(error) from error
            self._producer.poll(0)

    def _produce_each(self, encoded: Encoded) -> None:
        for index, value in enumerate(encoded.values):
            named: dict[str, Any] = {}
            if encoded.keys is not None:
                named["key"] = encoded.keys[index]
            if encoded.headers is not None:
                named["headers"] = encoded.headers[index]
            if encoded.timestamps_ms is not None and encoded.timestamps_ms[index] is not None:
                named["timestamp"] = encoded.timestamps_ms[index]
            if encoded.partitions is not None and encoded.partitions[index] is not None:
                named["partition"] = encoded.partitions[index]
            try:
                self._producer.produce(self._config.topic, value, on_delivery=self._on_failure, **named)
            except BufferError:
                self._produce_when_there_is_room(value, **named)
            except self._error as error:
                raise self._refused(error) from error
            if index % POLL_EVERY == 0:
                self._producer.poll(0)

    def _produce_when_there_is_room(self, value: bytes | str | None, **named: Any) -> None:
        """The client's queue is full: the broker is slower than the rows."""
        while True:
            self._producer.poll(LOOK_S)
            self._check()
            if self._cancelled():
                raise KafkaUnavailable(f"writing to `{self._config.topic}`: the run is being ended")
            try:
                self._producer.produce(self._config.topic, value, on_delivery=self._on_failure, **named)
                return
            except BufferError:
                continue

    def _on_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        if self._first is None or (lasting(error) and not lasting(self._first)):
            self._first = error
        partition = message.partition()
        self._failed[-1 if partition is None else partition, reason(error)] += 1

    def _check(self) -> None:
        if self._first is None:
            return
        named = [
            f"{count} messages to partition {partition}: {why}"
            if partition >= 0
            else f"{count} messages: {why}"
            for (partition, why), count in self._failed.most_common(FAILURES_NAMED_MAX)
        ]
        failure = problem(f"writing to `{self._config.topic}`", self._first)
        raise type(failure)(f"{failure} ({'; '.join(named)})")

    def _refused(self, error: Exception) -> Exception:
        return problem(f"writing to `{self._config.topic}`", error.args[0])


def _plain(encoded: Encoded) -> bool:
    return encoded.headers is None and encoded.timestamps_ms is None and encoded.partitions is None


def _value_encoder(config: ProduceConfig, cluster: Broker) -> ValueEncoder:
    match config.format:
        case "json":
            return JsonEncoder()
        case "string" | "bytes":
            return PlainEncoder()
        case "avro":
            from fhub.kafka.avro import AvroEncoder

            return AvroEncoder.open(cluster, config.topic)
        case "protobuf":
            from fhub.kafka.protobuf import ProtobufEncoder

            return ProtobufEncoder.open(cluster, config.topic)
