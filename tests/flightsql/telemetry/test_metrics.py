"""`/metrics` of `heddle serve`: what it counts, and what it looks up."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pyarrow as pa
import pytest

from heddle.errors import UsageError
from heddle.flightsql.serving import ServeOptions, serving
from heddle.flightsql.wire import flight_pb2 as flight
from heddle.flightsql.wire import flight_sql_pb2 as sql
from heddle.serve_settings import MetricsAddress
from tests.flightsql.asking import UNENDING, close_session, prepare, query, refused, set_options, ticket
from tests.flightsql.clients import shop
from tests.flightsql.clients.raw import Raw
from tests.flightsql.security.guarded import Guarded, connected, user
from tests.flightsql.telemetry.page import Page
from tests.services.heddle_serve import COMMAND, HeddleServe
from tests.services.service import Service
from tests.waiting import until

SETTINGS = """\
[serve]
metrics = 0
result_cache = "64MB"

[serve.materialize]
"Kept.rows" = "manual"

[serve.admission]
running = 1
"""
KEPT = """\
workflow Kept {
  io.arrow { path: "kept.arrow" }
    > rows
}
"""
ONE = query("SELECT 1 AS one")
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "telemetry.md"
END_S = 60.0


def programs(folder: Path) -> None:
    shop.write(folder)
    shutil.copy(folder / "numbers.arrow", folder / "kept.arrow")
    (folder / "kept.he").write_text(KEPT)
    (folder / "heddle.toml").write_text(SETTINGS)


def page_of(server: Service) -> Page:
    """Where it is said after where the server is."""
    said: list[str] = []

    def is_said() -> bool:
        said[:] = re.findall(r"metrics at (\S+)\n", server.log.read_text())
        return bool(said)

    until(is_said, "it does not say where its metrics are")
    return Page(said[0])


@pytest.fixture(scope="module")
def server() -> Iterator[HeddleServe]:
    with HeddleServe(programs) as server:
        yield server


@pytest.fixture
def page(server: HeddleServe) -> Page:
    return page_of(server)


@pytest.fixture
def raw(server: HeddleServe) -> Iterator[Raw]:
    with Raw(server.uri) as raw:
        yield raw


def test_requests(page: Page, raw: Raw) -> None:
    grown = [
        page.grows(2, "heddle_requests_total", method="GetFlightInfo", code="OK"),
        page.grows(1, "heddle_requests_total", method="GetFlightInfo", code="NOT_FOUND"),
        page.grows(2, "heddle_requests_total", method="DoGet", code="OK"),
        page.grows(3, "heddle_request_duration_seconds_count", method="GetFlightInfo"),
        page.grows(3, "heddle_request_duration_seconds_bucket", method="GetFlightInfo", le="+Inf"),
    ]
    sent = page.value("heddle_sent_bytes_total")
    raw.ask(query("SELECT * FROM Shop.customers"))
    raw.ask(query("SELECT * FROM Shop.numbers"))
    refused(lambda: raw.info(query("SELECT * FROM nowhere")))
    for wait in grown:
        wait()
    assert page.value("heddle_sent_bytes_total") > sent + 16 * shop.ROWS
    assert page.value("heddle_request_duration_seconds_sum", method="DoGet") > 0


def test_statements_by_kind_and_outcome(page: Page, raw: Raw) -> None:
    grown = [
        page.grows(1, "heddle_statements_total", kind="query", outcome="ok"),
        page.grows(1, "heddle_statements_total", kind="query", outcome="failed"),
        page.grows(1, "heddle_statements_total", kind="query", outcome="not_found"),
        page.grows(2, "heddle_statements_total", kind="update", outcome="ok"),
        page.grows(3, "heddle_statement_rows_total", kind="query"),
        page.grows(2, "heddle_statement_rows_total", kind="update"),
        page.grows(2, "heddle_statement_duration_seconds_count", kind="query"),
    ]
    raw.ask(query("SELECT * FROM Shop.customers"))
    refused(lambda: raw.ask(query("SELECT 1 / (k - k) AS n FROM Shop.numbers")))
    refused(lambda: raw.info(query("SELECT * FROM nowhere")))
    raw.put(sql.CommandStatementUpdate(query="CREATE OR REPLACE TABLE scratch.counted (n BIGINT)"))
    raw.put(sql.CommandStatementUpdate(query="INSERT INTO scratch.counted VALUES (1), (2)"))
    for wait in grown:
        wait()


def test_who_goes_away_cancels(page: Page, raw: Raw) -> None:
    cancelled = page.grows(1, "heddle_statements_total", kind="query", outcome="cancelled")
    gone = page.grows(1, "heddle_requests_total", method="DoGet", code="CANCELLED")
    stream = raw.stream("DoGet", [ticket(raw.info(query(UNENDING)))])
    next(stream)
    page.wait(lambda value: value == 1, "heddle_statements_running")
    stream.cancel()
    cancelled()
    gone()
    page.wait(lambda value: value == 0, "heddle_statements_running")


def test_rows_that_come_in(page: Page, raw: Raw) -> None:
    grown = [
        page.grows(1, "heddle_statements_total", kind="ingest", outcome="ok"),
        page.grows(1, "heddle_statements_total", kind="ingest", outcome="exists"),
        page.grows(1000, "heddle_statement_rows_total", kind="ingest"),
    ]
    received = page.value("heddle_received_bytes_total")
    ways = sql.CommandStatementIngest.TableDefinitionOptions
    options = ways(if_not_exist=ways.TABLE_NOT_EXIST_OPTION_CREATE, if_exists=ways.TABLE_EXISTS_OPTION_FAIL)
    ingest = sql.CommandStatementIngest(table_definition_options=options, table="put", schema="scratch")
    rows = pa.table({"n": pa.array(range(1000), pa.int64())})
    raw.put(ingest, rows)
    refused(lambda: raw.put(ingest, rows))
    for wait in grown:
        wait()
    assert page.value("heddle_received_bytes_total") > received + 8000


def test_what_clients_have_open(page: Page, raw: Raw) -> None:
    open_ = [
        page.grows(1, "heddle_sessions"),
        page.grows(1, "heddle_prepared_statements"),
        page.grows(1, "heddle_executions"),
    ]
    held = page.value("heddle_executions_held_bytes")
    assert not set_options(raw, rows_max=500_000)
    prepare(raw, "SELECT 1 AS one")
    raw.ask(query("SELECT * FROM Shop.numbers LIMIT 1000"))
    for wait in open_:
        wait()
    page.wait(lambda value: value > held + 16_000, "heddle_executions_held_bytes")
    closed = [page.grows(-1, "heddle_sessions"), page.grows(-1, "heddle_prepared_statements")]
    close_session(raw)
    for wait in closed:
        wait()


def test_statements_that_wait(page: Page, raw: Raw) -> None:
    """The one place is taken by a statement that has no rows for its client, and so does not leave it."""
    info = raw.info(query(f"SELECT count(*) AS n FROM ({UNENDING}) q WHERE a < b"))
    page.wait(lambda value: value == 1, "heddle_statements_admitted")
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(raw.ask, query("SELECT * FROM Shop.customers"))
        page.wait(lambda value: value == 1, "heddle_statements_waiting")
        raw.act("CancelFlightInfo", flight.CancelFlightInfoRequest(info=info), packed=False)
        assert second.result().num_rows == 3
    page.wait(lambda value: value == 0, "heddle_statements_waiting")
    page.wait(lambda value: value == 0, "heddle_statements_admitted")


def test_refreshes(page: Page, raw: Raw, server: HeddleServe) -> None:
    output = {"output": "Kept.rows"}
    refresh = sql.CommandStatementUpdate(query="REFRESH TABLE Kept.rows")
    assert page.value("heddle_refreshes_total", **output) == 0
    raw.put(refresh)
    assert page.value("heddle_refreshes_total", **output, outcome="ok") == 1
    assert page.value("heddle_materialized_rows", **output) == shop.ROWS
    refreshed_at = page.value("heddle_refresh_timestamp_seconds", **output)
    assert page.value("process_start_time_seconds") < refreshed_at
    assert page.value("heddle_refresh_duration_seconds", **output) > 0

    (server.programs / "kept.arrow").unlink()
    refused(lambda: raw.put(refresh))
    assert page.value("heddle_refreshes_total", **output, outcome="failed") == 1
    assert page.value("heddle_refreshes_total", **output, outcome="ok") == 1
    assert page.value("heddle_refresh_timestamp_seconds", **output) == refreshed_at


def test_the_result_cache(page: Page, raw: Raw) -> None:
    text = "SELECT k, count(*) AS n FROM Shop.numbers WHERE v > 7 GROUP BY k"
    raw.ask(query(text))
    page.wait(lambda value: value > 0, "heddle_result_cache_entries")
    assert page.value("heddle_result_cache_bytes") > 0
    taken = page.grows(1, "heddle_result_cache_statements_total", part="answer")
    raw.ask(query(text))
    taken()


def test_names_are_those_of_prometheus(page: Page) -> None:
    families = page.families()
    for family in families:
        assert family.documentation.endswith(".")
        if family.name.startswith("heddle_"):
            assert re.fullmatch(r"heddle_[a-z_]+", family.name)
            counted = {sample.name.endswith("_total") for sample in family.samples}
            assert counted <= {family.type == "counter"}
    assert page.value("process_resident_memory_bytes") > 0
    assert page.value("heddle_serving") == 1
    assert not [s.name for family in families for s in family.samples if s.name.endswith("_created")]


def test_the_reference_lists_them(page: Page) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|(.*?)\| (.+) \|$", REFERENCE.read_text(), re.MULTILINE)
    listed = {name.removesuffix("_total"): row for name, *row in rows}
    assert len(listed) == len(rows)
    served = {family.name: family for family in page.families()}
    assert {name: [each.type, each.documentation] for name, each in served.items()} == {
        name: [kind, meaning] for name, (kind, _, meaning) in listed.items()
    }
    for name, family in served.items():
        labels = set(re.findall(r"`(\w+)`", listed[name][1]))
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == labels, name
            assert name.startswith("process_") or sample.name.startswith(name)


def test_the_port_has_nothing_else(page: Page) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(page.url.removesuffix("metrics"))
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(page.url, data=b"x")
    _, _, place = page.url.partition("//")
    host, _, port = place.partition("/")[0].partition(":")
    with socket.create_connection((host, int(port))) as silent:
        silent.sendall(b"GET /metr")
        assert page.value("heddle_info") == 1
    with socket.create_connection((host, int(port))) as wrong:
        wrong.sendall(b"\x16\x03\x01\x00 not HTTP\r\n\r\n")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("GET", "/metrics", headers={"accept": "application/openmetrics-text"})
    answer = connection.getresponse()
    assert answer.read().rstrip().endswith(b"# EOF")
    connection.close()


def test_nothing_of_it_is_written_to_stderr(page: Page, server: HeddleServe) -> None:
    page.text()
    lines = server.log.read_text().splitlines()
    assert [line.partition(" at ")[0].partition(" on ")[0] for line in lines] == ["serving", "metrics"]


def test_the_end(tmp_path: Path) -> None:
    """Metrics are there as long as statements run to their end."""
    shop.write(tmp_path)
    with subprocess.Popen(
        [str(COMMAND), "serve", "shop.he", "--flight", "0", "--metrics", "0", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            page = Page(ready["metrics"])
            with Raw(ready["url"]) as raw:
                stream = raw.stream("DoGet", [ticket(raw.info(query("SELECT * FROM Shop.numbers")))])
                next(stream)
                unending = raw.stream("DoGet", [ticket(raw.info(query(UNENDING)))])
                next(unending)
                process.send_signal(signal.SIGTERM)
                page.wait(lambda value: value == 0, "heddle_serving")
                assert sum(map(len, stream)) > 8 * shop.ROWS
                unending.cancel()
            _, said = process.communicate(timeout=END_S)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in said
    with pytest.raises(urllib.error.URLError):
        page.text()


def test_two_servers_in_one_process(tmp_path: Path) -> None:
    shop.write(tmp_path)
    before = set(threading.enumerate())
    options = ServeOptions((tmp_path,), "127.0.0.1", 0, metrics=MetricsAddress(0))
    with serving(options, lambda line: None) as one, serving(options, lambda line: None) as other:
        pages = [Page(str(each.metrics_url)) for each in (one, other)]
        with Raw(one.server.url) as raw:
            raw.ask(ONE)
        pages[0].wait(lambda value: value == 2, "heddle_requests_total")
        assert pages[1].value("heddle_requests_total") == 0
        assert pages[1].value("heddle_statements_total") == 0
    assert not {each.name for each in set(threading.enumerate()) - before if each.name == "metrics"}
    for page in pages:
        with pytest.raises(urllib.error.URLError):
            page.text()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    shop.write(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ServeOptions((tmp_path,), "127.0.0.1", 0, metrics=MetricsAddress(port))
        with (
            pytest.raises(UsageError, match=rf"metrics cannot be served on 127\.0\.0\.1:{port}"),
            serving(options, lambda line: None),
        ):
            raise AssertionError("it serves")


def test_who_may_not_come_in() -> None:
    with Guarded('metrics = 0\nusers_file = "users.toml"\n', (user("ada", "analyst"),)) as server:
        page = page_of(server)
        assert page.value("heddle_refused_total", reason="unauthenticated") == 0
        with Raw(server.uri) as raw:
            assert refused(lambda: raw.info(ONE)).code() == grpc.StatusCode.UNAUTHENTICATED
        assert page.value("heddle_refused_total", reason="unauthenticated") == 1
        assert page.value("heddle_requests_total", code="UNAUTHENTICATED") == 1
        with connected(server.uri, "ada") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
        assert page.value("heddle_logins_total") == 1
        text = page.text()
        assert "ada" not in text
        assert "orders" not in text
