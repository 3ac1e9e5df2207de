"""Kafka's JSON through Heddle: consumed, filtered, produced, beside a bare loop of confluent-kafka.

`python -m benchmarks.kafka [--messages N] [--repeats N] [--steady-s N]` starts Apache Kafka, fills a topic
with messages of 200 bytes and moves those with an amount over a limit, nine of ten, to another. Heddle is a
process `heddle run`, from its start to its end: it reads in turns, decodes, filters, encodes, produces, waits
until all is confirmed and commits its offsets. The bare loop hands on all that it gets without looking at it,
in this process, with the same settings of the client. Both take turns on the same broker; what a few messages
take is the start, and is not in the rates. Then messages are sent at a steady rate to a run that goes on, and
the time of each output is compared with that of its message.

The last line is `RESULT {json}`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from benchmarks.harness import Side, conditions, interleaved, spread
from tests.services.kafka import Kafka

MESSAGES = 1_000_000
REPEATS = 3
MESSAGE_BYTES = 200
FEW = 20
"""Messages of a run that shows what a start takes."""
BATCH = 10_000
STEADY_RATE = 2_000
STEADY_S = 10
STEADY_TURN = "100ms"
GOAL = 0.5
PATIENCE_S = 120.0

PROGRAM = """\
import "fhub/kafka" kafka

resource broker = kafka.connection { broker: "BROKER" }

workflow Moved {
  <broker=broker> kafka.consume {
    topic: "SOURCE"
    SETTINGS
    schema: {
      id: "int"
      user_id: "int"
      amount: "float"
      currency: "string?"
      at: "timestamp?"
      note: "string?"
    }
  }
    > messages

  messages
    | (from input | filter amount > 500.0)
    | <broker=broker> kafka.produce { topic: "TARGET" }
}
"""


def message(number: int) -> bytes:
    """A transaction of `MESSAGE_BYTES`; nine of ten have an amount over the limit."""
    row = {
        "id": number,
        "user_id": number * 7919 % 100_000,
        "amount": (number % 10 > 0) * 1000 + number % 97 / 100,
        "currency": "USD",
        "at": "2026-01-02T03:04:05Z",
        "note": "",
    }
    size = len(json.dumps(row))
    return json.dumps({**row, "note": "x" * (MESSAGE_BYTES - size)}).encode()


def fill(kafka: Kafka, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 20})
    for number in range(count):
        while True:
            try:
                producer.produce(topic, message(number), partition=number % 2)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush(PATIENCE_S)


def bare(kafka: Kafka, source: str, target: str, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds to hand `count` messages on."""
    started, cpu = time.perf_counter(), time.process_time()
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": "bare",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 10,
            "fetch.message.max.bytes": 4 << 20,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 200_000,
        }
    )
    consumer.assign([TopicPartition(source, p, OFFSET_BEGINNING) for p in range(2)])
    done = 0
    while done < count:
        for each in consumer.consume(BATCH, 0.1):
            while True:
                try:
                    producer.produce(target, each.value())
                    break
                except BufferError:
                    producer.poll(0.05)
            done += 1
        producer.poll(0)
    producer.flush(PATIENCE_S)
    offsets = [TopicPartition(source, p, count // 2) for p in range(2)]
    consumer.commit(offsets=offsets, asynchronous=False)
    took = time.perf_counter() - started, time.process_time() - cpu
    consumer.close()
    producer.close()
    return took


def heddle(kafka: Kafka, source: str, target: str) -> tuple[float, float]:
    """Seconds and CPU seconds of a run, those of its plugin's process included."""
    settings = 'start: "earliest", until: "latest", commit_every: "1s"'
    with running(kafka, source, target, settings) as process:
        started = time.perf_counter()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


@contextmanager
def running(kafka: Kafka, source: str, target: str, settings: str) -> Iterator[subprocess.Popen[bytes]]:
    names = {"BROKER": kafka.bootstrap_servers, "SOURCE": source, "TARGET": target, "SETTINGS": settings}
    text = PROGRAM
    for name, value in names.items():
        text = text.replace(name, value)
    command = str(Path(sys.executable).with_name("heddle"))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "heddle.toml").touch()
        Path(folder, "moved.he").write_text(text)
        with subprocess.Popen([command, "run", "moved.he"], cwd=folder, stderr=subprocess.DEVNULL) as process:
            yield process


def messages_in(kafka: Kafka, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "count"})
    partitions = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
    marks = [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=PATIENCE_S) for p in partitions]
    consumer.close()
    return sum(mark[1] for mark in marks)


def check_count(kafka: Kafka, topic: str, count: int) -> None:
    found = messages_in(kafka, topic)
    if found != count:
        raise SystemExit(f"{found:,} messages arrived instead of {count:,}")


def latencies_ms(kafka: Kafka, steady_s: int) -> list[float]:
    """Between a message's time and that of its output, as clients set them, for a steady flow."""
    source, target = kafka.create_topic(partition_count=2), kafka.create_topic(partition_count=2)
    count = STEADY_RATE * steady_s
    with running(kafka, source, target, f'commit_every: "{STEADY_TURN}"') as process:
        send_steadily(kafka, source, range(1))
        until(lambda: messages_in(kafka, target) == 1)
        send_steadily(kafka, source, range(1, count))
        until(lambda: messages_in(kafka, target) == count)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
    sent, arrived = (times_ms(kafka, topic, count) for topic in (source, target))
    return [arrived[id] - sent[id] for id in sent if id != 1]


def send_steadily(kafka: Kafka, topic: str, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 0})
    started = time.monotonic()
    for sent, number in enumerate(numbers):
        producer.produce(topic, message(10 * number + 1), partition=number % 2)
        if sent % 20 == 19:
            producer.poll(0)
            time.sleep(max(0.0, started + sent / STEADY_RATE - time.monotonic()))
    producer.flush(PATIENCE_S)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("the outputs did not arrive")
        time.sleep(0.05)


def times_ms(kafka: Kafka, topic: str, count: int) -> dict[int, int]:
    """When each message was sent, by its id."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "times"})
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(2)])
    times: dict[int, int] = {}
    end = time.monotonic() + PATIENCE_S
    while len(times) < count and time.monotonic() < end:
        for each in consumer.consume(BATCH, 0.1):
            times[json.loads(each.value() or b"")["id"]] = each.timestamp()[1]
    consumer.close()
    if len(times) != count:
        raise SystemExit(f"{len(times):,} of {count:,} messages are in {topic}")
    return times


def flow_rate(took: Mapping[str, Sequence[float]], side: str, count: int) -> float:
    """Messages a second, less what a few messages take."""
    pairs = zip(took[f"{side} {count}"], took[f"{side} {FEW}"], strict=True)
    return count / statistics.median(whole - start for whole, start in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--steady-s", type=int, default=STEADY_S, help="how long messages are sent steadily")
    arguments = parser.parse_args()
    count: int = arguments.messages // 20 * 20
    print(conditions(), end="\n\n")
    cpu: dict[str, list[float]] = {}
    with Kafka(heap_mb=1024, jvm_options=()) as kafka:
        sources = {size: kafka.create_topic(partition_count=2) for size in (count, FEW)}
        for size, topic in sources.items():
            fill(kafka, topic, size)

        def side(name: str, size: int) -> Side:
            def moved() -> float:
                target = kafka.create_topic(partition_count=2)
                if name == "heddle":
                    seconds, cpu_s = heddle(kafka, sources[size], target)
                    check_count(kafka, target, size // 10 * 9)
                else:
                    seconds, cpu_s = bare(kafka, sources[size], target, size)
                    check_count(kafka, target, size)
                cpu.setdefault(f"{name} {size}", []).append(cpu_s)
                return seconds

            return moved

        names = [(name, size) for name in ("heddle", "bare") for size in (count, FEW)]
        seconds = interleaved(
            {f"{name} {size}": side(name, size) for name, size in names}, repeats=arguments.repeats
        )
        waits = sorted(latencies_ms(kafka, arguments.steady_s))
    rate = {name: flow_rate(seconds, name, count) for name in ("heddle", "bare")}
    per_core = {name: flow_rate(cpu, name, count) for name in ("heddle", "bare")}
    start = {name: statistics.median(seconds[f"{name} {FEW}"]) for name in ("heddle", "bare")}
    whole = {name: statistics.median(seconds[f"{name} {count}"]) for name in ("heddle", "bare")}
    for name in ("heddle", "bare"):
        print(
            f"{name:<8} {rate[name]:>9,.0f} messages/s, {per_core[name]:>9,.0f} for each second of CPU, "
            f"after a start of {start[name]:.2f} s; in all {spread(seconds[f'{name} {count}'])}"
        )
    ratio = rate["heddle"] / rate["bare"]
    print(f"ratio    {ratio:.2f}, goal {GOAL}: {'met' if ratio >= GOAL else 'missed'}")
    p50, p99 = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    print(
        f"latency  p50 {p50:.0f} ms, p99 {p99:.0f} ms, at {STEADY_RATE:,} messages/s, turns of {STEADY_TURN}"
    )
    result = {
        "kafka_vs_bare": round(ratio, 3),
        "kafka_vs_bare_with_start": round(whole["bare"] / whole["heddle"], 3),
        "heddle_messages_per_s": round(rate["heddle"]),
        "bare_messages_per_s": round(rate["bare"]),
        "heddle_messages_per_core_s": round(per_core["heddle"]),
        "bare_messages_per_core_s": round(per_core["bare"]),
        "latency_p50_ms": round(p50, 1),
        "latency_p99_ms": round(p99, 1),
    }
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
