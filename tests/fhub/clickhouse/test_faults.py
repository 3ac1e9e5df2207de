"""Networks and servers that fail: each failure is a clear error, and marked if another attempt may help."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fhub import clickhouse
from fhub.clickhouse.connection import ConnectionConfig
from fhub.clickhouse.errors import ClickHouseError, ConnectionLost, error_of
from heddle.core.failure import StepError
from heddle.core.step import StepContext
from heddle.core.table import Table
from tests.fhub.clickhouse.steps import Steps
from tests.services.certificates import make_certificate
from tests.services.clickhouse import ClickHouse
from tests.services.fault_proxy import Cut, FaultProxy, Say, Stall

ROWS = 60_000
SQL = f"SELECT number, toString(number) AS text FROM numbers({ROWS})"
SLOW = "SELECT sleepEachRow(1) AS x FROM numbers(30) SETTINGS max_block_size = 1"
BUSY = (
    b"Code: 202. DB::Exception: Too many simultaneous queries. Maximum: 100. (TOO_MANY_SIMULTANEOUS_QUERIES)"
)


@pytest.fixture
def proxied(ch: Steps) -> Any:
    with FaultProxy(ch.server.url) as proxy:
        yield Steps(ch.server, ch.database, proxy.url), proxy


@pytest.mark.parametrize(
    ("compression", "after_bytes", "reset"),
    [
        *(
            ("none", after_bytes, reset)
            for after_bytes in (0, 100, 100_001, 600_000)
            for reset in (False, True)
        ),
        ("lz4", 100_001, False),
        ("gzip", 20_001, False),
    ],
)
def test_a_stream_that_was_cut(proxied: Any, compression: str, after_bytes: int, reset: bool) -> None:
    steps, proxy = proxied
    proxy.fail(Cut(after_bytes=after_bytes, reset=reset), text="ArrowStream")
    with pytest.raises(
        StepError, match=r"was lost in the middle of an answer|ended the connection"
    ) as caught:
        steps.run("query", {"query": SQL, "connection": {"compression": compression}}, None, {})
    assert caught.value.transient
    table = steps.run("query", {"query": SQL, "connection": {"compression": compression}}, None, {}).table
    assert table.num_rows == ROWS


def test_a_stream_that_ends_early_without_a_fault_of_the_network(proxied: Any) -> None:
    steps, proxy = proxied
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, pa.schema([("number", pa.uint64()), ("text", pa.string())])) as writer:
        writer.write_table(pa.table({"number": pa.array([1], pa.uint64()), "text": ["1"]}))
    whole = stream.getvalue().to_pybytes()
    for body in (whole[:-20], whole[:-8] + BUSY, whole + BUSY, whole[:40], b""):
        proxy.fail(Say(200, body), text="ArrowStream")
        with pytest.raises(StepError, match=r"ended before all rows|code 202") as caught:
            steps.query(SQL)
        assert caught.value.transient


@pytest.mark.parametrize(
    ("fault", "said", "transient"),
    [
        (Say(500, BUSY), "ClickHouse says: Too many simultaneous.*code 202", True),
        (Say(408, b"Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED)"), "code 159", True),
        (Say(500, b"Code: 242. DB::Exception: Table is read-only. (TABLE_IS_READ_ONLY)"), "code 242", True),
        (Say(500, b"Code: 241. DB::Exception: (total) memory limit exceeded. (X_Y)"), "code 241", True),
        (Say(500, b"Code: 241. DB::Exception: (for query) memory limit. (X_Y)"), "code 241", False),
        (Say(502, b"<html>bad gateway</html>"), "HTTP status 502: it is too busy", True),
        (Say(429, b""), "HTTP status 429", True),
        (Say(404, b"<html>nothing here</html>"), "and not as ClickHouse does: <html>", False),
        (Cut(at_once=True), "ended the connection before it answered", True),
        (Cut(at_once=True, reset=True), "ended the connection before it answered", True),
    ],
)
def test_a_server_that_refuses(proxied: Any, fault: Any, said: str, transient: bool) -> None:
    steps, proxy = proxied
    proxy.fail(fault)
    with pytest.raises(StepError, match=said) as caught:
        steps.query("SELECT 1 AS x")
    assert caught.value.transient is transient


@pytest.mark.parametrize("fault", [Stall(at_once=True), Stall(after_bytes=100_000)])
def test_a_server_that_falls_silent(proxied: Any, fault: Stall) -> None:
    steps, proxy = proxied
    proxy.fail(fault, text="ArrowStream")
    with pytest.raises(StepError, match=r"did not answer for 1 s|was lost in the middle") as caught:
        steps.run("query", {"query": SQL, "connection": {"send_receive_timeout": 1}}, None, {})
    assert caught.value.transient


def test_a_busy_server_says_when_to_come_again(proxied: Any) -> None:
    steps, proxy = proxied
    proxy.fail(Say(429, b"", {"Retry-After": "0"}), times=2)
    assert steps.query("SELECT 1 AS x").to_pylist() == [{"x": 1}]
    proxy.fail(Say(503, BUSY, {"Retry-After": "0"}), times=3)
    with pytest.raises(StepError, match="code 202"):
        steps.query("SELECT 2 AS x")
    proxy.fail(Say(503, BUSY, {"Retry-After": "20"}))
    with pytest.raises(StepError, match="too busy"):
        steps.run("query", {"query": "SELECT 3 AS x"}, None, {"deadline": 15.0})


def test_a_deadline_reaches_the_server(ch: Steps) -> None:
    mark = ch.server.mark()
    with pytest.raises(StepError, match=r"did not answer|code 159") as caught:
        ch.run("query", {"query": SLOW}, None, {"deadline": 4.0})
    assert caught.value.transient
    assert ch.server.queries(mark)[0].settings["max_execution_time"] == "4"


@pytest.mark.parametrize("after_bytes", [0])
def test_an_insert_that_was_cut_counts_once(proxied: Any, after_bytes: int) -> None:
    steps, proxy = proxied
    steps.execute(
        "CREATE TABLE $t (n Int64) ENGINE = MergeTree ORDER BY n "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    rows = pa.table({"n": range(1000)})
    proxy.fail(Cut(after_bytes=after_bytes), text="INSERT")
    with pytest.raises(ConnectionLost):
        steps.insert(rows)
    steps.insert(rows)
    assert steps.execute("SELECT count() FROM $t") == "1000\n"


def test_a_server_that_is_not_there() -> None:
    with ClickHouse() as server:
        steps = Steps(server, "default")
        connection = steps.connection()
        assert connection.health() is None
        server.kill()
        problem = connection.health()
        assert problem is not None and "cannot be reached" in problem
        server.restart()
        assert connection.health() is None
        connection.close()


def test_a_server_that_is_killed_while_it_answers() -> None:
    with ClickHouse() as server:
        connection = Steps(server, "default").connection()
        server.execute("CREATE TABLE t (n Int64) ENGINE = MergeTree ORDER BY n")
        config = clickhouse.QueryConfig(query="SELECT number FROM numbers(100000000)", resource=connection)
        tables = iter(clickhouse.query(None, config, StepContext()))
        next(tables)
        server.kill()
        with pytest.raises(ConnectionLost, match="was lost in the middle of an answer"):
            for _ in tables:
                pass
        writer = clickhouse.insert(clickhouse.InsertConfig(table="t", resource=connection), StepContext())
        with pytest.raises(ConnectionLost, match="cannot be reached"):
            writer.write(Table.from_pylist([{"n": 1}]), StepContext())
        writer.abort()
        connection.close()


def test_an_unknown_host() -> None:
    connection = clickhouse.connection(ConnectionConfig(host="nowhere.invalid", connect_timeout=2))
    with pytest.raises(ConnectionLost, match=r"ClickHouse at nowhere\.invalid:8123 cannot be reached"):
        connection.text("SELECT 1")


def test_a_wrong_password_is_not_shown(ch: Steps, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "wrong-and-secret"
    with pytest.raises(StepError, match=r"ClickHouse refuses the user or the password.*code 516") as caught:
        ch.run("query", {"query": "SELECT 1", "connection": {"password": secret}}, None, {})
    assert not caught.value.transient
    with pytest.raises(StepError, match="`password` holds a character") as broken:
        ch.run("query", {"query": "SELECT 1", "connection": {"password": secret + "\n"}}, None, {})
    shown = f"{caught.value.message}{caught.value.stack_trace}{broken.value.message}{caplog.text}"
    assert secret not in shown


def test_no_secret_is_in_an_address(proxied: Any) -> None:
    steps, proxy = proxied
    steps.query("SELECT 1 AS x")
    assert all(steps.server.password not in request.path for request in proxy.requests)
    assert proxy.requests[0].headers["X-ClickHouse-Key"] == steps.server.password


def test_by_tls(ch: Steps, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with FaultProxy(ch.server.url, certificate) as proxy:
        steps = Steps(ch.server, ch.database, proxy.url)

        def ask(**settings: Any) -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = steps.run(
                "query", {"query": "SELECT 7 AS x", "connection": settings}, None, {}
            ).rows
            return rows

        assert ask(ca_cert=str(certificate[0])) == [{"x": 7}]
        assert ask(verify=False) == [{"x": 7}]
        with pytest.raises(StepError, match=r"no secure connection \(certificate verify failed") as caught:
            ask()
        assert not caught.value.transient
        with pytest.raises(StepError, match=r"ended the connection|cannot be reached|HTTP status"):
            ask(secure=False)
        with pytest.raises(StepError, match="`ca_cert`: there is no file"):
            ask(ca_cert="/nowhere.pem")
    with pytest.raises(StepError, match="no secure connection"):
        ch.run("query", {"query": "SELECT 1", "connection": {"secure": True}}, None, {})


def test_a_connection_serves_several_calls_at_once(ch: Steps) -> None:
    from concurrent.futures import ThreadPoolExecutor

    connection = ch.connection(pool_size=2)
    config = clickhouse.QueryConfig(query="SELECT @n + number AS x FROM numbers(3)", resource=connection)

    def ask(number: int) -> list[int]:
        tables = clickhouse.query(None, config, StepContext(parameters={"n": number}))
        return [row["x"] for table in tables for row in table.to_pylist()]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(12))) == [[n, n + 1, n + 2] for n in range(12)]
    connection.close()


def test_an_error_has_a_code_and_a_name() -> None:
    error = error_of(
        "Code: 60. DB::Exception: Table default.t does not exist. (UNKNOWN_TABLE) (version 26.9.2.1)"
    )
    assert isinstance(error, ClickHouseError)
    assert str(error) == "ClickHouse says: Table default.t does not exist. (code 60, UNKNOWN_TABLE)"
    assert (error.code, error.transient) == (60, False)
