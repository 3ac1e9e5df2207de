"""The same commands at an endpoint: a real `heddle serve`, another process."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.flightsql.clients import every_type
from tests.repl.conftest import Sql
from tests.services.heddle_serve import HeddleServe


def test_tables_columns_and_schemas(sql: Sql, uri: str) -> None:
    done = sql(uri, "--format", "json", "-c", "\\dt customers", "-c", "\\d customers")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == '{"schema":"Shop","table":"customers","kind":"view","remarks":""}'
    assert '{"column":"id","type":"int","key":"primary","remarks":""}' in lines
    assert sql(uri, "-c", "\\d customers").stdout.splitlines()[-1] == "view heddle.Shop.customers"
    assert '"schema":"Shop"' in sql(uri, "--format", "json", "-c", "\\ds").stdout


def test_keys(sql: Sql, uri: str) -> None:
    done = sql(uri, "-c", "\\d Keyed.children")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["column", "type", "key", "remarks"],
        ["-" * 6, "-" * 4, "-" * 16, "-" * 7],
        ["c", "int", "primary,", "foreign"],
        ["a", "int", "foreign"],
        ["up", "int", "foreign"],
        ["view", "heddle.Keyed.children"],
        ["c,", "a", "refer", "to", "Keyed.parents", "(b,", "a)"],
        ["up", "refers", "to", "Keyed.children", "(c)"],
    ]
    about = sql(uri, "-c", "\\d Keyed.parents").stdout.splitlines()
    assert about[-2:] == ["view heddle.Keyed.parents", "primary key b, a"]


def test_statements_parameters_and_plans(sql: Sql, uri: str) -> None:
    done = sql(
        uri,
        *("--format", "csv"),
        *("-c", "\\param name 'Ada'", "-c", "\\param 1 2"),
        *("-c", "select id, country from customers where name = $name"),
        *("-c", "select name from customers where id = ?"),
        *("-c", "\\explain select name from customers where id = 1"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("id,country\n1,DE\nname\nGrace\nplan:\n")


def test_prql(sql: Sql, uri: str) -> None:
    text = "from customers | join o = orders (this.id == that.customer_id) | aggregate {n = count this}"
    done = sql(uri, "--lang", "prql", "--format", "csv", "-c", text)
    assert (done.stdout, done.returncode) == ("n\n3\n", 0), done.stderr


def test_duckdbs_dialect(sql: Sql, uri: str) -> None:
    done = sql(
        uri,
        *("--lang", "duckdb", "--format", "csv"),
        *("-c", "from customers select 1 / 2 as half, count(*) as n"),
        *("-c", "\\lang sql", "-c", "select 1 / 2 as half"),
        *("-c", "\\lang duckdb", "-c", "select 1 / 2 as half"),
    )
    assert (done.stdout, done.returncode) == ("half,n\n0.5,3\nhalf\n0\nhalf\n0.5\n", 0), done.stderr


def test_failures_have_place_and_cure(sql: Sql, uri: str) -> None:
    done = sql(uri, "-c", "select * from\n customer")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[:2] == ["error: there is no table `customer`", " --> -c:2:2"]
    assert lines[-1] == "  = help: did you mean `customers`?"


def test_rows_go_in_and_out(sql: Sql, uri: str, folder: Path) -> None:
    rows = pa.table({"id": [1, 2, 3], "name": ["a", None, "c"]})
    pq.write_table(rows, folder / "in.parquet")
    name = f"repl_{folder.name.lower()}"
    done = sql(
        uri,
        *("-c", f"\\copy {name} from in.parquet"),
        *("-c", f"insert into scratch.{name} values (4, 'd')"),
        *("-c", f"\\copy (select * from scratch.{name} order by id) to out.arrow"),
        *("-c", f"drop table scratch.{name}"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"3 rows put into scratch.{name}\n")
    assert pa.ipc.open_file(folder / "out.arrow").read_all().to_pylist() == [
        *rows.to_pylist(),
        {"id": 4, "name": "d"},
    ]


def test_large_answers_are_streamed(sql: Sql, uri: str, folder: Path) -> None:
    done = sql(uri, "--output", "numbers.parquet", "-c", "select * from numbers")
    assert done.returncode == 0, done.stderr
    assert pq.read_metadata(folder / "numbers.parquet").num_rows == 200_000
    shown = sql(uri, "--rows", "3", "-c", "select v from numbers order by v").stdout
    assert shown.splitlines()[2:] == [
        "     0",
        "     1",
        "…",
        "199999",
        "200,000 rows, of which the first 2 and the last 1 are shown",
    ]


@pytest.mark.parametrize("name", ["HEDDLE_SQL_PASSWORD", "HEDDLE_SQL_TOKEN"])
def test_secrets_are_in_no_message(sql: Sql, serving: HeddleServe, name: str) -> None:
    user = ("--user", "me") if name == "HEDDLE_SQL_PASSWORD" else ()
    done = sql(serving.uri, *user, "-c", "select * from nowhere", **{name: "hunter2hunter2"})
    assert done.returncode != 0
    assert "hunter2" not in done.stdout + done.stderr


def test_every_type_looks_the_same_from_here_and_there(sql: Sql, uri: str, folder: Path) -> None:
    every_type.write(folder)
    commands: list[str] = []
    for format in ("table", "csv", "json", "markdown"):
        commands += ["-c", f"\\format {format}", "-c", "select * from everything"]
    here, there = sql("types.he", *commands), sql(uri, *commands)
    assert (here.returncode, here.stderr) == (0, "")
    assert there.stdout == here.stdout


def test_what_a_format_cannot_hold(sql: Sql, folder: Path) -> None:
    every_type.write(folder)
    done = sql("types.he", "--format", "parquet", "-c", "select interval from everything")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: parquet cannot hold these rows: ")


def test_from_a_program_to_an_endpoint_and_on(sql: Sql, uri: str) -> None:
    commands = (
        "-c",
        "\\connect nowhere.he",
        "-c",
        f"\\connect {uri}",
        "-c",
        "select count(*) as n from everything",
    )
    done = sql("shop.he", "--keep-going", "--format", "csv", *commands)
    assert (done.stdout, done.returncode) == ("n\n3\n", 2)
    assert done.stderr == "error: there is no file nowhere.he\n"
