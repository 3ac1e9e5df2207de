"""What streams and writers need of a Kafka cluster, or of what stands in for one."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from fhub.kafka.offsets import Reading
from heddle.core.resource import Resource

if TYPE_CHECKING:
    from fhub.kafka.messages import Message
    from fhub.kafka.registry import SchemaRegistry


class TopicReader(Protocol):
    """Messages of one topic; the caller makes one call at a time."""

    @property
    def ended(self) -> bool: ...

    def take(self, count_max: int, wait_s: float) -> list[Message]:
        """The next messages: those that are there, or come within `wait_s`."""
        ...

    def position(self) -> dict[int, int]:
        """For each partition that messages were taken of, the offset behind the last."""
        ...

    def commit(self, offsets: Mapping[int, int]) -> None: ...

    def lag(self) -> int | None: ...

    def close(self) -> None: ...


class TopicProducer(Protocol):
    """As confluent-kafka's."""

    def __len__(self) -> int: ...

    @property
    def produce(self) -> Callable[..., None]: ...

    def poll(self, timeout: float = ..., /) -> int: ...

    def flush(self, timeout: float = ..., /) -> int: ...

    def purge(self) -> None: ...

    def close(self) -> Any: ...


class Broker(Resource):
    """`broker` is its address, for messages."""

    broker: str

    @abstractmethod
    def reader(self, reading: Reading, log: logging.Logger) -> TopicReader: ...

    @abstractmethod
    def producer(self, settings: Mapping[str, str]) -> TopicProducer:
        """One that nobody else has; give it back with `release`, or close it."""

    @abstractmethod
    def release(self, producer: Any, settings: Mapping[str, str]) -> None: ...

    @abstractmethod
    def find(self, topic: str) -> None:
        """Look whether a topic that is to be written to is there."""

    @abstractmethod
    def sample(self, topic: str, count_max: int, isolation: str) -> list[Message]:
        """About so many of the newest messages, without joining a group."""

    @abstractmethod
    def registry(self) -> SchemaRegistry: ...
