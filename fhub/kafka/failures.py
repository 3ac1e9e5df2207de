"""Kafka's errors in words, and whether another attempt may cure them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heddle.core.step import Transient

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_CURES: Final = {
    "_AUTHENTICATION": "check `username`, `password` and `sasl_mechanism` of the connection",
    "SASL_AUTHENTICATION_FAILED": "check `username`, `password` and `sasl_mechanism` of the connection",
    "_SSL": "check `security_protocol` and `ssl_ca` of the connection",
    "_RESOLVE": "check the host in `broker`",
    "TOPIC_AUTHORIZATION_FAILED": "give the connection's user the right to this topic",
    "GROUP_AUTHORIZATION_FAILED": "give the connection's user the right to this group, or set `group`",
    "CLUSTER_AUTHORIZATION_FAILED": "give the connection's user the right to write idempotently",
    "TOPIC_EXCEPTION": "check the name of the topic",
    "UNKNOWN_TOPIC_OR_PART": "create it, or check its name",
    "_UNKNOWN_TOPIC": "create it, or check its name",
    "_UNKNOWN_PARTITION": "check the column that `partition` names",
    "MSG_SIZE_TOO_LARGE": (
        "raise `max.message.bytes` of the topic, and `message.max.bytes` in `client` of the connection"
    ),
    "FENCED_INSTANCE_ID": "another process has the same `group.instance.id`",
}
_LASTING: Final = frozenset(
    {
        "_AUTHENTICATION",
        "_SSL",
        "SASL_AUTHENTICATION_FAILED",
        "UNSUPPORTED_SASL_MECHANISM",
        "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "UNKNOWN_TOPIC_OR_PART",
        "_UNKNOWN_TOPIC",
        "_UNKNOWN_PARTITION",
        "TOPIC_EXCEPTION",
        "MSG_SIZE_TOO_LARGE",
        "INVALID_RECORD",
        "_INVALID_ARG",
        "_FATAL",
        "FENCED_INSTANCE_ID",
    }
)
"""Errors that stay until somebody changes something; all others may pass."""


class KafkaProblem(Exception):
    """Something that stays wrong until it is changed; the message says what, where and the cure."""


class KafkaUnavailable(Transient):
    """The cluster, or a part of it, does not answer."""


def problem(what: str, error: KafkaError) -> KafkaProblem | KafkaUnavailable:
    """`what` failed with `error`: "reading the topic `orders`"."""
    name = error.name()
    cure = f"; {_CURES[name]}" if name in _CURES else ""
    text = f"{what}: {reason(error)}{cure}"
    return KafkaProblem(text) if lasting(error) else KafkaUnavailable(text)


def lasting(error: KafkaError) -> bool:
    return error.fatal() or error.name() in _LASTING


def reason(error: KafkaError) -> str:
    """The error's own words, without the address of librdkafka's object in front of them."""
    text: str = error.str() or error.name()
    return text.strip().rstrip(".")


def install_hint(missing: str) -> KafkaProblem:
    return KafkaProblem(f"Kafka needs the package {missing}; install it with pip install 'heddle[kafka]'")
