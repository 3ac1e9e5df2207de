"""ClickHouse as a service, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from tests.services.certificates import make_certificate
from tests.services.clickhouse import ClickHouse
from tests.services.fault_proxy import Cut, FaultProxy, Say, Stall

STALLED_S = 0.5
ROW_COUNT = 1_000_000


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def table(self) -> pa.Table:
        return pa.ipc.open_stream(self.body).read_all()


def ask(
    server: ClickHouse,
    sql: str | bytes,
    *,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 60,
    method: str = "POST",
    context: ssl.SSLContext | None = None,
    **arguments: str,
) -> Answer:
    credentials = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": server.password}
    body = sql.encode() if isinstance(sql, str) else sql
    address = f"{url or server.url}/?{urllib.parse.urlencode(arguments)}"
    request = urllib.request.Request(address, body or None, {**credentials, **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s, context=context) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def stream(table: pa.Table) -> bytes:
    made = pa.BufferOutputStream()
    with pa.ipc.new_stream(made, table.schema) as writer:
        writer.write_table(table)
    return made.getvalue().to_pybytes()


@pytest.fixture
def database(clickhouse: ClickHouse) -> str:
    name = clickhouse.create_database()
    clickhouse.execute(
        f"CREATE TABLE {name}.t (id Int64, name Nullable(String)) ENGINE = MergeTree ORDER BY id"
    )
    return name


def test_it_is_there(clickhouse: ClickHouse) -> None:
    with urllib.request.urlopen(f"{clickhouse.url}/ping") as answer:
        assert answer.read() == b"Ok.\n"


@pytest.mark.parametrize("in_body", [False, True])
def test_arrow_goes_in_and_out(clickhouse: ClickHouse, database: str, in_body: bool) -> None:
    table = pa.table({"name": ["ada", None], "id": [1, 2]})
    insert = "INSERT INTO t (id, name) FORMAT ArrowStream"
    if in_body:
        written = ask(clickhouse, f"{insert}\n".encode() + stream(table), database=database)
    else:
        written = ask(clickhouse, stream(table), database=database, query=insert)
    assert (written.status, json.loads(written.headers["X-ClickHouse-Summary"])["written_rows"]) == (200, "2")
    read = ask(clickhouse, "SELECT name, id FROM t ORDER BY id FORMAT ArrowStream", database=database)
    assert read.headers["X-ClickHouse-Format"] == "ArrowStream"
    assert read.table.to_pylist() == table.to_pylist()
    none = ask(clickhouse, "SELECT id FROM t WHERE id = 7", database=database, default_format="ArrowStream")
    assert none.table.schema.names == ["id"]
    assert none.table.num_rows == 0


def test_parameters_settings_and_the_log(clickhouse: ClickHouse, database: str) -> None:
    mark = clickhouse.mark()
    sql = "SELECT {keys:Array(String)} AS keys, getSetting('max_threads') AS threads"
    key = "a'b\"'); DROP TABLE t"
    quoted = "['" + key.replace("'", "\\'") + "']"
    answer = ask(
        clickhouse, sql, param_keys=quoted, max_threads="1", default_format="JSONEachRow", query_id="mine"
    )
    assert json.loads(answer.text) == {"keys": [key], "threads": 1}, answer.text
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    (query,) = clickhouse.queries(mark)
    assert (query.query_id, query.sql, query.settings) == ("mine", sql, {"max_threads": "1"})
    assert (query.result_rows, query.exception_code) == (1, 0)


def test_tables_sent_along_are_joined(clickhouse: ClickHouse, database: str) -> None:
    clickhouse.execute(f"INSERT INTO {database}.t SELECT number, toString(number) FROM numbers(1000)")
    keys = stream(pa.table({"key": [7, 9, 5000]}))
    part = (
        b'--x\r\nContent-Disposition: form-data; name="keys"; filename="keys"\r\n\r\n'
        + keys
        + b"\r\n--x--\r\n"
    )
    mark = clickhouse.mark()
    answer = ask(
        clickhouse,
        part,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        database=database,
        query="SELECT id, name FROM t WHERE id IN keys ORDER BY id",
        default_format="ArrowStream",
        keys_format="ArrowStream",
        keys_structure="key Int64",
    )
    assert answer.table.to_pylist() == [{"id": 7, "name": "7"}, {"id": 9, "name": "9"}]
    assert list(clickhouse.queries(mark)[0].external) == ["keys"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4"])
def test_bodies_are_compressed_both_ways(clickhouse: ClickHouse, encoding: str) -> None:
    sql = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sql, encoding) as out:
        out.write(b"SELECT number FROM numbers(300000)")
    headers = {"Content-Encoding": encoding, "Accept-Encoding": encoding}
    answer = ask(clickhouse, sql.getvalue().to_pybytes(), headers=headers, enable_http_compression="1")
    assert answer.headers["Content-Encoding"] == encoding
    with pa.CompressedInputStream(pa.BufferReader(answer.body), encoding) as read:
        assert read.read().split() == [b"%d" % number for number in range(300_000)]


def test_sent_in_chunks(clickhouse: ClickHouse) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", clickhouse.port)
    headers = {"X-ClickHouse-Key": clickhouse.password, "X-ClickHouse-User": "default"}
    for _ in range(2):  # on one connection
        connection.request("POST", "/", iter([b"SELECT", b" 7"]), headers, encode_chunked=True)
        assert connection.getresponse().read() == b"7\n"
    connection.close()


def test_an_answer_streams(clickhouse: ClickHouse) -> None:
    sql = f"SELECT number, toString(number) AS text FROM numbers({ROW_COUNT}) FORMAT ArrowStream"
    answer = ask(clickhouse, sql, send_progress_in_http_headers="1")
    assert answer.table.num_rows == ROW_COUNT
    whole = ask(clickhouse, f"SELECT sum(number) FROM numbers({ROW_COUNT})", wait_end_of_query="1")
    assert json.loads(whole.headers["X-ClickHouse-Summary"])["read_rows"] == str(ROW_COUNT)


def test_settings_and_temporary_tables_belong_to_a_session(clickhouse: ClickHouse) -> None:
    assert ask(clickhouse, "CREATE TEMPORARY TABLE kept AS SELECT 7 AS x", session_id="s").status == 200
    assert ask(clickhouse, "SELECT x FROM kept", session_id="s").text == "7\n"
    assert ask(clickhouse, "SELECT x FROM kept", session_id="another").status == 404


@pytest.mark.parametrize(
    ("sql", "arguments", "status", "code"),
    [
        ("SELECT nope", {}, 404, 47),
        ("SELECT * FROM nope", {}, 404, 60),
        ("SELECT FROM WHERE", {}, 400, 62),
        ("SELECT 1", {"nope": "1"}, 404, 115),
        (
            "SELECT sleepEachRow(0.1) FROM numbers(30)",
            {"max_execution_time": "0.3", "max_block_size": "1"},
            408,
            159,
        ),
        ("INSERT INTO nope FORMAT JSONEachRow\n{}", {}, 404, 60),
    ],
)
def test_errors(clickhouse: ClickHouse, sql: str, arguments: dict[str, str], status: int, code: int) -> None:
    answer = ask(clickhouse, sql, **arguments)
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert clickhouse.queries()[-1].exception_code == code


def test_get_only_reads_and_strangers_are_refused(clickhouse: ClickHouse) -> None:
    assert ask(clickhouse, "", method="GET", query="SELECT 1").text == "1\n"
    assert (
        ask(clickhouse, "", method="GET", query="CREATE DATABASE x").headers["X-ClickHouse-Exception-Code"]
        == "164"
    )
    refused = ask(clickhouse, "SELECT 1", headers={"X-ClickHouse-Key": "guess"})
    assert (refused.status, refused.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    assert "Authentication failed" in refused.text


def test_an_error_in_the_middle_is_told_and_the_stream_is_cut(clickhouse: ClickHouse) -> None:
    sql = f"SELECT throwIf(number = {ROW_COUNT - 1}, 'too far') FROM numbers({ROW_COUNT}) FORMAT JSONEachRow"
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(clickhouse, sql)
    assert b"__exception__" in caught.value.partial
    assert b"too far" in caught.value.partial


def test_faults_on_the_way(clickhouse: ClickHouse) -> None:
    sql = f"SELECT number FROM numbers({ROW_COUNT}) FORMAT ArrowStream"
    with FaultProxy(clickhouse.url) as proxy:
        proxy.fail(Say(503, b"Code: 202. DB::Exception: Too many simultaneous queries"))
        proxy.fail(Cut(after_bytes=100_000), text="ArrowStream")
        proxy.fail(Stall(after_bytes=100_000), text="ArrowStream")
        assert ask(clickhouse, sql, url=proxy.url).status == 503
        with pytest.raises(http.client.IncompleteRead):
            ask(clickhouse, sql, url=proxy.url)
        with pytest.raises(TimeoutError):
            ask(clickhouse, sql, url=proxy.url, timeout_s=STALLED_S)
        assert ask(clickhouse, sql, url=proxy.url).table.num_rows == ROW_COUNT
        assert [request.body for request in proxy.requests] == [sql.encode()] * 4


def test_by_tls(clickhouse: ClickHouse, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=certificate[0])
    with FaultProxy(clickhouse.url, certificate) as proxy:
        assert ask(clickhouse, "SELECT 7", url=proxy.url, context=trusting).text == "7\n"
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(clickhouse, "SELECT 7", url=proxy.url)


@pytest.mark.parametrize("crash", [False, True])
def test_tables_outlive_a_restart(crash: bool) -> None:
    with ClickHouse() as server:
        server.execute("CREATE TABLE kept ENGINE = MergeTree ORDER BY id AS SELECT 7 AS id")
        if crash:
            server.kill()
        server.restart()
        assert server.execute("SELECT id FROM kept") == "7\n"
