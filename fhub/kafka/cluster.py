"""A Kafka cluster as a resource: the settings of its clients, what topics it has, idle producers.

Every stream and every writer has a client of its own, made here; one more asks for topics. Clients connect
by themselves and come back after a broker was away; `Errors` keeps what they say about it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fhub.kafka.broker import Broker, TopicReader
from fhub.kafka.config import ConnectionConfig, seconds
from fhub.kafka.failures import KafkaProblem, KafkaUnavailable, install_hint, lasting, problem, reason
from fhub.kafka.offsets import Reading
from heddle.core.config import ConfigValue

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer
    from confluent_kafka.admin import AdminClient

    from fhub.kafka.messages import Message
    from fhub.kafka.registry import SchemaRegistry

T = TypeVar("T")

LOOK_S: Final = 0.05
"""How often a wait looks for news and for the end of the run."""
NEW_TOPIC_WAIT_S: Final = 1.0
"""How long a broker may not know of a topic that has just been made."""
IDLE_PRODUCERS_MAX: Final = 4
HEALTH_WAIT_S: Final = 5.0
_SECRET_PARTS: Final = ("password", "secret", "token", "key.pem", "jaas", "userinfo", "private")
_MANAGED: Final = {
    "bootstrap.servers": "broker",
    "metadata.broker.list": "broker",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "username",
    "ssl.ca.location": "ssl_ca",
    "ssl.certificate.location": "ssl_certificate",
    "ssl.key.location": "ssl_key",
    "group.id": "group",
    "auto.offset.reset": "start",
    "isolation.level": "isolation",
    "compression.type": "compression",
    "compression.codec": "compression",
    "acks": "acks",
    "request.required.acks": "acks",
}
"""What has a setting of its own."""
_FIXED: Final = frozenset({"enable.auto.commit", "enable.auto.offset.store", "enable.idempotence"})
_PRODUCER_ONLY: Final = ("queue.buffering.", "linger.ms", "batch.", "message.timeout.ms", "partitioner")


class UnknownTopic(KafkaProblem):
    """No broker knows the topic."""


class Errors:
    """What a cluster's clients reported; the last of each kind within a wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: KafkaError | None = None
        self._lasting: KafkaError | None = None

    def add(self, error: KafkaError) -> None:
        with self._lock:
            self._last = error
            if lasting(error):
                self._lasting = error

    def take(self) -> KafkaError | None:
        """The last that came since this was asked, an error that stays before others."""
        with self._lock:
            error = self._lasting or self._last
            self._last = self._lasting = None
            return error

    def take_lasting(self) -> KafkaError | None:
        with self._lock:
            error, self._lasting = self._lasting, None
            return error


class Cluster(Broker):
    """Raises `KafkaProblem` for settings that cannot work; whether it is there shows the first use."""

    def __init__(self, config: ConnectionConfig) -> None:
        self.broker = config.broker
        self.connect_timeout_s = seconds(config.connect_timeout, "connect_timeout")
        self._settings = client_settings(config)
        self._config = config
        self._errors = Errors()
        self._lock = threading.Lock()
        self._admin: AdminClient | None = None
        self._registry: SchemaRegistry | None = None
        self._found: set[str] = set()
        self._idle: dict[tuple[tuple[str, str], ...], list[Producer]] = {}
        _client_library()

    def close(self) -> None:
        with self._lock:
            producers = [producer for idle in self._idle.values() for producer in idle]
            self._idle.clear()
            registry, self._registry, self._admin = self._registry, None, None
        for producer in producers:
            producer.close()
        if registry is not None:
            registry.close()

    def health(self) -> str | None:
        from confluent_kafka import KafkaException

        try:
            self.admin().list_topics(timeout=min(HEALTH_WAIT_S, self.connect_timeout_s))
        except KafkaException as error:
            return f"Kafka at {self.broker}: {reason(error.args[0])}"
        return None

    def admin(self) -> AdminClient:
        with self._lock:
            if self._admin is None:
                self._admin = _made(_admin_client, {**self._settings, "error_cb": self._errors.add})
            return self._admin

    def registry(self) -> SchemaRegistry:
        from fhub.kafka.registry import SchemaRegistry

        with self._lock:
            if self._registry is None:
                self._registry = SchemaRegistry(self._config)
            return self._registry

    def consumer(self, settings: Mapping[str, object], errors: Errors) -> Consumer:
        from confluent_kafka import Consumer

        shared = {key: v for key, v in self._settings.items() if not key.startswith(_PRODUCER_ONLY)}
        return _made(Consumer, {**_CONSUMER_DEFAULTS, **shared, **settings, "error_cb": errors.add})

    def reader(self, reading: Reading, log: logging.Logger) -> TopicReader:
        from fhub.kafka.reader import Reader

        return Reader(self, reading, log)

    def sample(self, topic: str, count_max: int, isolation: str) -> list[Message]:
        from fhub.kafka.sampling import sampled

        return sampled(self, topic, count_max, isolation)

    def producer(self, settings: Mapping[str, str]) -> Producer:
        from confluent_kafka import Producer

        with self._lock:
            idle = self._idle.get(tuple(sorted(settings.items())))
            if idle:
                return idle.pop()
        shared = {key: v for key, v in self._settings.items() if not key.startswith(_CONSUMER_ONLY)}
        return _made(Producer, {**_PRODUCER_DEFAULTS, **shared, **settings, "error_cb": self._errors.add})

    def release(self, producer: Producer, settings: Mapping[str, str]) -> None:
        """A producer with nothing left to send."""
        with self._lock:
            idle = self._idle.setdefault(tuple(sorted(settings.items())), [])
            if len(idle) < IDLE_PRODUCERS_MAX:
                idle.append(producer)
                return
        producer.close()

    def find(self, topic: str) -> None:
        """Look once whether a topic that is to be written to is there. Raises as `partitions`."""
        if topic not in self._found:
            self.partitions(topic, may_create=True)
            self._found.add(topic)

    def partitions(self, topic: str, *, may_create: bool = False) -> list[int]:
        """The partitions of a topic. With `may_create` a cluster that makes topics when somebody writes to
        them may make it. Raises `KafkaProblem` and `KafkaUnavailable` within `connect_timeout`."""
        self._errors.take()
        what = f"the topic `{topic}` at {self.broker}"
        until = time.monotonic() + NEW_TOPIC_WAIT_S
        while True:
            try:
                return self._described(topic, what)
            except UnknownTopic:
                if may_create:
                    return self._made_by_asking(topic, what)
                if time.monotonic() > until:
                    raise
                time.sleep(LOOK_S)

    def _described(self, topic: str, what: str) -> list[int]:
        from confluent_kafka import KafkaError, KafkaException, TopicCollection

        wanted = TopicCollection([topic])
        try:
            future = self.admin().describe_topics(wanted, request_timeout=self.connect_timeout_s)[topic]
            self._wait(future)
            return [partition.id for partition in future.result().partitions]
        except ValueError as error:
            raise KafkaProblem(f"{what}: {error}") from error
        except KafkaException as failed:
            said = failed.args[0]
            if said.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise UnknownTopic(str(problem(what, said))) from failed
            raise self._problem(what, said) from failed

    def _made_by_asking(self, topic: str, what: str) -> list[int]:
        """The partitions of a topic that a cluster may make because it is asked for."""
        from confluent_kafka import KafkaError, KafkaException

        until = time.monotonic() + NEW_TOPIC_WAIT_S
        while True:
            try:
                found = self.admin().list_topics(topic, timeout=self.connect_timeout_s).topics[topic]
            except KafkaException as failed:
                raise self._problem(what, failed.args[0]) from failed
            error = found.error
            if error is None or error.code() == KafkaError.LEADER_NOT_AVAILABLE:
                return sorted(found.partitions)
            if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > until:
                raise problem(what, error)
            time.sleep(LOOK_S)

    def _wait(self, future: Future[Any]) -> None:
        """Until it is done, or until a client has said that it cannot connect for good."""
        until = time.monotonic() + self.connect_timeout_s + 1.0
        while time.monotonic() < until:
            wait([future], LOOK_S)
            if future.done():
                return
            self.admin().poll(0)
            error = self._errors.take_lasting()
            if error is not None:
                raise problem(f"connecting to Kafka at {self.broker}", error)
        raise KafkaUnavailable(f"Kafka at {self.broker} does not answer within {self.connect_timeout_s:g} s")

    def _problem(self, what: str, error: KafkaError) -> KafkaProblem | KafkaUnavailable:
        """A request that ran out of time says nothing of the reason; what the client said before does."""
        from confluent_kafka import KafkaError as Known

        timeouts = (Known._TIMED_OUT, Known._TRANSPORT, Known._ALL_BROKERS_DOWN)
        if error.code() in timeouts:
            said = self._errors.take()
            why = "it cannot be reached" if said is None else reason(said)
            if said is not None and lasting(said):
                return problem(f"connecting to Kafka at {self.broker}", said)
            return KafkaUnavailable(
                f"Kafka at {self.broker} did not answer within {self.connect_timeout_s:g} s: {why}; "
                "check `broker` and `security_protocol` of the connection, and that the cluster runs"
            )
        return problem(what, error)


_CONSUMER_DEFAULTS: Final[Mapping[str, object]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # Where a reader is out of range, the stream decides and says so.
    "auto.offset.reset": "error",
    "partition.assignment.strategy": "cooperative-sticky",
    # What waits in the client, beside what a turn holds.
    "queued.max.messages.kbytes": 64 * 1024,
    "fetch.message.max.bytes": 4 << 20,
    "queued.min.messages": 100_000,
    # How long a partition rests when so much waits; by itself the client takes a second, which is too long.
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
    "max.poll.interval.ms": 600_000,
}
_CONSUMER_ONLY: Final = ("queued.", "fetch.", "max.poll.", "session.", "heartbeat.", "group.", "partition.")
_PRODUCER_DEFAULTS: Final[Mapping[str, object]] = {
    # Java's clients choose the same partition for a key.
    "partitioner": "murmur2_random",
    "delivery.report.only.error": True,
    "linger.ms": 5,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 128 * 1024,
}


def client_settings(config: ConnectionConfig) -> dict[str, object]:
    """librdkafka's settings that all clients of a connection share. Raises `KafkaProblem`."""
    for name in config.client:
        _check_name(name)
    given = {
        "security.protocol": config.security_protocol,
        "sasl.mechanism": config.sasl_mechanism,
        "sasl.username": config.username,
        "sasl.password": config.password,
        "ssl.ca.location": _file(config, "ssl_ca"),
        "ssl.certificate.location": _file(config, "ssl_certificate"),
        "ssl.key.location": _file(config, "ssl_key"),
        "ssl.key.password": config.ssl_key_password,
    }
    if config.security_protocol.startswith("sasl") and config.sasl_mechanism is None:
        raise KafkaProblem(
            f'`security_protocol: "{config.security_protocol}"` needs `sasl_mechanism`, such as "PLAIN"'
        )
    if config.sasl_mechanism is not None and not config.security_protocol.startswith("sasl"):
        raise KafkaProblem('`sasl_mechanism` needs `security_protocol: "sasl_ssl"` or "sasl_plaintext"')
    return {
        "log_level": 0,
        "client.id": "heddle",
        "reconnect.backoff.max.ms": 2000,
        **{name: _client_value(name, value) for name, value in config.client.items()},
        "bootstrap.servers": config.broker,
        **{name: value for name, value in given.items() if value is not None},
    }


def _file(config: ConnectionConfig, setting: str) -> str | None:
    """A path from the program's folder. Raises `KafkaProblem` where there is no file."""
    given = getattr(config, setting)
    if given is None:
        return None
    path = config.base / given
    if not path.is_file():
        raise KafkaProblem(f"`{setting}` names no file: {path}")
    return str(path)


def _check_name(name: str) -> None:
    if name in _MANAGED:
        raise KafkaProblem(f"`{name}` in `client` has a setting of its own: `{_MANAGED[name]}`")
    if name in _FIXED:
        raise KafkaProblem(
            f"`{name}` in `client` is Heddle's own matter: offsets are committed after the effects"
        )
    if any(part in name.lower() for part in _SECRET_PARTS):
        raise KafkaProblem(
            f"`{name}` in `client` may be a secret, and `client` is shown in plans; use `password` or "
            "`ssl_key_password` of the connection"
        )


def _client_value(name: str, value: ConfigValue) -> object:
    if isinstance(value, bool | int | float | str):
        return value
    raise KafkaProblem(f"`{name}` in `client` is a text, a number or a bool")


def _made(client: Callable[[dict[str, object]], T], settings: dict[str, object]) -> T:
    from confluent_kafka import KafkaException

    try:
        return client(settings)
    except KafkaException as error:
        raise KafkaProblem(f"Kafka's client refuses its settings: {reason(error.args[0])}") from error


def _admin_client(settings: dict[str, Any]) -> AdminClient:
    from confluent_kafka.admin import AdminClient

    return AdminClient(settings)


def _client_library() -> Any:
    try:
        import confluent_kafka
    except ImportError as error:
        raise install_hint("confluent-kafka") from error
    return confluent_kafka
