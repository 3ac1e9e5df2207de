"""The command `heddle serve`: where it listens, how it ends, and what it writes down."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from heddle.flightsql.wire import flight_sql_pb2 as sql
from tests.flightsql.asking import UNENDING, query, refused, ticket
from tests.flightsql.clients import shop
from tests.flightsql.clients.raw import Raw, descriptor
from tests.services.heddle_serve import COMMAND
from tests.waiting import until

CODES = grpc.StatusCode
END_S = 60.0


@contextmanager
def started(*arguments: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a port of its own choice, and where it is."""
    with subprocess.Popen(
        [str(COMMAND), "serve", *arguments, "--flight", "0", "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            ready = json.loads(line)
            assert ready["event"] == "ready"
            assert ready["url"] == f"grpc://127.0.0.1:{ready['port']}"
            yield process, ready["url"]
        finally:
            process.kill()


def refusal(*arguments: str, folder: Path) -> str:
    """What a command says that ends at once, with the code for wrong usage."""
    done = subprocess.run(
        [str(COMMAND), "serve", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return shop.write(tmp_path)


def test_it_serves_until_it_is_asked_to_end(program: Path) -> None:
    with started("shop.he", folder=program.parent) as (process, url):
        with Raw(url) as raw:
            assert raw.ask(query("SELECT 1 AS one")).to_pydict() == {"one": [1]}
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=END_S)
    assert process.returncode == 0
    assert said.splitlines()[0] == f"serving on {url}"
    assert "ending when what is under way has ended" in said


def test_answers_are_kept_where_the_settings_say_so(program: Path) -> None:
    (program.parent / "serve.toml").write_text('[serve]\nresult_cache = "16MB"\n')
    (program.parent / "rows.csv").write_text("id\n1\n2\n")
    (program.parent / "rows.he").write_text(
        'step read = io.csv { path: "rows.csv" }\n\nworkflow Rows {\n  read\n    > rows\n}\n'
    )
    text = "SELECT sum(id) AS n FROM Rows.rows"
    cached = query(
        f"SELECT cached FROM system.queries WHERE text = '{text}' ORDER BY started_at DESC LIMIT 1"
    )
    with started("rows.he", "--config", "serve.toml", folder=program.parent) as (_, url):
        for kept in (None, "answer"):
            until(lambda: is_settled(program.parent / "rows.csv"), "a change of the file would show")
            with Raw(url) as raw:
                assert raw.ask(query(text)).to_pydict() == {"n": [3]}
                assert raw.ask(cached).to_pydict() == {"cached": [kept]}
        (program.parent / "rows.csv").write_text("id\n7\n")
        with Raw(url) as raw:
            assert raw.ask(query(text)).to_pydict() == {"n": [7]}
            assert raw.ask(cached).to_pydict() == {"cached": [None]}


def is_settled(file: Path) -> bool:
    return time.time_ns() - file.stat().st_ctime_ns > 200_000_000


def test_what_runs_may_end_and_nothing_begins(program: Path) -> None:
    with started(".", folder=program.parent) as (process, url), Raw(url) as raw:
        info = raw.info(query("SELECT * FROM Shop.numbers"))
        stream = raw.stream("DoGet", [ticket(info)])
        next(stream)
        slow = raw.stream("DoGet", [ticket(raw.info(query(UNENDING)))])
        next(slow)
        process.send_signal(signal.SIGINT)
        asked = descriptor(query("SELECT 1 AS one"))
        until(lambda: is_ending(raw, asked), "it takes statements after the signal")
        assert sum(map(len, stream)) > 8 * shop.ROWS
        slow.cancel()
        assert process.wait(END_S) == 0


def is_ending(raw: Raw, asked: bytes) -> bool:
    try:
        raw.send("GetFlightInfo", asked)
    except grpc.RpcError as error:
        return bool(error.code() == CODES.UNAVAILABLE)
    return False


def test_a_second_signal_does_not_wait(program: Path) -> None:
    with started("shop.he", folder=program.parent) as (process, url), Raw(url) as raw:
        stream = raw.stream("DoGet", [ticket(raw.info(query(UNENDING)))])
        next(stream)
        process.send_signal(signal.SIGINT)
        asked = descriptor(query("SELECT 1 AS one"))
        until(lambda: is_ending(raw, asked), "it takes statements after the signal")
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_S) == -signal.SIGTERM


def test_a_read_only_server(program: Path) -> None:
    with started("shop.he", "--read-only", folder=program.parent) as (_, url), Raw(url) as raw:
        create = sql.CommandStatementUpdate(query="CREATE TABLE scratch.t (id BIGINT)")
        assert refused(lambda: raw.put(create)).code() == CODES.PERMISSION_DENIED
        begin = sql.ActionBeginTransactionRequest()
        assert refused(lambda: raw.act("BeginTransaction", begin)).code() == CODES.PERMISSION_DENIED
        (read_only,) = raw.ask(sql.CommandGetSqlInfo(info=[3]))["value"].to_pylist()
        assert read_only is True
        schemas = raw.ask(sql.CommandGetDbSchemas())["db_schema_name"].to_pylist()
        assert "scratch" not in schemas
        killed = refused(lambda: raw.put(sql.CommandStatementUpdate(query="KILL 'none'")))
        assert "there is no query `none`" in (killed.details() or "")
        assert raw.ask(query("SHOW TABLES")).num_rows > 0


def test_tables_of_clients_are_kept_in_a_folder(program: Path) -> None:
    for number in range(2):
        with started("shop.he", "--scratch", "kept", folder=program.parent) as (process, url):
            with Raw(url) as raw:
                if number == 0:
                    raw.put(sql.CommandStatementUpdate(query="CREATE TABLE scratch.t (id BIGINT)"))
                    raw.put(sql.CommandStatementUpdate(query="INSERT INTO scratch.t VALUES (7)"))
                found = raw.ask(query("SELECT id FROM scratch.t"))
            assert found.to_pydict() == {"id": [7]}
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_S) == 0


def test_requests_are_written_down(program: Path) -> None:
    with started("shop.he", "--access-log", "access.jsonl", folder=program.parent) as (_, url):
        with Raw(url) as raw:
            raw.ask(query("SELECT 1 AS one"))
            refused(lambda: raw.info(query("SELECT * FROM nowhere")))
        log = program.with_name("access.jsonl")
        until(lambda: log.read_text().count("\n") == 3, "a request is missing in the log")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(each["method"], each["what"], each["code"]) for each in lines] == [
        ("GetFlightInfo", "CommandStatementQuery", "OK"),
        ("DoGet", "TicketStatementQuery", "OK"),
        ("GetFlightInfo", "CommandStatementQuery", "NOT_FOUND"),
    ]
    assert all(each["viewer"] == "local" and each["peer"].startswith("ipv4:127.0.0.1") for each in lines)
    assert lines[1]["size_bytes"] > 0
    assert "nowhere" not in log.read_text()


def test_a_port_that_is_taken(program: Path) -> None:
    with started("shop.he", folder=program.parent) as (_, url):
        port = url.rpartition(":")[2]
        said = refusal("shop.he", "--flight", port, folder=program.parent)
    assert f"the server cannot listen on 127.0.0.1:{port}" in said
    assert "--flight 0" in said


def test_other_hosts_come_in_only_by_name(program: Path) -> None:
    said = refusal("shop.he", "--host", "0.0.0.0", "--flight", "0", folder=program.parent)
    assert "everybody who can reach this server" in said


def test_programs_with_errors_are_not_served(tmp_path: Path) -> None:
    (tmp_path / "wrong.he").write_text("workflow W {\n  nowhere > out\n}\n")
    assert "nowhere" in refusal("wrong.he", folder=tmp_path)
    assert "missing.he" in refusal("missing.he", folder=tmp_path)


def test_settings_that_exclude_each_other(program: Path) -> None:
    said = refusal("shop.he", "--read-only", "--scratch", "x", folder=program.parent)
    assert "exclude each other" in said
