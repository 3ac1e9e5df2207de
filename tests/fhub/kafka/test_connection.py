"""`kafka.connection`: what it takes, whom it reaches, and what it says when it does not."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from fhub.kafka.cluster import Cluster, client_settings
from fhub.kafka.config import ConnectionConfig
from fhub.kafka.failures import KafkaProblem, KafkaUnavailable
from tests.fhub.kafka.topics import everything, write
from tests.services.kafka import PASSWORD, USER, Kafka
from tests.services.service import HOST, deaf_port
from tests.waiting import until


@pytest.fixture(scope="module")
def secure() -> Iterator[Kafka]:
    with Kafka(secure=True) as kafka:
        yield kafka


def login(kafka: Kafka, **changed: Any) -> Cluster:
    settings = {
        "broker": kafka.bootstrap_servers,
        "security_protocol": "sasl_ssl",
        "sasl_mechanism": "PLAIN",
        "username": USER,
        "password": PASSWORD,
        "ssl_ca": str(kafka.certificate),
        "connect_timeout": "60s",
        **changed,
    }
    return Cluster(ConnectionConfig(**settings))


def test_by_tls_with_a_password(secure: Kafka) -> None:
    topic = secure.create_topic()
    cluster = login(secure)
    assert cluster.health() is None
    write(cluster, pa.table({"n": [1]}), topic=topic)
    assert everything(cluster, topic=topic, schema={"n": "int"}) == [{"n": 1}]
    cluster.close()


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"password": "wr0ng"}, KafkaProblem, "check `username`, `password` and `sasl_mechanism`"),
        ({"username": "nobody"}, KafkaProblem, "check `username`, `password` and `sasl_mechanism`"),
        (
            {"sasl_mechanism": "SCRAM-SHA-256"},
            KafkaProblem,
            "check `username`, `password` and `sasl_mechanism`",
        ),
        ({"ssl_ca": None}, KafkaProblem, "check `security_protocol` and `ssl_ca`"),
        (
            {"security_protocol": "plaintext", "sasl_mechanism": None, "connect_timeout": "1s"},
            KafkaUnavailable,
            "check `broker` and `security_protocol`",
        ),
    ],
)
def test_a_cluster_that_refuses(secure: Kafka, changed: dict[str, Any], kind: type, message: str) -> None:
    cluster = login(secure, **changed)
    with pytest.raises(kind, match=message) as raised:
        cluster.partitions("any")
    assert PASSWORD not in str(raised.value)
    assert "wr0ng" not in str(raised.value)
    cluster.close()


def test_a_topic_that_others_may_read(secure: Kafka) -> None:
    topic = secure.create_topic("of-others")
    admin = secure.admin()
    rule = AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        "User:other",
        "*",
        AclOperation.ALL,
        AclPermissionType.ALLOW,
    )
    admin.create_acls([rule])[rule].result(60)
    wanted = AclBindingFilter(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        None,
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    until(lambda: bool(admin.describe_acls(wanted).result(60)), "the broker does not know the rule")
    cluster = login(secure)
    for attempt in (
        lambda: everything(cluster, topic=topic, schema={"n": "int"}),
        lambda: write(cluster, pa.table({"n": [1]}), topic=topic),
    ):
        with pytest.raises(KafkaProblem, match="the right to this topic"):
            attempt()
    cluster.close()


def test_tls_with_a_broker_that_has_none(kafka: Kafka) -> None:
    cluster = login(kafka, ssl_ca=None, connect_timeout="2s")
    with pytest.raises((KafkaProblem, KafkaUnavailable), match="`security_protocol`"):
        cluster.partitions("any")
    assert cluster.health() is not None
    cluster.close()


@pytest.mark.parametrize("broker", ["HERE", "SILENT", "nowhere.invalid:9092"])
def test_a_cluster_that_is_not_there(broker: str) -> None:
    with socket.create_server((HOST, 0)) as silent, deaf_port() as deaf:
        port = silent.getsockname()[1] if broker == "SILENT" else deaf
        address = broker if ":" in broker else f"{HOST}:{port}"
        cluster = Cluster(ConnectionConfig(broker=address, connect_timeout="1s"))
        with pytest.raises(KafkaUnavailable, match=r"did not answer within 1 s: .*; check `broker`"):
            cluster.partitions("any")
        cluster.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"client": {"sasl.password": "hunter2"}}, "`sasl.password` in `client` may be a secret"),
        ({"client": {"ssl.key.pem": "hunter2"}}, "`ssl.key.pem` in `client` may be a secret"),
        ({"client": {"group.id": "x"}}, "`group.id` in `client` has a setting of its own: `group`"),
        ({"client": {"enable.auto.commit": True}}, "`enable.auto.commit` in `client` is Heddle's own matter"),
        ({"client": {"linger.ms": [1]}}, "`linger.ms` in `client` is a text, a number or a bool"),
        ({"security_protocol": "sasl_ssl"}, "needs `sasl_mechanism`"),
        ({"sasl_mechanism": "PLAIN"}, '`sasl_mechanism` needs `security_protocol: "sasl_ssl'),
        ({"ssl_ca": "no/such.pem"}, "`ssl_ca` names no file: no/such.pem"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(KafkaProblem, match=message) as raised:
        Cluster(ConnectionConfig(broker="x", **settings))
    assert "hunter2" not in str(raised.value)


def test_a_setting_that_the_client_does_not_know(kafka: Kafka) -> None:
    cluster = Cluster(ConnectionConfig(broker=kafka.bootstrap_servers, client={"no.such": 1}))
    with pytest.raises(KafkaProblem, match=r'No such configuration property: "no\.such"'):
        cluster.partitions("any")
    cluster.close()


def test_paths_start_in_the_program_s_folder(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    config = ConnectionConfig(base=str(tmp_path), broker="x", security_protocol="ssl", ssl_ca="ca.pem")
    assert client_settings(config)["ssl.ca.location"] == str(tmp_path / "ca.pem")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(KafkaProblem, match=r"pip install 'heddle\[kafka\]'"):
        Cluster(ConnectionConfig(broker="x"))
