"""A broker that crashes, comes back, and crashes again, under a stream and writers."""

from __future__ import annotations

import pytest

from fhub.kafka.cluster import Cluster
from fhub.kafka.config import ProduceConfig
from fhub.kafka.failures import KafkaUnavailable
from fhub.kafka.writer import TopicWriter
from heddle.core.table import Table
from tests.fhub.kafka.topics import Told, cluster_of, everything, rows_until, send, streaming, turn
from tests.services.kafka import Kafka
from tests.waiting import until

NUMBER = {"n": "int"}


def test_a_broker_that_is_away_for_a_while() -> None:
    with Kafka() as kafka, cluster_of(kafka, client={"reconnect.backoff.max.ms": 200}) as cluster:
        source, target = kafka.create_topic(), kafka.create_topic()
        send(kafka, source, [b'{"n": 1}', b'{"n": 2}'])
        told = Told()
        writer = writing(cluster, target)
        last = writing(cluster, target, delivery_timeout="1s")
        with streaming(cluster, told, topic=source, schema=NUMBER) as stream:
            assert len(rows_until(stream, 2, told)) == 2
            writer.write(numbers(0, 500), told.context)
            kafka.kill()
            writer.write(numbers(500, 1000), told.context)
            until(lambda: turn(stream, told, wait_s=0.2) == [] and any("is away" in x for x in told.logs))
            kafka.restart()
            writer.commit()
            stream.commit(stream.position())
            until(lambda: turn(stream, told, wait_s=0.2) == [] and any("is back" in x for x in told.logs))
            send(kafka, source, [b'{"n": 3}'])
            assert rows_until(stream, 1, told) == [{"n": 3}]
            stream.commit(stream.position())
        assert everything(cluster, topic=source, schema=NUMBER) == []
        assert [row["n"] for row in everything(cluster, topic=target, schema=NUMBER)] == list(range(1000))
        kafka.kill()
        last.write(numbers(0, 1), told.context)
        with pytest.raises(KafkaUnavailable, match=f"writing to `{target}`.*1 messages"):
            last.commit()
        last.abort()


def writing(cluster: Cluster, topic: str, **settings: str) -> TopicWriter:
    return TopicWriter(ProduceConfig(resource=cluster, topic=topic, **settings), Told().context)


def numbers(first: int, end: int) -> Table:
    return Table.from_pylist([{"n": n} for n in range(first, end)])
