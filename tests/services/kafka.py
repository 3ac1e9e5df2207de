"""Apache Kafka: one broker that is its own controller, from the jars that tools/services.sh fetches."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.certificates import make_certificate
from tests.services.service import CACHE, HOST, Service, ServiceMissing, free_port
from tests.waiting import until

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

JARS = CACHE / "kafka"
# The classes of a broker that has started, laid out for the JVM: a start takes half the time.
CLASS_ARCHIVE = JARS / "classes.jsa"
# A formatted folder, as each new broker finds it.
TEMPLATE = JARS / "template"
LOG_SETTINGS = Path(__file__).parent / "kafka" / "log4j2.properties"
USER = "heddle"
PASSWORD = "correct horse"
CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"
ADMIN_S = 60.0


class Kafka(Service):
    """`heap_mb` suits tests; a benchmark gives more. A `secure` one is reached by TLS with the file
    `certificate`, and by `USER` with `PASSWORD`."""

    name = "kafka"

    def __init__(
        self,
        *,
        heap_mb: int = 256,
        jvm_options: tuple[str, ...] = ("-XX:TieredStopAtLevel=1",),
        secure: bool = False,
    ) -> None:
        super().__init__()
        self._secure = secure
        self._jvm_options = (f"-Xmx{heap_mb}m", *jvm_options)
        self._controller_port = 0
        self._internal_port = 0
        self._topic_numbers = count(1)

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    def admin(self) -> AdminClient:
        from confluent_kafka.admin import AdminClient

        settings: dict[str, str | int | float | bool] = {"bootstrap.servers": self.bootstrap_servers}
        if self._secure:
            settings |= {
                "security.protocol": "sasl_ssl",
                "sasl.mechanism": "PLAIN",
                "sasl.username": USER,
                "sasl.password": PASSWORD,
                "ssl.ca.location": str(self.certificate),
            }
        return AdminClient(settings)

    def create_topic(self, name: str | None = None, *, partition_count: int = 1, **settings: str) -> str:
        """A topic, with a name of its own if none is given; gives its name. `settings` as Kafka names them,
        with `_` for `.`: `retention_ms="1000"`."""
        from confluent_kafka.admin import NewTopic

        topic = name or f"test-{next(self._topic_numbers)}"
        config = {key.replace("_", "."): value for key, value in settings.items()}
        wanted = NewTopic(topic, num_partitions=partition_count, replication_factor=1, config=config)
        admin = self.admin()
        admin.create_topics([wanted])[topic].result(ADMIN_S)
        self.wait_for_topic(topic, partition_count)
        return topic

    def wait_for_topic(self, topic: str, partition_count: int) -> None:
        """The controller makes topics and partitions; the broker knows of them a moment later."""
        admin = self.admin()

        def known() -> bool:
            found = admin.list_topics(topic, timeout=ADMIN_S).topics[topic]
            leaders = [partition.leader for partition in found.partitions.values()]
            return found.error is None and len(leaders) == partition_count and -1 not in leaders

        until(known, f"the broker does not know `{topic}` with {partition_count} partitions")

    def prepare(self) -> None:
        if not TEMPLATE.exists():
            raise ServiceMissing("Apache Kafka")
        shutil.copytree(TEMPLATE, self.folder / "data")
        self._controller_port = free_port()
        if self._secure:
            self._internal_port = free_port()
            make_certificate(self.folder)

    def command(self) -> list[str]:
        more = secure_settings(self.folder, self.port, self._internal_port) if self._secure else {}
        settings = write_settings(self.folder, self.port, self._controller_port, more)
        return [*java(*self._jvm_options), "kafka.Kafka", str(settings)]

    def answers(self) -> bool:
        from confluent_kafka import KafkaException

        try:
            return len(self.admin().list_topics(timeout=1).brokers) == 1
        except KafkaException:
            return False


def java(*options: str) -> list[str]:
    """A JVM with Kafka's classes, before the name of the class to run."""
    program = shutil.which("java")
    if program is None:
        raise ServiceMissing("Java")
    # An archive of classes is good for the same jars in the same order only.
    jars = ":".join(str(jar) for jar in sorted(JARS.glob("*.jar")))
    archive = [f"-XX:SharedArchiveFile={CLASS_ARCHIVE}"] if CLASS_ARCHIVE.exists() else []
    log_settings = f"-Dlog4j2.configurationFile={LOG_SETTINGS}"
    return [program, "-Xms64m", "-XX:+UseSerialGC", *archive, *options, log_settings, "-cp", jars]


def secure_settings(folder: Path, port: int, internal_port: int) -> dict[str, str]:
    """Clients come by TLS and with a password, the broker itself as ever. Access lists count."""
    store = folder / "server.pem"
    store.write_bytes((folder / "server.key").read_bytes() + (folder / "server.crt").read_bytes())
    listeners = f"SECURE://{HOST}:{port},PLAINTEXT://{HOST}:{internal_port}"
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    return {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "SECURE:SASL_SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.secure.ssl.keystore.type": "PEM",
        "listener.name.secure.ssl.keystore.location": str(store),
        "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
        # Whom nobody has forbidden anything may do it.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": "User:ANONYMOUS",
        "listener.name.secure.plain.sasl.jaas.config": f'{login} user_{USER}="{PASSWORD}";',
    }


def write_settings(
    folder: Path, port: int, controller_port: int, more: Mapping[str, str] | None = None
) -> Path:
    """`more` stands instead of what this writes, but for the listener of the controller."""
    listeners = f"PLAINTEXT://{HOST}:{port}"
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"{listeners},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": listeners,
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(folder / "data"),
        # One broker holds all.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Nobody else is waited for.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A broker that was killed comes back when the controller has missed it for this long.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "300",
        # A topic is there when a test has made it, and not because of a wrong name.
        "auto.create.topics.enable": "false",
        **(more or {}),
    }
    if more:
        settings["listeners"] += f",CONTROLLER://{HOST}:{controller_port}"
    path = folder / "server.properties"
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return path
