"""The log in a file that stands in for a Kafka cluster."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from fhub.kafka.failures import KafkaProblem
from fhub.kafka.local_cluster import LocalCluster, LocalReader
from fhub.kafka.offsets import Reading, Start

LOG = logging.getLogger("test")


def cluster(folder: Path) -> LocalCluster:
    return LocalCluster(f"embedded:{folder}", folder)


def reader(of: LocalCluster, *, bounded: bool = False, start: Start = "committed") -> LocalReader:
    return of.reader(Reading("t", "g", start, "read_committed", bounded, to_latest=bounded), LOG)


def append(to: LocalCluster, *values: bytes | str | None) -> None:
    producer = to.producer({})
    for value in values:
        producer.produce("t", value)
    assert producer.flush() == 0


def test_messages_and_positions_outlive_the_process(tmp_path: Path) -> None:
    first = cluster(tmp_path)
    append(first, b"a", "b", None)
    taken = reader(first).take(2, 0)
    assert [(m.offset(), m.value()) for m in taken] == [(0, b"a"), (1, b"b")]
    reading = reader(first)
    reading.take(2, 0)
    reading.commit(reading.position())
    first.close()
    again = cluster(tmp_path)
    (left,) = reader(again).take(10, 0)
    assert (left.offset(), left.value()) == (2, None)
    assert len(reader(again, start="earliest").take(10, 0)) == 3
    assert reader(again, start="latest").take(10, 0) == []
    again.close()


def test_keys_headers_and_times_are_kept(tmp_path: Path) -> None:
    log = cluster(tmp_path)
    producer = log.producer({})
    producer.produce("t", b"v", "k", headers=[("h", b"1"), ("h", None)], timestamp=1_700_000_000_123)
    producer.flush()
    (message,) = reader(log).take(1, 0)
    assert (message.key(), message.headers()) == (b"k", [("h", b"1"), ("h", None)])
    assert message.timestamp() == (1, 1_700_000_000_123)
    assert (message.topic(), message.partition(), message.error()) == ("t", 0, None)
    log.close()


def test_what_is_aborted_was_never_there(tmp_path: Path) -> None:
    log = cluster(tmp_path)
    producer = log.producer({})
    producer.produce("t", b"v")
    assert len(producer) == 1
    producer.purge()
    assert producer.flush() == 0
    assert reader(log).take(1, 0) == []
    log.close()


def test_a_bounded_reader_ends_where_the_topic_ended(tmp_path: Path) -> None:
    log = cluster(tmp_path)
    append(log, *[b"%d" % n for n in range(5)])
    bounded = reader(log, bounded=True)
    append(log, b"later")
    assert bounded.lag() == 5
    assert [m.value() for m in bounded.take(10, 0)] == [b"0", b"1", b"2", b"3", b"4"]
    assert bounded.ended
    assert bounded.lag() == 0
    log.close()


def test_a_reader_waits_for_what_another_process_appends(tmp_path: Path) -> None:
    log, other = cluster(tmp_path), cluster(tmp_path)
    timer = threading.Timer(0.2, append, (other, b"late"))
    timer.start()
    (message,) = reader(log).take(10, 30.0)
    assert message.value() == b"late"
    timer.join()
    other.close()
    log.close()


def test_the_newest_are_a_sample(tmp_path: Path) -> None:
    log = cluster(tmp_path)
    append(log, *[b"%d" % n for n in range(10)])
    assert [m.value() for m in log.sample("t", 3, "read_committed")] == [b"7", b"8", b"9"]
    log.close()


def test_what_a_log_does_not_have(tmp_path: Path) -> None:
    log = cluster(tmp_path)
    with pytest.raises(KafkaProblem, match="has no partition 3"):
        log.producer({}).produce("t", b"v", None, 3)
    with pytest.raises(KafkaProblem, match="no schema registry"):
        log.registry()
    log.close()


def test_the_file_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "kafka"
    log = cluster(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    log.close()
