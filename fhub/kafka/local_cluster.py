"""A folder in place of a cluster: `broker: "embedded:.heddle/kafka"`. Its readers and producers do what those
of a cluster do, as far as streams and writers ask for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fhub.kafka.broker import Broker
from fhub.kafka.failures import KafkaProblem
from fhub.kafka.local_log import Appended, Headers, LocalLog
from fhub.kafka.messages import Message
from fhub.kafka.offsets import Reading, Start

LOOK_S: Final = 0.02
FLUSH_MESSAGES: Final = 10_000


class LocalCluster(Broker):
    def __init__(self, broker: str, folder: Path) -> None:
        self.broker = broker
        self.log = LocalLog(folder)

    def close(self) -> None:
        self.log.close()

    def reader(self, reading: Reading, log: logging.Logger) -> LocalReader:
        """Isolation and the log are for clusters."""
        return LocalReader(self.log, reading)

    def producer(self, settings: Mapping[str, str]) -> LocalProducer:
        return LocalProducer(self.log)

    def release(self, producer: LocalProducer, settings: Mapping[str, str]) -> None:
        """It holds nothing."""

    def find(self, topic: str) -> None:
        """It is there."""

    def registry(self) -> Any:
        raise KafkaProblem(f"`{self.broker}` has no schema registry; `avro` and `protobuf` need one")

    def sample(self, topic: str, count_max: int, isolation: str) -> list[Message]:
        return list(self.log.read(topic, max(0, self.log.end(topic) - count_max), count_max))


class LocalReader:
    def __init__(self, log: LocalLog, reading: Reading) -> None:
        self.topic = reading.topic
        self._log = log
        self._group = reading.group
        self._end = log.end(reading.topic) if reading.to_latest else None
        self._next = self._begin(reading.start)
        self._closing = threading.Event()

    @property
    def ended(self) -> bool:
        return self._end is not None and self._next >= self._end

    def take(self, count_max: int, wait_s: float) -> list[Message]:
        """The next messages: those that are there, or come within `wait_s`."""
        until = time.monotonic() + wait_s
        if self._end is not None:
            count_max = min(count_max, self._end - self._next)
        while True:
            found = self._log.read(self.topic, self._next, count_max)
            if found:
                self._next = found[-1].offset() + 1
                return list(found)
            left_s = until - time.monotonic()
            if left_s <= 0 or self.ended or self._closing.wait(min(LOOK_S, left_s)):
                return []

    def position(self) -> dict[int, int]:
        return {0: self._next}

    def commit(self, offsets: Mapping[int, int]) -> None:
        if 0 in offsets:
            self._log.commit(self._group, self.topic, offsets[0])

    def lag(self) -> int | None:
        end = self._log.end(self.topic) if self._end is None else self._end
        return max(0, end - self._next)

    def close(self) -> None:
        self._closing.set()

    def _begin(self, start: Start) -> int:
        if start == "latest":
            return self._log.end(self.topic)
        committed = self._log.committed(self._group, self.topic) if start == "committed" else None
        return committed or 0


class LocalProducer:
    """Messages are appended together, at the latest by `flush`."""

    def __init__(self, log: LocalLog) -> None:
        self._log = log
        self._waiting: dict[str, list[Appended]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def produce(
        self,
        topic: str,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        on_delivery: Callable[..., None] | None = None,
        *,
        headers: Headers | None = None,
        timestamp: int | None = None,
    ) -> None:
        """`on_delivery` is for failures of a cluster; a file's are raised. A negative partition is any."""
        if partition > 0:
            raise KafkaProblem(f"the topic `{topic}` of an embedded log has no partition {partition}")
        waiting = self._waiting.setdefault(topic, [])
        waiting.append(Appended(_bytes(value), _bytes(key), headers, timestamp))
        if len(waiting) >= FLUSH_MESSAGES:
            self.flush()

    def poll(self, timeout_s: float = 0.0) -> int:
        return 0

    def flush(self, timeout_s: float = 0.0) -> int:
        """How many are left: none."""
        waiting, self._waiting = self._waiting, {}
        for topic, messages in waiting.items():
            self._log.append(topic, messages)
        return 0

    def purge(self) -> None:
        self._waiting.clear()

    def close(self) -> None:
        """It holds nothing."""


def _bytes(data: bytes | str | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data
