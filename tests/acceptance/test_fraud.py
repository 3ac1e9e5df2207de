"""The fraud program, unchanged, against Kafka, PostgreSQL, ClickHouse's engine and a language model: what
comes out, what the servers were asked, and that faults on the way lose nothing."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.services.clickhouse import ClickHouse
from tests.services.kafka import Kafka
from tests.services.llm import Llm
from tests.services.postgresql import Postgresql

FRAUD = Path(__file__).parent / "fraud"
HEDDLE = str(Path(sys.executable).with_name("heddle"))
TRANSACTIONS = 100_000
SUSPECTS = 60
PATIENCE_S = 180.0
pytestmark = pytest.mark.timeout(4 * PATIENCE_S)
# The step of the acceptance program fails for what its filter never lets through, so its copy here also
# fails for one amount that passes.
UNLUCKY = 66_666.0
FAILING = (
    '    if pc.any(pc.less(table["amount"], 0.0)).as_py():',
    f'    if pc.any(pc.or_(pc.less(table["amount"], 0.0), pc.equal(table["amount"], {UNLUCKY}))).as_py():',
)


@dataclass
class Services:
    postgresql: Postgresql
    clickhouse: ClickHouse
    kafka: Kafka
    llm: Llm

    @property
    def environ(self) -> dict[str, str]:
        return os.environ | {
            "PGPORT": str(self.postgresql.port),
            "CLICKHOUSE_HTTP_PORT": str(self.clickhouse.port),
            "KAFKA_BROKER": self.kafka.bootstrap_servers,
            "LLM_BASE_URL": self.llm.url,
        }


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with ExitStack() as stack:
        started = Services(
            stack.enter_context(Postgresql()),
            stack.enter_context(ClickHouse()),
            stack.enter_context(Kafka()),
            stack.enter_context(Llm(tokens_max=6)),
        )
        _load_postgresql(started.postgresql)
        for statement in (FRAUD / "clickhouse.sql").read_text().split(";"):
            if statement.strip():
                started.clickhouse.execute(statement)
        for topic in ("live_transactions", "fraud_audits", "dlq_alerts"):
            started.kafka.create_topic(topic)
        yield started


def _load_postgresql(server: Postgresql) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(server.uri(), autocommit=True) as connection, connection.cursor() as cursor:
        for statement in (FRAUD / "postgresql.sql").read_text().split(";"):
            if statement.strip():
                cursor.execute(statement)


class Program:
    """`heddle run` on a copy of the program."""

    def __init__(self, folder: Path, services: Services) -> None:
        copy = folder / "fraud"
        shutil.copytree(FRAUD, copy)
        plugin = copy / "fraud_score.py"
        assert FAILING[0] in plugin.read_text()
        plugin.write_text(plugin.read_text().replace(*FAILING))
        self._process = subprocess.Popen(
            [HEDDLE, "run", str(copy / "fraud.he"), "--profile", "test", "--json"],
            env=services.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines += iter(self._process.stdout.readline, "")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self._process.poll() is None, f"the run ended before {what}: {self.lines[-20:]}"
            assert time.monotonic() < deadline, f"{what} within {PATIENCE_S} s; {self.lines[-20:]}"
            time.sleep(0.2)

    def finish(self) -> int:
        """Ask it to end; gives the exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE_S)
        self._reader.join()
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join()


@pytest.fixture
def program(services: Services, tmp_path: Path) -> Iterator[Program]:
    started = Program(tmp_path, services)
    yield started
    started.close()


class Topic:
    """Reads a topic from its beginning, again and again."""

    def __init__(self, kafka: Kafka, name: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": f"test-{name}-{random.getrandbits(32)}",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(name, 0, 0)])
        self.messages: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """All messages so far."""
        while message := self._consumer.poll(0.2):
            if message.error() is None:
                self.messages.append(json.loads(message.value()))
        return self.messages


def transaction(user: int, amount: float) -> bytes:
    text = {"user_id": user, "amount": amount, "currency": "USD", "at": "2026-01-02T03:04:05Z"}
    return json.dumps(text).encode()


def produce(kafka: Kafka, values: Sequence[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 5, "log_level": 0})
    for value in values:
        while True:
            try:
                producer.produce("live_transactions", value)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def expected(user: int, amount: float) -> dict[str, Any]:
    """What is sure of an audit."""
    country = ["BR", "DE", "IN", "JP", "NG", "US"][user % 6]
    score = min(amount, 1e6) / 1e6 + (0.25 if amount % 1000 == 0 else 0.0)
    return {
        "user_id": user,
        "amount": amount,
        "score": pytest.approx(score),
        "country": country,
        "velocity_score": ((user - 1) % 1000) / 1000,
    }


def suspects() -> dict[int, float]:
    return {17 + 811 * n: 10_000.5 + 137.25 * n if n % 3 else 11_000.0 + 1_000.0 * n for n in range(SUSPECTS)}


def test_the_fraud_program_end_to_end(services: Services, program: Program) -> None:
    chance = random.Random(7)
    wanted = suspects()
    users = list(wanted)
    ordinary = [transaction(1 + n % 50_000, chance.uniform(1.0, 10_000.0)) for n in range(TRANSACTIONS)]
    for place, user in zip(chance.sample(range(TRANSACTIONS), SUSPECTS), users, strict=True):
        ordinary[place] = transaction(user, wanted[user])
    poison = [b"this is no JSON", b'{"user_id": 5, "currency": "USD"}', b'{"user_id": 6, "amount": 20000.0']
    audits, alerts = Topic(services.kafka, "fraud_audits"), Topic(services.kafka, "dlq_alerts")
    in_postgresql, in_clickhouse = services.postgresql.mark(), services.clickhouse.mark()

    half = TRANSACTIONS // 2
    produce(services.kafka, ordinary[: half // 2] + poison + ordinary[half // 2 : half])
    program.wait_until(lambda: len(alerts.read()) >= len(poison), "the poison records in dlq_alerts")
    produce(services.kafka, [transaction(40_000, UNLUCKY)])
    program.wait_until(lambda: len(alerts.read()) > len(poison), "the failed batch in dlq_alerts")
    services.kafka.restart()
    produce(services.kafka, ordinary[half:])
    program.wait_until(lambda: len({a["user_id"] for a in audits.read()}) >= SUSPECTS, "all audits")
    assert program.finish() == 0, program.lines[-20:]

    found = {a["user_id"]: a for a in audits.read()}
    assert set(found) == set(users)
    for user, amount in wanted.items():
        answer = found[user].pop("answer")
        assert isinstance(answer, str)
        assert answer
        assert found[user] == expected(user, amount)

    payloads = Counter(json.dumps(json.loads(alert["payload"]), sort_keys=True) for alert in alerts.read())
    in_payloads = " ".join(payloads)
    assert len(alerts.messages) == len(poison) + 1, alerts.messages
    for text in ("this is no JSON", "currency", "20000.0"):
        assert text in in_payloads
    (failed,) = [a for a in alerts.messages if a["error_type"] == "ValueError"]
    assert json.loads(failed["payload"]) == {"user_id": 40_000, "amount": UNLUCKY}
    assert failed["error_msg"] == "negative amount"
    _assert_lookups(services, in_postgresql, in_clickhouse, users)


def _assert_lookups(services: Services, in_postgresql: int, in_clickhouse: int, users: list[int]) -> None:
    """Each server had one statement for all distinct keys of a turn, for the columns that are needed."""
    asked = [s for s in services.postgresql.statements(in_postgresql) if re.search(r"\busers\b", s.text)]
    data = [s for s in asked if s.parameters]
    keys = [int(n) for s in data for n in re.findall(r"\d+", re.findall(r"\{([\d,]*)\}", s.parameters)[0])]
    assert set(keys) >= set(users)
    assert len(data) < SUSPECTS / 2
    assert not any("name" in s.text for s in data)
    queries = [q for q in services.clickhouse.queries(in_clickhouse) if "risk_metrics" in q.sql]
    lookups = [q for q in queries if q.external or q.parameters]
    assert 0 < len(lookups) < SUSPECTS / 2
    assert not any("updated" in q.sql for q in lookups)
