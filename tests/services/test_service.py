"""What holds for every service: a port of its own, its log in an error, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.services.clickhouse import ClickHouse
from tests.services.kafka import Kafka
from tests.services.llm import Llm
from tests.services.object_store import ObjectStore
from tests.services.postgresql import Postgresql
from tests.services.service import HOST, ROOT, Service, ServiceFailed
from tests.waiting import until

PATIENCE_S = 60.0


class Web(Service):
    """Python's own web server: the smallest that there is."""

    name = "web"

    def prepare(self) -> None:
        (self.folder / "page").write_text("kept")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "http.server", "--bind", HOST, str(self.port)]

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/page") as answer:
                return bool(answer.read() == b"kept")
        except OSError:
            return False


class Robbed(Web):
    """Somebody takes the first port just before the server does."""

    def __init__(self) -> None:
        super().__init__()
        self.thief = socket.socket()
        self.ports: list[int] = []

    def command(self) -> list[str]:
        if not self.ports:
            self.thief.bind((HOST, self.port))
            self.thief.listen()
        self.ports.append(self.port)
        return super().command()


class Broken(Web):
    def command(self) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('the disk is full')"]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_another_port_is_tried_when_one_is_taken() -> None:
    robbed = Robbed()
    with robbed.thief, robbed:
        assert len(robbed.ports) == 2
        assert robbed.answers()
    assert not robbed.folder.exists()
    assert not robbed.log.exists()


def test_what_does_not_start_shows_its_log() -> None:
    broken = Broken()
    with pytest.raises(
        ServiceFailed, match=r"web ended with exit code 1 before it answered(?s:.*)the disk is full"
    ):
        broken.start()
    assert not broken.folder.exists()
    broken.log.unlink()


def test_what_is_missing_fails_and_says_the_cure() -> None:
    program = "from tests.services.kafka import Kafka; Kafka().start()"
    run = subprocess.run(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.endswith(
        "ServiceMissing: Java is not installed: `make test` installs it (tools/services.sh)\n"
    )


def test_a_restart_has_the_same_port_and_folder() -> None:
    with Web() as web:
        port, pid = web.port, web.process.pid
        web.restart()
        assert (web.port, web.answers()) == (port, True)
        assert not alive(pid)
        web.kill()
        assert not web.answers()
        web.restart()
        assert web.answers()


@pytest.mark.parametrize("kind", [Postgresql, Kafka, ClickHouse, Llm, ObjectStore])
def test_nothing_is_left_when_its_owner_is_killed(kind: type[Service]) -> None:
    program = (
        f"from {kind.__module__} import {kind.__name__} as Kind\n"
        "service = Kind().start()\n"
        "print(service.folder, service.log, *[each.pid for each in service.process.members()], flush=True)\n"
        "input()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    with owner.stdin, owner.stdout:
        # The server itself first; a backend that answered the first question may have ended by now.
        folder, log, *pids = owner.stdout.readline().split()
        assert alive(int(pids[0]))
        owner.send_signal(signal.SIGKILL)
        owner.wait(PATIENCE_S)
    until(lambda: not any(alive(int(pid)) for pid in pids) and not Path(folder).exists())
    Path(log).unlink()
