"""Once after Kafka's jars have come: `python -m tests.services.kafka_setup`.

It formats the folder that brokers start from, and archives the classes of a broker that has served a
transaction, so that the JVMs of tests need neither find nor check them.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.services.kafka import CLASS_ARCHIVE, CLUSTER_ID, TEMPLATE, Kafka, java, write_settings

SERVED_S = 30.0


def format_template() -> None:
    with tempfile.TemporaryDirectory(prefix="heddle-kafka-format-") as name:
        folder = Path(name)
        settings = write_settings(folder, 1, 2)
        arguments = ["format", "--cluster-id", CLUSTER_ID, "--config", str(settings)]
        subprocess.run(
            [*java(), "kafka.tools.StorageTool", *arguments], check=True, stdout=subprocess.DEVNULL
        )
        shutil.rmtree(TEMPLATE, ignore_errors=True)
        shutil.copytree(folder / "data", TEMPLATE)


def archive_classes() -> None:
    CLASS_ARCHIVE.unlink(missing_ok=True)
    with Kafka(jvm_options=("-XX:TieredStopAtLevel=1", f"-XX:ArchiveClassesAtExit={CLASS_ARCHIVE}")) as kafka:
        _serve_a_transaction(kafka)


def _serve_a_transaction(kafka: Kafka) -> None:
    from confluent_kafka import Consumer, Producer

    topic = kafka.create_topic()
    servers = {"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0}
    producer = Producer({**servers, "transactional.id": "setup", "compression.type": "zstd"})
    producer.init_transactions(SERVED_S)
    producer.begin_transaction()
    producer.produce(topic, b"value", b"key")
    producer.commit_transaction(SERVED_S)
    consumer = Consumer({**servers, "group.id": "setup", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    message = consumer.poll(SERVED_S)
    if message is None or message.error() is not None:
        raise RuntimeError(
            f"the broker gave back {message and message.error()}; its log:\n{kafka.log_tail()}"
        )
    consumer.commit(message=message, asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    format_template()
    archive_classes()
