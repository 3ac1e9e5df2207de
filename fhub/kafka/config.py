"""The settings of Kafka's connection and steps."""

from __future__ import annotations

from typing import Any, Literal

from heddle.core.durations import DURATION_HELP, duration_s
from heddle.core.resource import ResourceConfig
from heddle.core.step import StepConfig
from heddle.sdk import RowText, Secret

Format = Literal["json", "avro", "protobuf", "string", "bytes"]
Extra = Literal["key", "headers", "timestamp", "partition", "offset"]


class ConnectionConfig(ResourceConfig):
    """`broker` is `host:port`, or several with commas. `client` holds further settings by librdkafka's names;
    secrets have settings of their own."""

    broker: str
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: Secret[str] | None = None
    ssl_ca: str | None = None
    ssl_certificate: str | None = None
    ssl_key: str | None = None
    ssl_key_password: Secret[str] | None = None
    schema_registry: str | None = None
    schema_registry_username: str | None = None
    schema_registry_password: Secret[str] | None = None
    schema_registry_ca: str | None = None
    connect_timeout: str = "10s"
    client: dict[str, Any] = {}  # noqa: RUF012 - a default


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
    columns: list[Extra] = []  # noqa: RUF012 - a default
    key_format: Literal["string", "bytes"] = "string"
    tombstones: Literal["reject", "skip"] = "reject"
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"


class ProduceConfig(StepConfig[ConnectionConfig]):
    """`key` is the column whose value chooses the partition; `headers`, `timestamp` and `partition` name
    columns that go there and not into the value. `columns` are those of the value, else all others."""

    topic: str
    key: str | None = None
    headers: str | None = None
    timestamp: str | None = None
    partition: str | None = None
    columns: list[str] | None = None
    format: Format = "json"
    acks: Literal["all", "1", "0"] = "all"
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    delivery_timeout: str = "2m"


def seconds(text: str, setting: str) -> float:
    """A duration among the settings. Raises `ValueError`."""
    found = duration_s(text)
    if not found:
        raise ValueError(f"`{setting}`: {DURATION_HELP}, not {text!r}")
    return found
