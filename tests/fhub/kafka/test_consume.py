"""`kafka.consume` against Apache Kafka."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Producer, TopicPartition

from fhub.kafka import consumed_row
from fhub.kafka.cluster import Cluster
from fhub.kafka.config import ConsumeConfig
from fhub.kafka.failures import KafkaProblem
from heddle.core.types import Column, RowType, wanted_columns
from tests.fhub.kafka.topics import (
    PATIENCE_S,
    Told,
    cluster_of,
    everything,
    rows_until,
    send,
    streaming,
    turn,
)
from tests.services.kafka import Kafka
from tests.waiting import until

UTC = dt.UTC
NUMBER = {"n": "int"}
HEARTBEAT = {"heartbeat.interval.ms": 200}
SHORT_TURN_S = 6
SHORT = {"max.poll.interval.ms": SHORT_TURN_S * 1000, "session.timeout.ms": SHORT_TURN_S * 1000, **HEARTBEAT}
"""For a member that does not ask for messages for so long, the group goes on without it."""


@pytest.fixture
def cluster(kafka: Kafka) -> Iterator[Cluster]:
    with cluster_of(kafka) as cluster:
        yield cluster


def numbers(*values: int) -> list[bytes | None]:
    return [b'{"n": %d}' % value for value in values]


def test_a_topic_is_read_to_its_end_and_the_next_run_goes_on(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic(partition_count=3)
    send(kafka, topic, numbers(*range(1000)), 3)
    assert sorted(row["n"] for row in everything(cluster, topic=topic, schema=NUMBER)) == list(range(1000))
    assert everything(cluster, topic=topic, schema=NUMBER) == []
    send(kafka, topic, numbers(1000, 1001))
    assert sorted(row["n"] for row in everything(cluster, topic=topic, schema=NUMBER)) == [1000, 1001]
    again = everything(cluster, topic=topic, schema=NUMBER, start="earliest")
    assert len(again) == 1002
    assert everything(cluster, topic=topic, schema=NUMBER, start="latest") == []
    assert len(everything(cluster, topic=topic, schema=NUMBER, group="another")) == 1002


def test_what_is_not_committed_is_read_again(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    send(kafka, topic, numbers(*range(10)))
    with streaming(cluster, topic=topic, schema=NUMBER) as stream:
        assert len(rows_until(stream, 4)) == 4
        assert stream.position() == {"topic": topic, "offsets": {"0": 4}}
        stream.commit(stream.position())
        assert len(rows_until(stream, 3)) == 3
    with streaming(cluster, topic=topic, schema=NUMBER) as stream:
        assert [row["n"] for row in rows_until(stream, 6)] == [4, 5, 6, 7, 8, 9]


def test_bad_messages_are_told_with_their_place(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    send(kafka, topic, [b'{"n": 1}', b"not JSON", None, b"\xff\x00", b'{"n": "x"}', b"{}", b'{"n": 2}'])
    told = Told()
    rows = everything(cluster, told, topic=topic, schema=NUMBER)
    assert [row["n"] for row in rows] == [1, 2]
    bad = {record["offset"]: (reason, record) for reason, record in told.bad}
    assert sorted(bad) == [1, 2, 3, 4, 5]
    reason, record = bad[1]
    assert reason == f"a message of `{topic}`: it is not JSON: Expecting value"
    assert record.pop("timestamp").year > 2000
    assert record == {"topic": topic, "partition": 0, "offset": 1, "key": None, "value": "not JSON"}
    assert bad[2][1]["value"] is None
    assert bad[3][1]["value_base64"] == "/wA="
    assert "it lacks `n`" in bad[5][0]
    assert everything(cluster, topic=topic, schema=NUMBER) == []


def test_tombstones_are_left_out_on_request(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    send(kafka, topic, [None, b'{"n": 1}', None])
    told = Told()
    assert everything(cluster, told, topic=topic, schema=NUMBER, tombstones="skip") == [{"n": 1}]
    assert told.bad == []


def test_what_kafka_knows_of_a_message(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic(partition_count=2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    headers = [("a", b"1"), ("a", b"\xff"), ("b", None)]
    producer.produce(
        topic, b'{"n": 1}', "k'); DROP TABLE x --", 1, timestamp=1_700_000_000_123, headers=headers
    )
    producer.produce(topic, b'{"n": 2}', b"\xff", 1)
    assert producer.flush(PATIENCE_S) == 0
    extras = ["offset", "key", "headers", "timestamp", "partition"]
    told = Told()
    rows = everything(cluster, told, topic=topic, schema=NUMBER, columns=extras)
    assert rows == [
        {
            "n": 1,
            "offset": 0,
            "key": "k'); DROP TABLE x --",
            "headers": [
                {"key": "a", "value": b"1"},
                {"key": "a", "value": b"\xff"},
                {"key": "b", "value": None},
            ],
            "timestamp": dt.datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC),
            "partition": 1,
        }
    ]
    ((reason, record),) = told.bad
    assert "its key is not UTF-8" in reason
    assert (record["key_base64"], record["value"], record["offset"]) == ("/w==", '{"n": 2}', 1)
    raw = {"topic": topic, "schema": NUMBER, "columns": ["key"], "key_format": "bytes", "start": "earliest"}
    assert [row["key"] for row in everything(cluster, **raw)] == [b"k'); DROP TABLE x --", b"\xff"]


def test_columns_that_the_program_wants(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    send(kafka, topic, [b'{"user_id": 17, "amount": 5, "currency": "USD"}', b'{"user_id": 1}'])
    wanted = pa.schema(
        [
            pa.field("amount", pa.float64(), nullable=False),
            pa.field("currency", pa.null()),
            pa.field("offset", pa.int64()),
        ]
    )
    told = Told(columns=wanted)
    rows = everything(cluster, told, topic=topic, columns=["offset", "key"])
    assert rows == [{"amount": 5.0, "currency": "USD", "offset": 0}]
    assert [reason.rpartition(": ")[2] for reason, _ in told.bad] == ["it lacks `amount`"]
    told = Told(columns=pa.schema([]))
    with streaming(cluster, told, topic=topic, until="latest", start="earliest") as stream:
        assert [table.num_rows for table in stream.read(told.context)] == [2]


def test_columns_that_the_program_needs_among_others(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    send(kafka, topic, [b"{}", b'{"user_id": 17, "amount": 5, "more": [1]}', b'{"amount": 1}'])
    row = RowType((Column("amount", pa.float64(), False), Column("user_id", None)), open=True)
    told = Told(columns=wanted_columns(row))
    assert everything(cluster, told, topic=topic, columns=["offset"]) == [
        {"amount": 5.0, "user_id": 17, "more": [1], "offset": 1},
        {"amount": 1.0, "user_id": None, "more": None, "offset": 2},
    ]
    assert [reason.rpartition(": ")[2] for reason, _ in told.bad] == ["it lacks `amount`"]


def test_columns_are_sampled(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    config = ConsumeConfig(resource=cluster, topic=topic, columns=["offset"])
    with pytest.raises(KafkaProblem, match="name them in `schema`"):
        consumed_row(config)
    rows: list[dict[str, Any]] = [
        {"id": 1, "price": 5, "tags": ["a"], "where": {"city": "x"}, "none": None, "empty": []},
        {"id": 2, "price": 2.5, "tags": [], "where": None, "more": True},
    ]
    send(kafka, topic, [*(json.dumps(row).encode() for row in rows * 10), b"poison", b"[1]", b'{"id": "x"}'])
    sampled = [
        ("id", pa.int64()),
        ("price", pa.float64()),
        ("tags", pa.list_(pa.string())),
        ("where", pa.struct([("city", pa.string())])),
        ("more", pa.bool_()),
        pa.field("offset", pa.int64(), nullable=False),
    ]
    assert consumed_row(config).equals(pa.schema(sampled))
    send(kafka, topic, [b'{"id": "x"}'] * 9)
    with pytest.raises(
        KafkaProblem, match=r"`id` .* is sometimes a number and sometimes a text; name its type"
    ):
        consumed_row(config)


def test_columns_are_told_from_the_first_messages(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    told = Told()
    with streaming(cluster, told, topic=topic) as stream:
        send(kafka, topic, [b"poison"])
        until(lambda: turn(stream, told, wait_s=0.2) == [] and len(told.bad) == 1)
        send(kafka, topic, [b'{"id": 1, "what": {}}', b'{"id": 2.5, "what": null}'])
        assert rows_until(stream, 2, told) == [{"id": 1.0, "what": "{}"}, {"id": 2.5, "what": None}]
        send(kafka, topic, [b'{"id": "x"}', b'{"id": 3, "more": 1}'])
        assert rows_until(stream, 1, told) == [{"id": 3.0, "what": None}]
        assert len(told.bad) == 2


def test_texts_and_bytes(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    send(kafka, topic, ["é".encode(), b"", None, b"\xff"])
    told = Told()
    rows = everything(cluster, told, topic=topic, format="string")
    assert [row["value"] for row in rows] == ["é", "", None]
    assert [(reason.rpartition(": ")[2], r["value_base64"]) for reason, r in told.bad] == [
        ("it is not UTF-8", "/w==")
    ]
    rows = everything(cluster, topic=topic, format="bytes", start="earliest", schema={"raw": "binary?"})
    assert [row["raw"] for row in rows] == ["é".encode(), b"", None, b"\xff"]
    told = Told()
    strict = {"topic": topic, "format": "string", "start": "earliest", "schema": {"line": "string"}}
    assert [row["line"] for row in everything(cluster, told, **strict)] == ["é", ""]
    assert [record["offset"] for _, record in told.bad] == [2, 3]


def test_bounds(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic(partition_count=2)
    send(kafka, topic, numbers(*range(100)), 2)
    with streaming(cluster, topic=topic, schema=NUMBER, max_rows=7) as stream:
        assert len(turn(stream, wait_s=PATIENCE_S)) == 7
        assert stream.ended
        assert (stream.lag() or 0) <= 93
        stream.commit(stream.position())
    with streaming(cluster, topic=topic, schema=NUMBER, max_wait="200ms") as stream:
        assert len(turn(stream, wait_s=PATIENCE_S)) <= 93
        assert stream.ended
    with streaming(cluster, topic=topic, schema=NUMBER, until="latest", start="earliest") as stream:
        assert len(turn(stream, rows=60, wait_s=PATIENCE_S)) == 60
        assert not stream.ended
        assert len(turn(stream, rows=60, wait_s=PATIENCE_S)) == 40
        assert stream.ended


def test_the_end_is_that_at_the_beginning(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic(partition_count=2)
    send(kafka, topic, numbers(*range(50)), 2)
    with streaming(cluster, topic=topic, schema=NUMBER, until="latest") as stream:
        send(kafka, topic, numbers(*range(50, 100)), 2)
        assert sorted(row["n"] for row in turn(stream, wait_s=PATIENCE_S)) == list(range(50))
        assert stream.ended
        stream.commit(stream.position())
    assert len(everything(cluster, topic=topic, schema=NUMBER)) == 50


def test_only_what_is_committed_is_read(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(PATIENCE_S)
    for value, commits in ((1, True), (2, False), (3, True), (4, False)):
        producer.begin_transaction()
        producer.produce(topic, b'{"n": %d}' % value)
        producer.flush(PATIENCE_S)
        if commits:
            producer.commit_transaction(PATIENCE_S)
        else:
            producer.abort_transaction(PATIENCE_S)
    assert [row["n"] for row in everything(cluster, topic=topic, schema=NUMBER)] == [1, 3]
    dirty = {"topic": topic, "schema": NUMBER, "start": "earliest", "isolation": "read_uncommitted"}
    assert [row["n"] for row in everything(cluster, **dirty)] == [1, 2, 3, 4]


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_and_large_messages(kafka: Kafka, cluster: Cluster, compression: str) -> None:
    topic = kafka.create_topic(max_message_bytes=str(4 << 20))
    value = json.dumps({"n": 1, "text": "x" * (2 << 20)}).encode()
    settings = {"compression.type": compression, "message.max.bytes": 4 << 20}
    send(kafka, topic, [value, *numbers(*range(2, 50)), value], **settings)
    rows = everything(cluster, topic=topic, schema={**NUMBER, "text": "string?"})
    assert [row["n"] for row in rows] == [1, *range(2, 50), 1]
    assert len(rows[-1]["text"]) == 2 << 20


def test_two_readers_of_a_group_share_the_topic(kafka: Kafka) -> None:
    with cluster_of(kafka, client=HEARTBEAT) as cluster:
        share_a_topic(kafka, cluster)


def share_a_topic(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic(partition_count=4)
    settings: dict[str, Any] = {"topic": topic, "schema": NUMBER, "columns": ["partition"]}
    seen: list[list[Any]] = [[], []]
    one, other = Told(), Told()
    with streaming(cluster, one, **settings) as first:
        send(kafka, topic, numbers(*range(200)), 4)
        seen[0] += rows_until(first, 200, one)
        stale = first.position()
        with streaming(cluster, other, **settings) as second:
            # The second joins while the first has rows that are not committed.
            def both() -> bool:
                seen[1].extend(turn(second, other, wait_s=0.2))
                seen[0].extend(turn(first, one, wait_s=0.2))
                return bool(first._reader._owned) and len(second._reader._owned) == 2

            until(both)
            first.commit(stale)
            assert any("went to another reader" in log for log in one.logs)
            until(lambda: both() and {row["n"] for row in seen[1]} >= gone(seen[0], second))
            first.commit(first.position())
            second.commit(second.position())
            send(kafka, topic, numbers(*range(200, 300)), 4)
            until(lambda: both() and {r["n"] for s in seen for r in s} == set(range(300)))
            assert {row["n"] for row in seen[1]} & set(range(200, 300))
            assert {row["n"] for row in seen[0]} & set(range(200, 300))
            first.commit(first.position())
            second.commit(second.position())
        until(lambda: turn(first, one, wait_s=0.2) == [] and len(first._reader._owned) == 4)
    assert everything(cluster, topic=topic, schema=NUMBER) == []


def gone(rows: list[Any], other: Any) -> set[int]:
    """What the first reader read of the partitions that are now the other's."""
    return {row["n"] for row in rows if row["partition"] in other._reader._owned}


def test_where_reading_begins_while_others_read(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    send(kafka, topic, numbers(1, 2))
    with streaming(cluster, topic=topic, schema=NUMBER, start="latest") as stream:
        rows: list[Any] = []
        until(lambda: rows.__iadd__(turn(stream, wait_s=0.2)) != [] or stream._reader._owned == {0})
        assert rows + turn(stream) == []
        send(kafka, topic, numbers(3))
        assert rows_until(stream, 1) == [{"n": 3}]
        stream.commit(stream.position())
        told = Told()
        with streaming(cluster, told, topic=topic, schema=NUMBER, start="earliest"):
            assert any("others of the group" in log for log in told.logs)
    with streaming(cluster, topic=topic, schema=NUMBER, start="earliest") as stream:
        assert [row["n"] for row in rows_until(stream, 3)] == [1, 2, 3]


def test_offsets_that_are_gone(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    send(kafka, topic, numbers(*range(10)))
    with streaming(cluster, topic=topic, schema=NUMBER) as stream:
        assert len(rows_until(stream, 2)) == 2
        stream.commit({"topic": topic, "offsets": {"0": 2}})
    admin = kafka.admin()
    admin.delete_records([TopicPartition(topic, 0, 5)])[TopicPartition(topic, 0)].result(PATIENCE_S)
    for bounds in ({}, {"until": "latest"}):
        told = Told()
        with streaming(cluster, told, topic=topic, schema=NUMBER, **bounds) as stream:
            assert [row["n"] for row in rows_until(stream, 5, told)] == [5, 6, 7, 8, 9]
        assert any("reading goes on at its beginning, offset 5" in log for log in told.logs)


def test_the_membership_outlives_a_long_turn(kafka: Kafka) -> None:
    with cluster_of(kafka, client=SHORT) as cluster:
        topic = kafka.create_topic()
        with streaming(cluster, topic=topic, schema=NUMBER) as stream:
            send(kafka, topic, numbers(1))
            assert rows_until(stream, 1) == [{"n": 1}]
            end = time.monotonic() + SHORT_TURN_S + 1
            send(kafka, topic, numbers(2, 3, 4))
            until(lambda: len(stream._reader._held) == 3 and time.monotonic() > end)
            stream.commit(stream.position())
            assert [row["n"] for row in rows_until(stream, 3)] == [2, 3, 4]


def test_lag(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    send(kafka, topic, numbers(*range(10)))
    with streaming(cluster, topic=topic, schema=NUMBER) as stream:
        assert stream.lag() is None
        rows_until(stream, 4)
        assert stream.lag() == 6


def test_settings_that_cannot_work(kafka: Kafka, cluster: Cluster) -> None:
    topic = kafka.create_topic()
    with (
        pytest.raises(KafkaProblem, match=r"`nowhere` .*; create it, or check its name"),
        streaming(cluster, topic="nowhere", schema=NUMBER),
    ):
        pass
    with pytest.raises(KafkaProblem, match="the topic `a b`"), streaming(cluster, topic="a b", schema=NUMBER):
        pass
    clash = {"topic": topic, "schema": {"offset": "int"}, "columns": ["offset"]}
    send(kafka, topic, numbers(1))
    with pytest.raises(KafkaProblem, match="a column `offset` of their own"):
        everything(cluster, **clash)
    wrong = Told(columns=pa.schema([("key", pa.int64())]))
    with pytest.raises(ValueError, match="the column `key` is string, but the program reads it as int"):
        everything(cluster, wrong, topic=topic, columns=["key"])
    wrong = Told(columns=pa.schema([("other", pa.int64())]))
    with pytest.raises(KafkaProblem, match="no column `other`; it has `value`"):
        everything(cluster, wrong, topic=topic, format="string")
