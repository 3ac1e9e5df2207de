"""How spans get to a collector, what is said when they do not, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from heddle.errors import UsageError
from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.asking import query
from tests.flightsql.clients.raw import Raw
from tests.flightsql.telemetry.collector import Parent, grpc_collector, http_collector
from tests.flightsql.telemetry.page import Page
from tests.flightsql.telemetry.servers import served, spans_to, write
from tests.services.service import deaf_port
from tests.waiting import until

ONE = query("SELECT 1 AS one")
SECRET = "t0p-s3cret-value"
PARENT = Parent("a" * 32, "b" * 16)
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"opentelemetry", "prometheus_client"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from heddle.cli.main import main
sys.argv = ["heddle", *sys.argv[1:]]
sys.exit(main())
"""
UNUSED = """
import sys
from pathlib import Path
from heddle.flightsql.serving import ServeOptions, serving
from tests.flightsql.asking import query
from tests.flightsql.clients.raw import Raw

with serving(ServeOptions((Path("shop.he"),), "127.0.0.1", 0), print) as running:
    with Raw(running.server.url) as raw:
        assert raw.ask(query("SELECT 1 AS one")).num_rows == 1
found = [name for name in sys.modules if name.startswith(("opentelemetry", "prometheus_client", "requests"))]
assert not found, found
"""


def ask_once(url: str) -> None:
    with Raw(url, headers=[PARENT.header]) as raw:
        assert raw.ask(ONE).num_rows == 1


def own_threads() -> set[str]:
    names = ("Otel", "telemetry", "metrics")
    return {thread.name for thread in threading.enumerate() if thread.name.startswith(names)}


def test_the_end_sends_what_is_left(tmp_path: Path) -> None:
    """Also what would be sent much later; and nothing stays behind."""
    with http_collector() as collector:
        later = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
        with served(tmp_path, spans_to(collector.url), environ=later) as running:
            ask_once(running.server.url)
            assert not collector.spans
        assert {"prepare", "SELECT", "admission", "plan"} <= set(collector.names())
    until(lambda: not own_threads(), "threads stay behind")


def test_by_grpc(tmp_path: Path) -> None:
    with grpc_collector() as collector:
        settings = spans_to(collector.url, 'protocol = "grpc"', 'headers = { "X-Team" = "shop" }')
        with served(tmp_path, settings) as running:
            ask_once(running.server.url)
            collector.wait_for(lambda span: span.name == "SELECT", "of the statement")
        assert collector.headers["x-team"] == "shop"


def test_the_environment_alone(tmp_path: Path) -> None:
    with http_collector() as collector:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=shop",
            "OTEL_SERVICE_NAME": "warehouse",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        with served(tmp_path, "", environ=environ) as running:
            ask_once(running.server.url)
        assert {"SELECT"} <= set(collector.names())
        assert collector.headers["x-team"] == "shop"
        assert collector.resources[0]["service.name"] == "warehouse"
        assert collector.resources[0]["deployment.environment.name"] == "test"
        assert "service.version" in collector.resources[0]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, []),
        ({"OTEL_TRACES_EXPORTER": "none"}, []),
        (
            {"OTEL_TRACES_EXPORTER": "console"},
            ["there are no spans: OTEL_TRACES_EXPORTER is console, and not otlp"],
        ),
    ],
)
def test_the_environment_switches_off(tmp_path: Path, environ: dict[str, str], said: list[str]) -> None:
    lines: list[str] = []
    with (
        http_collector() as collector,
        served(tmp_path, spans_to(collector.url), lines, environ) as running,
    ):
        ask_once(running.server.url)
        assert not own_threads()
    assert not collector.spans
    assert lines == said


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "http/json"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "1"}, "max_export_batch_size"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION": "x"}, "COMPRESSION"),
    ],
)
def test_an_environment_that_cannot_be_used(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    with (
        pytest.raises(UsageError, match=said),
        served(tmp_path, "[serve.telemetry]\n", environ=environ),
    ):
        raise AssertionError("it serves")
    assert not own_threads()


def test_what_is_odd_in_the_environment_is_said(tmp_path: Path) -> None:
    lines: list[str] = []
    environ = {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon", "OTEL_EXPORTER_OTLP_HEADERS": f"no header {SECRET}"}
    with http_collector() as collector, served(tmp_path, spans_to(collector.url), lines, environ):
        pass
    assert len(lines) == 2, lines
    assert all(line.startswith("OpenTelemetry: ") for line in lines)
    assert not any(SECRET in line for line in lines)


def test_two_servers_in_one_process(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with http_collector() as one, http_collector() as other:
        with served(first, spans_to(one.url)) as a, served(second, spans_to(other.url)) as b:
            ask_once(a.server.url)
            with Raw(b.server.url) as raw:
                raw.put(sql.CommandStatementUpdate(query="CREATE TABLE scratch.t (id BIGINT)"))
        assert "SELECT" in one.names() and "CREATE" not in one.names()
        assert "CREATE" in other.names() and "SELECT" not in other.names()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_that_is_not_there(tmp_path: Path, protocol: str) -> None:
    """One line; statements go on, and the end does not wait."""
    lines: list[str] = []
    environ = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with ExitStack() as open:
        url = f"http://127.0.0.1:{open.enter_context(deaf_port())}"
        running = open.enter_context(
            served(tmp_path, spans_to(url, f'protocol = "{protocol}"'), lines, environ)
        )
        ask_once(running.server.url)
        until(lambda: len(lines) > 0, "nobody is told")
        for _ in range(3):
            ask_once(running.server.url)
    assert len(lines) == 1
    assert lines[0].startswith(f"{url} does not take spans, which are lost for as long as that lasts")
    assert "\n" not in lines[0]
    until(lambda: not own_threads(), "threads stay behind")


def test_a_collector_that_does_not_answer(tmp_path: Path) -> None:
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environ = {"OTEL_EXPORTER_OTLP_TIMEOUT": "6"}
        with served(tmp_path, spans_to(url), lines, environ) as running:
            ask_once(running.server.url)
            held, _ = silent.accept()
        held.close()
    (line,) = lines
    assert line.startswith(f"{url} does not take spans, which are lost for as long as that lasts")
    until(lambda: not own_threads(), "threads stay behind")


def test_secrets_go_to_the_collector_only(tmp_path: Path) -> None:
    """Also when it says them back."""
    lines: list[str] = []
    headers = 'headers = { authorization = { secret = "COLLECTOR_TOKEN" } }'
    environ = {"HEDDLE_SECRET_COLLECTOR_TOKEN": f"Bearer {SECRET}"}
    with (
        http_collector() as collector,
        served(tmp_path, spans_to(collector.url, headers), lines, environ) as running,
    ):
        ask_once(running.server.url)
        collector.wait_for(lambda span: span.name == "SELECT", "of the statement")
        assert collector.headers["authorization"] == f"Bearer {SECRET}"
        collector.status = 401
        ask_once(running.server.url)
        until(lambda: len(lines) > 0, "nobody is told")
    assert len(lines) == 1
    assert "401" in lines[0]
    assert "*** is not right" in lines[0]
    assert SECRET not in lines[0]


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    headers = 'headers = { authorization = { secret = "COLLECTOR_TOKEN" } }'
    with (
        pytest.raises(UsageError, match="`COLLECTOR_TOKEN` is not set; the header `authorization`"),
        served(tmp_path, spans_to("http://127.0.0.1:9", headers)),
    ):
        raise AssertionError("it serves")


def test_more_spans_than_are_kept(tmp_path: Path) -> None:
    """What waits is bounded, and what finds no room is only counted."""
    lines: list[str] = []
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}
    settings = "[serve]\nmetrics = 0\n"
    with http_collector() as collector:
        collector.status = 503
        with served(tmp_path, settings + spans_to(collector.url), lines, environ) as running:
            page = Page(str(running.metrics_url))
            for _ in range(5):
                ask_once(running.server.url)
            page.wait(lambda value: value >= 5 * 4, "heddle_spans_made_total")
            assert page.value("heddle_spans_total", outcome="sent") == 0
        assert not collector.spans
    assert len(lines) == 1
    until(lambda: not own_threads(), "threads stay behind")


def test_what_nobody_uses_is_not_loaded(tmp_path: Path) -> None:
    write(tmp_path, "")
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", UNUSED],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [("", ["--metrics", "0"]), ("[serve]\nmetrics = 0\n", []), ("[serve.telemetry]\n", [])],
)
def test_without_the_extra(tmp_path: Path, settings: str, arguments: list[str]) -> None:
    write(tmp_path, settings)
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, "serve", "shop.he", "--flight", "0", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    assert "need more than is installed" in ran.stderr
    assert "pip install 'heddle[telemetry]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_without_the_extra_the_environment_is_not_enough(tmp_path: Path) -> None:
    """Its variables are for every program: the server does without spans, and says so."""
    write(tmp_path, "")
    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT, "serve", "shop.he", "--flight", "0", "--json"],
        cwd=tmp_path,
        env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            ask_once(json.loads(process.stdout.readline())["url"])
            process.terminate()
            _, said = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "the environment names a collector of spans, but there are none without more: pip install" in said
