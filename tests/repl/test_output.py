"""Files that answers go to: whole, one behind the other, or as they were."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from tests.repl.conftest import Sql

CUSTOMERS = "select id, name from customers where id < 3 order by id"
FAILS = "select id, 1 / (id - 3) as x from customers order by id"


FILES = {
    "out.csv": "1,Ada\n2,Grace\n",
    "out.json": '{"id":1,"name":"Ada"}\n{"id":2,"name":"Grace"}\n',
    "out.md": "| id | name |\n| ---: | --- |\n| 1 | Ada |\n| 2 | Grace |\n",
    "out.txt": "id  name\n--  -----\n 1  Ada\n 2  Grace\n",
}


def test_answers_follow_each_other(sql: Sql, folder: Path) -> None:
    commands: list[str] = []
    for name in FILES:
        (folder / name).write_text("old")
        commands += ["-c", f"\\o {name}", "-c", f"{FAILS}; {CUSTOMERS}; {CUSTOMERS}"]
    done = sql("shop.he", "--keep-going", *commands)
    assert (done.stdout, done.returncode) == ("", 1), done.stderr
    for name, one in FILES.items():
        header = "id,name\n" if name == "out.csv" else ""
        assert (folder / name).read_text() == header + one + one


def test_what_fails_leaves_the_old_file(sql: Sql, folder: Path) -> None:
    names = ("out.csv", "out.md", "out.parquet")
    for name in names:
        (folder / name).write_text("old")
    done = sql("shop.he", "--keep-going", *(part for n in names for part in ("-c", f"\\o {n}", "-c", FAILS)))
    assert done.returncode == 1
    assert [(folder / name).read_text() for name in names] == ["old"] * 3
    assert not [path for path in folder.iterdir() if path.name.startswith(".out")]


def test_one_answer_is_one_parquet_file(sql: Sql, folder: Path) -> None:
    done = sql("shop.he", "--output", "out.parquet", "-c", f"{CUSTOMERS}; {CUSTOMERS}")
    assert done.returncode == 2
    assert "out.parquet holds an answer already" in done.stderr


def test_endings_and_formats(sql: Sql, folder: Path) -> None:
    commands = ("-c", f"\\copy ({CUSTOMERS}) to a.csv.gz", "-c", "\\copy customers to b.dat", "-c", "\\q")
    assert sql("shop.he", "--format", "json", *commands).returncode == 0
    assert gzip.decompress((folder / "a.csv.gz").read_bytes()) == b"id,name\n1,Ada\n2,Grace\n"
    assert [json.loads(line)["id"] for line in (folder / "b.dat").read_text().splitlines()] == [1, 2, 3]
    refused = sql("shop.he", "-c", "\\copy customers to b.dat")
    assert (refused.returncode, "names no format" in refused.stderr) == (2, True)


def test_a_script_that_includes_itself_ends(sql: Sql, folder: Path) -> None:
    (folder / "self.sql").write_text("\\i self.sql\n")
    done = sql("shop.he", "-f", "self.sql")
    assert done.returncode == 2
    assert "does it include itself?" in done.stderr
    assert "Traceback" not in done.stderr


def test_stdin_is_a_script(sql: Sql) -> None:
    done = sql("shop.he", "--format", "csv", stdin=f"{CUSTOMERS};\n\\format json\n{CUSTOMERS}")
    assert done.stdout == 'id,name\n1,Ada\n2,Grace\n{"id":1,"name":"Ada"}\n{"id":2,"name":"Grace"}\n'
