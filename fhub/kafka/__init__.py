"""Kafka: `kafka.consume` reads a topic, `kafka.produce` writes to one.

The columns of a topic are those of `schema`; without it they are what the program asks of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhub.embedded import embedded_folder
from fhub.kafka.config import ConnectionConfig, ConsumeConfig, ProduceConfig
from heddle.core.step import StepContext
from heddle.sdk import Plugin, Resource, Stream, Writer

if TYPE_CHECKING:
    import pyarrow as pa

plugin = Plugin(namespace="fhub/kafka", doc="Kafka")

_BROKER = {"broker": "connection"}


@plugin.resource(name="connection")
def connection(config: ConnectionConfig) -> Resource:
    """A cluster."""
    folder = embedded_folder(config.broker, config.base)
    if folder is not None:
        from fhub.kafka.local_cluster import LocalCluster

        return LocalCluster(config.broker, folder)
    from fhub.kafka.cluster import Cluster

    return Cluster(config)


def consumed_row(config: ConsumeConfig) -> pa.Schema:
    from fhub.kafka.layout import row_of

    return row_of(config)


@plugin.stream(name="consume", resource=_BROKER, infer=consumed_row)
def consume(config: ConsumeConfig, context: StepContext) -> Stream:
    """The messages of a topic."""
    from fhub.kafka.stream import TopicStream

    return TopicStream(config, context)


@plugin.writer(name="produce", resource=_BROKER)
def produce(config: ProduceConfig, context: StepContext) -> Writer:
    """Writes a message for each row."""
    from fhub.kafka.writer import TopicWriter

    return TopicWriter(config, context)
