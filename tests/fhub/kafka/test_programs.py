"""Whole programs: what they read, write and commit, run after run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heddle.physical.cancel import EndSwitch
from heddle.physical.events import Event, StageStarted, TurnFinished
from tests.engine.harness import Ran, check, run
from tests.fhub.kafka.topics import messages_of, send
from tests.services.kafka import Kafka

PROGRAM = """\
import "fhub/kafka" kafka
import "risk" risk

resource broker = kafka.connection {
  broker: "BROKER"
}

handler park {
  *
    | <broker=broker> kafka.produce { topic: "DEAD" }
}

workflow Fraud ? park {
  <broker=broker> kafka.consume { topic: "SOURCE" SETTINGS }
    > transactions

  transactions
    | (
        from input
        filter amount > 10000
        select { user_id, amount }
      )
    | risk.score
    | <broker=broker> kafka.produce { topic: "TARGET", key: "user_id" }
}
"""
RISK = '''\
"""Fails for negative users."""

import pyarrow.compute as pc

from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="risk")


class Transactions(Table):
    user_id: int
    amount: float


class Scored(Table):
    user_id: int
    amount: float
    score: float


@plugin.step(name="score", rows="map", deterministic=True)
def score(config: StepConfig, input: Transactions) -> Scored:
    table = input.to_arrow()
    if pc.any(pc.less(table["user_id"], 0)).as_py():
        raise ValueError("no such user")
    return Scored.from_arrow(table.append_column("score", pc.divide(table["amount"], 1e6)))


if __name__ == "__main__":
    plugin.serve()
'''


class Topics:
    """A program between topics of its own."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka = kafka
        self.folder = folder
        self.source = kafka.create_topic(partition_count=2)
        self.target, self.dead = kafka.create_topic(), kafka.create_topic()
        (folder / "heddle.toml").write_text('[plugins]\n"risk" = "risk.py"\n')
        (folder / "risk.py").write_text(RISK)

    def send(self, *values: bytes) -> None:
        send(self.kafka, self.source, values)

    def run(self, settings: str = "", program: str = PROGRAM, **options: Any) -> Ran:
        names = {
            "BROKER": self.kafka.bootstrap_servers,
            "SOURCE": self.source,
            "TARGET": self.target,
            "DEAD": self.dead,
            "SETTINGS": f", {settings}" if settings else "",
        }
        text = program
        for name, value in names.items():
            text = text.replace(name, value)
        path = self.folder / "fraud.he"
        path.write_text(text)
        return run(path, **options)

    def run_until_read(self, settings: str, count: int, starting: Callable[[], None] = lambda: None) -> Ran:
        """A run that goes on, and ends when so many messages of the source count as read. `starting` is
        called when its first stage starts."""
        ending, started = EndSwitch(), threading.Event()

        def listener(event: Event) -> None:
            if isinstance(event, StageStarted) and not started.is_set():
                started.set()
                starting()
            if isinstance(event, TurnFinished):
                (position,) = event.positions.values()
                offsets = position["offsets"]
                assert isinstance(offsets, dict)
                if sum(int(str(offset)) for offset in offsets.values()) == count:
                    assert ending.ask()

        return self.run(settings, listener=listener, ending=ending)

    def written(self, count: int) -> list[dict[str, Any]]:
        found = [json.loads(message.value()) for message in messages_of(self.kafka, self.target, count)]
        return sorted(found, key=lambda row: int(row["user_id"]))

    def parked(self, count: int) -> list[dict[str, Any]]:
        return [json.loads(message.value()) for message in messages_of(self.kafka, self.dead, count)]


@pytest.fixture
def topics(kafka: Kafka, tmp_path: Path) -> Topics:
    return Topics(kafka, tmp_path)


def transaction(user: int, amount: float = 20000.0) -> bytes:
    return json.dumps({"user_id": user, "amount": amount, "currency": "USD"}).encode()


def test_runs_up_to_the_end_go_on_where_the_last_ended(topics: Topics) -> None:
    settings = 'until: "latest", schema: {user_id: "int", amount: "float"}'
    topics.send(*(transaction(n, n * 100.0) for n in range(200)), b"poison", b'{"user_id": 5}')
    first = topics.run(settings)
    assert (first.result.status, first.result.turns) == ("handled", 1)
    assert [row["user_id"] for row in topics.written(99)] == list(range(101, 200))
    poison, lacking = sorted(topics.parked(2), key=lambda row: str(row["error_msg"]))
    assert poison["error_msg"] == f"a message of `{topics.source}`: it is not JSON: Expecting value"
    assert json.loads(poison["payload"])["value"] == "poison"
    assert json.loads(lacking["payload"])["value"] == '{"user_id": 5}'
    assert (lacking["error_type"], lacking["workflow"]) == ("BadRecord", "Fraud")
    assert topics.run(settings).result.rows == 0
    topics.send(transaction(1000))
    assert topics.run(settings).result.status == "succeeded"
    assert [row["user_id"] for row in topics.written(100)] == [*range(101, 200), 1000]


def test_a_run_that_goes_on_commits_turn_after_turn(topics: Topics) -> None:
    topics.send(*(transaction(n) for n in range(100)), b"poison", b'{"user_id": 5}')
    settings = 'commit_every: "200ms"'
    first = topics.run_until_read(settings, 102)
    assert first.result.status == "handled"
    assert [row["user_id"] for row in topics.written(100)] == list(range(100))
    reasons = sorted(row["error_msg"].rpartition(": ")[2] for row in topics.parked(2))
    assert reasons == ["Expecting value", "it lacks `amount`"]
    topics.send(transaction(100))
    second = topics.run(settings, turns_max=1)
    assert (second.result.status, second.result.turns) == ("succeeded", 1)
    assert [row["user_id"] for row in topics.written(101)] == list(range(101))


def test_a_topic_that_is_empty_at_first(topics: Topics) -> None:
    sending: list[threading.Thread] = []

    def send_some() -> None:
        values = (b'{"user_id": 5}', transaction(1), b'{"user_id": 6, "amount": "x"}')
        sending.append(threading.Thread(target=topics.send, args=values))
        sending[0].start()

    ran = topics.run_until_read('commit_every: "200ms"', 3, send_some)
    sending[0].join()
    assert ran.result.status == "handled"
    assert topics.written(1) == [{"user_id": 1, "amount": 20000.0, "score": 0.02}]
    reasons = sorted(row["error_msg"].rpartition(": ")[2] for row in topics.parked(2))
    assert reasons == ['`amount` is "x" where float is wanted', "it lacks `amount`"]


def test_a_batch_that_fails_is_parked_and_what_fails_without_a_handler_is_read_again(
    topics: Topics,
) -> None:
    settings = 'until: "latest", schema: {user_id: "int", amount: "float"}'
    topics.send(transaction(1), transaction(-1))
    assert topics.run(settings).result.status == "handled"
    assert {row["error_msg"] for row in topics.parked(2)} == {"no such user"}
    topics.send(transaction(-2))
    untrapped = topics.run(settings, PROGRAM.replace("workflow Fraud ? park", "workflow Fraud"))
    assert untrapped.result.status == "failed"
    assert topics.run(settings).result.status == "handled"
    assert len(topics.parked(3)) == 3


def test_a_program_checks_without_a_cluster(topics: Topics) -> None:
    path = topics.folder / "fraud.he"
    path.write_text(PROGRAM.replace("BROKER", "nowhere.invalid:1").replace("SETTINGS", ""))
    assert [d.code for d in check(path) if d.severity == "error"] == []
