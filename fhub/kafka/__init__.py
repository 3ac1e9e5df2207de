"""Kafka: `kafka.consume` reads a topic, `kafka.produce` writes to one.

The columns of a topic are those of `schema`; without it they are what the program asks of them.
"""

from __future__ import annotations

from typing import Literal

from heddle.core.resource import ResourceConfig
from heddle.core.step import StepConfig
from heddle.sdk import Plugin, RowText, Secret

plugin = Plugin(namespace="fhub/kafka", doc="Kafka")

Format = Literal["json", "avro", "protobuf", "string", "bytes"]


class ConnectionConfig(ResourceConfig):
    """`broker` is `host:port`, or several with commas."""

    broker: str
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: Secret[str] | None = None
    ssl_ca: str | None = None
    schema_registry: str | None = None


class ConsumeConfig(StepConfig[ConnectionConfig]):
    """With `until: "latest"`, `max_rows` or `max_wait` the topic is read up to there; else the run goes on.

    `columns` adds what Kafka itself knows of a message.
    """

    topic: str
    schema: RowText | None = None
    format: Format = "json"
    group: str | None = None
    start: Literal["earliest", "latest", "committed"] = "committed"
    until: Literal["latest"] | None = None
    max_rows: int | None = None
    max_wait: str | None = None
    commit_every: str | None = None
    columns: list[Literal["key", "headers", "timestamp", "partition", "offset"]] = []  # noqa: RUF012 - a default


class ProduceConfig(StepConfig[ConnectionConfig]):
    """`key` is the column whose value chooses the partition."""

    topic: str
    key: str | None = None
    format: Format = "json"
    acks: Literal["all", "1", "0"] = "all"
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"


_BROKER = {"broker": "connection"}

plugin.declare_resource("connection", config=ConnectionConfig, doc="A cluster.")
plugin.declare(
    "consume",
    config=ConsumeConfig,
    input_mode="none",
    output_from_config=True,
    resource=_BROKER,
    rows="flat",
    effect=False,
    doc="The messages of a topic.",
)
plugin.declare(
    "produce",
    config=ProduceConfig,
    output=None,
    resource=_BROKER,
    rows="flat",
    effect=True,
    doc="Writes a message for each row.",
)
