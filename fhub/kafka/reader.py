"""Messages of one topic, as one member of a group or alone, and how far they were taken.

A bounded reader takes all partitions for itself and ends at given offsets. Any other is a member of its
group: partitions come and go while it reads. What it took of a partition that went away is no longer its own
to commit; the partition's next reader begins at what was committed before. Between two turns a thread keeps
the membership alive, and holds the message that this may give for the next turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from fhub.kafka.cluster import Cluster, Errors
from fhub.kafka.failures import KafkaProblem, KafkaUnavailable, lasting, problem, reason
from fhub.kafka.offsets import Edge, Reading, committed, edges, in_use, insisting, places

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

    from fhub.kafka.messages import Message

KEEP_ALIVE_S: Final = 1.0
UNREACHABLE_MAX_S: Final = 120.0
"""How long a bounded reader waits for a cluster that is away; any other waits on."""
PROBE_S: Final = 3.0
"""After so long without a message the cluster is asked whether it is there."""
PROBE_WAIT_S: Final = 1.0
COMMIT_WAIT_S: Final = 20.0
"""How long a commit is tried while the group's coordinator moves or is away."""


class Reader:
    """`ends` are the offsets at which a bounded reader stops, None for any other. The caller makes one call
    at a time."""

    def __init__(self, cluster: Cluster, reading: Reading, log: logging.Logger) -> None:
        self.topic = topic = reading.topic
        self._cluster = cluster
        self._group = reading.group
        self._start = reading.start
        self._isolation = reading.isolation
        self._bounded = reading.bounded
        self._log = log
        self._errors = Errors()
        self._lock = threading.RLock()
        self._held: list[Message] = []
        self._next: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._lost: set[int] = set()
        self._owned: set[int] = set()
        self._ends: dict[int, int] | None = None
        self._away_since: float | None = None
        self._heard = time.monotonic()
        self._closing = threading.Event()
        self._keeper: threading.Thread | None = None
        partitions = cluster.partitions(topic)
        settings: dict[str, object] = {
            "group.id": reading.group,
            "isolation.level": reading.isolation,
            "enable.partition.eof": reading.bounded,
        }
        self._consumer: Consumer = cluster.consumer(settings, self._errors)
        try:
            if reading.bounded:
                self._assign(partitions, reading.to_latest)
            else:
                self._subscribe(partitions)
        except BaseException:
            self._consumer.close()
            raise

    @property
    def ended(self) -> bool:
        return self._ends is not None and not self._owned

    def take(self, count_max: int, wait_s: float) -> list[Message]:
        """The next messages: those that are there, or come within `wait_s`. Raises `KafkaProblem` and
        `KafkaUnavailable`."""
        with self._lock:
            self._lost -= self._owned
            taken, self._held = self._held[:count_max], self._held[count_max:]
            if len(taken) < count_max and not self.ended:
                taken += self._consume(count_max - len(taken), 0 if taken else wait_s)
            messages = taken
            errors = [message for message in taken if message.error() is not None]
            if errors:
                messages = [message for message in taken if message.error() is None]
                self._note(errors)
            last = _last_offsets(messages)
            if self._ends is not None:
                messages, last = self._before_ends(messages, last, self._ends)
            self._next.update({partition: offset + 1 for partition, offset in last.items()})
            self._watch_connection(bool(messages))
            return messages

    def position(self) -> dict[int, int]:
        """For each partition that messages were taken of, the offset behind the last."""
        with self._lock:
            return dict(self._next)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """The group has processed what lies before these offsets. What is no longer this reader's own is
        left out, and said in the log. Raises `KafkaProblem` and `KafkaUnavailable`."""
        with self._lock:
            gone = sorted(p for p in offsets if p not in self._owned or p in self._lost)
            if self._ends is not None:
                gone = []
            due = {p: o for p, o in offsets.items() if p not in gone and self._committed.get(p) != o}
        if gone:
            self._log.warning(
                "partitions %s of `%s` went to another reader of the group `%s` meanwhile; it reads "
                "once more what is not committed",
                ", ".join(map(str, gone)),
                self.topic,
                self._group,
            )
        if due:
            self._commit(due)

    def lag(self) -> int | None:
        """Messages behind those taken, as far as the client knows the ends of its partitions."""
        from confluent_kafka import TopicPartition

        with self._lock:
            counts = []
            for partition in self._owned:
                _, high = self._consumer.get_watermark_offsets(
                    TopicPartition(self.topic, partition), cached=True
                )
                if high >= 0 and partition in self._next:
                    end = high if self._ends is None else min(high, self._ends[partition])
                    counts.append(max(0, end - self._next[partition]))
            return sum(counts) if counts else None

    def close(self) -> None:
        self._closing.set()
        if self._keeper is not None:
            self._keeper.join()
        self._consumer.close()

    def _assign(self, partitions: Sequence[int], to_latest: bool) -> None:
        begin = self._begin(partitions)
        limit = edges(self._cluster, self.topic, partitions, "latest", self._isolation) if to_latest else {}
        # Without `until` there is no end but the caller's own.
        self._ends = {p: limit.get(p, 1 << 62) for p in partitions}
        self._owned = {p for p in partitions if begin[p] < self._ends[p]}
        if self._owned:
            self._consumer.assign(places(self.topic, {p: begin[p] for p in self._owned}))

    def _begin(self, partitions: Sequence[int]) -> dict[int, int]:
        """The offset at which each partition is begun."""
        edge: Edge = "latest" if self._start == "latest" else "earliest"
        begin = edges(self._cluster, self.topic, partitions, edge, self._isolation)
        if self._start == "committed":
            timeout_s = self._cluster.connect_timeout_s
            begin |= committed(self._consumer, self.topic, partitions, timeout_s)
        return begin

    def _subscribe(self, partitions: Sequence[int]) -> None:
        if self._start != "committed":
            self._move_group(partitions)
        self._consumer.subscribe(
            [self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        self._keeper = threading.Thread(target=self._keep_alive, name=f"kafka {self.topic}", daemon=True)
        self._keeper.start()

    def _move_group(self, partitions: Sequence[int]) -> None:
        """Set the group to where `start` says, unless others of it are reading: then this one joins them."""
        from confluent_kafka import KafkaException

        offsets = places(self.topic, self._begin(partitions))
        try:
            self._insisting(lambda: self._consumer.commit(offsets=offsets, asynchronous=False))
        except (KafkaProblem, KafkaUnavailable) as failed:
            cause = failed.__cause__
            if not (isinstance(cause, KafkaException) and in_use(cause.args[0])):
                raise
            self._log.info(
                "others of the group `%s` are reading: `start` does not count, reading goes on where it is",
                self._group,
            )

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [place.partition for place in partitions]
        begin = dict.fromkeys(numbers, _BEGINNING)
        begin |= committed(consumer, self.topic, numbers, self._cluster.connect_timeout_s)
        consumer.incremental_assign(places(self.topic, begin))
        self._owned.update(numbers)
        for number in numbers:
            self._committed.pop(number, None)
        if numbers:
            self._log.info("reading the partitions %s of `%s`", _listed(numbers), self.topic)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {place.partition for place in partitions}
        self._owned -= gone
        self._lost |= gone
        for number in gone:
            self._next.pop(number, None)
        self._held = [message for message in self._held if message.partition() not in gone]
        if not self._closing.is_set():
            self._log.info("the partitions %s of `%s` go to another reader", _listed(gone), self.topic)

    def _before_ends(
        self, messages: list[Message], last: dict[int, int], ends: dict[int, int]
    ) -> tuple[list[Message], dict[int, int]]:
        """The messages before the ends; a partition with one at its end or behind it is done."""
        if any(offset >= ends[p] for p, offset in last.items()):
            messages = [m for m in messages if m.offset() < ends[m.partition()]]
            last, beyond = _last_offsets(messages), last
        else:
            beyond = last
        self._done([p for p, offset in beyond.items() if offset >= ends[p] - 1])
        return messages, last

    def _done(self, partitions: Sequence[int]) -> None:
        left = [p for p in partitions if p in self._owned]
        if left:
            self._owned.difference_update(left)
            self._consumer.pause(places(self.topic, dict.fromkeys(left, 0)))

    def _note(self, errors: Sequence[Message]) -> None:
        from confluent_kafka import KafkaError

        for message in errors:
            error = message.error()
            assert error is not None
            partition = message.partition()
            match error.code():
                case KafkaError._PARTITION_EOF:
                    if self._ends is not None and message.offset() >= self._ends[partition]:
                        self._done([partition])
                case KafkaError._AUTO_OFFSET_RESET:
                    self._begin_again(partition, reason(error))
                case KafkaError._MAX_POLL_EXCEEDED:
                    self._log.warning(
                        "the turn took so long that the group `%s` went on without it", self._group
                    )
                case _ if lasting(error):
                    raise problem(f"reading the topic `{self.topic}`", error)
                case _:
                    self._errors.add(error)

    def _begin_again(self, partition: int, why: str) -> None:
        """The offset is no longer, or not yet, in the topic."""
        edge: Edge = "latest" if self._start == "latest" else "earliest"
        offset = edges(self._cluster, self.topic, [partition], edge, self._isolation)[partition]
        self._log.warning(
            "partition %d of `%s`: %s; reading goes on at its %s, offset %d",
            partition,
            self.topic,
            why,
            "end" if edge == "latest" else "beginning",
            offset,
        )
        if partition in self._owned:
            # A partition that stopped with an error cannot be moved, but given up and taken up again.
            self._consumer.incremental_unassign(places(self.topic, {partition: offset}))
            self._consumer.incremental_assign(places(self.topic, {partition: offset}))

    def _watch_connection(self, got_some: bool) -> None:
        """Say that the cluster is away, and that it is back: what nothing is heard of is asked now and then.
        Raises `KafkaProblem` for what will not pass, and `KafkaUnavailable` when a bounded reader waited long
        enough."""
        error = self._errors.take_lasting()
        if error is not None:
            raise problem(f"reading the topic `{self.topic}`", error)
        now = time.monotonic()
        if not got_some and now - self._heard < PROBE_S:
            return
        self._heard = now
        why = None if got_some else self._silent_because()
        if why is None:
            if self._away_since is not None:
                away_s = now - self._away_since
                self._log.warning("Kafka at %s is back after %.1f s", self._cluster.broker, away_s)
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now
            self._log.warning("Kafka at %s is away: %s; waiting for it", self._cluster.broker, why)
        elif self._bounded and now - self._away_since > UNREACHABLE_MAX_S:
            raise KafkaUnavailable(
                f"Kafka at {self._cluster.broker} has been away for {UNREACHABLE_MAX_S:g} s: {why}"
            )

    def _silent_because(self) -> str | None:
        """Why the cluster does not answer; None when it does."""
        from confluent_kafka import KafkaException

        try:
            self._consumer.list_topics(self.topic, timeout=PROBE_WAIT_S)
        except KafkaException as failed:
            return reason(failed.args[0])
        return None

    def _commit(self, offsets: Mapping[int, int]) -> None:
        from confluent_kafka import KafkaException

        due = places(self.topic, offsets)
        try:
            self._insisting(lambda: self._consumer.commit(offsets=due, asynchronous=False))
        except (KafkaProblem, KafkaUnavailable) as failed:
            cause = failed.__cause__
            if not (isinstance(cause, KafkaException) and in_use(cause.args[0])):
                raise
            if self._bounded:
                raise KafkaProblem(
                    f"a run that goes on reads with the group `{self._group}`, so a bounded run cannot "
                    "commit in it; give one of them a `group` of its own"
                ) from failed
            self._log.warning(
                "the group `%s` went on without this reader; what it read is read once more", self._group
            )
            return
        with self._lock:
            self._committed.update(offsets)

    def _insisting(self, commit: Callable[[], list[TopicPartition]]) -> None:
        insisting(commit, f"committing the offsets of the topic `{self.topic}`", COMMIT_WAIT_S)

    def _keep_alive(self) -> None:
        """Answer the group while the caller is busy with a turn."""
        while not self._closing.wait(KEEP_ALIVE_S):
            with self._lock:
                self._held += self._consume(1, 0)

    def _consume(self, count_max: int, wait_s: float) -> list[Message]:
        return cast("list[Message]", self._consumer.consume(count_max, wait_s))


def _last_offsets(messages: Sequence[Message]) -> dict[int, int]:
    """The offset of the last message of each partition; within one they rise."""
    last = dict(zip([message.partition() for message in messages], messages, strict=True))
    return {partition: message.offset() for partition, message in last.items()}


_BEGINNING: Final = -2  # confluent_kafka.OFFSET_BEGINNING


def _listed(partitions: Sequence[int] | set[int]) -> str:
    return ", ".join(map(str, sorted(partitions)))
